//! A request's head, and what makes it unambiguous.

use crate::denial::Denial;
use crate::reason::Reason;
use crate::snapshot::Snapshot;
use alloc::borrow::Cow;
use alloc::string::String;

/// The head of a request as the proxy has it: raw bytes, nothing decoded.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// `:method`.
    pub method: &'r [u8],
    /// `:authority`.
    pub authority: &'r [u8],
    /// `:path`: path and query, percent-encoded as the upstream will see it.
    pub path: &'r [u8],
    /// All other headers in order, names in lower case, doubled ones doubled.
    pub headers: &'r [(&'r [u8], &'r [u8])],
    /// Where the request comes from, as far as the proxy knows: the address of its peer,
    /// without port. For requests without a credential alone.
    pub source: Option<&'r [u8]>,
}

/// A request that every reader reads the same way.
#[derive(Debug)]
pub(crate) struct Unambiguous<'r> {
    pub(crate) method: Method,
    /// The path without query, percent-decoded: what routes are matched with.
    pub(crate) path: Cow<'r, str>,
    pub(crate) is_upgrade: bool,
}

/// The methods that a gate lets through (RFC 9110 section 9.3, RFC 5789), without
/// those that open tunnels or echo requests.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Method {
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
}

impl Method {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }

    /// The method of this name; names are case-sensitive (RFC 9110 section 9.1).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"DELETE" => Method::Delete,
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            _ => return None,
        })
    }
}

impl<'r> RequestHead<'r> {
    /// The values of all headers of this name, which must be in lower case.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        self.headers.iter().filter(move |(header, _)| *header == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The value of a header that must not be there twice.
    ///
    /// # Errors
    /// `header_ambiguous`.
    pub(crate) fn only(&self, name: &'static str) -> Result<Option<&'r [u8]>, Denial> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Denial::new(Reason::HeaderAmbiguous, alloc::format!("{name} is there more than once"))),
        }
    }

    /// Checks that the request can be read in one way only: its method is known, its
    /// authority is the gate's own, its path is in normal form.
    ///
    /// # Errors
    /// `method_unknown`, `authority_unknown`, `header_ambiguous` or `path_ambiguous`.
    pub(crate) fn unambiguous(&self, snapshot: &Snapshot) -> Result<Unambiguous<'r>, Denial> {
        let method = Method::from_name(self.method)
            .ok_or_else(|| Denial::new(Reason::MethodUnknown, "the method is not one that is let through"))?;
        self.check_authority(snapshot)?;
        let path = normal_path(self.path).map_err(|problem| Denial::new(Reason::PathAmbiguous, problem))?;
        Ok(Unambiguous { method, path, is_upgrade: self.is_upgrade() })
    }

    fn check_authority(&self, snapshot: &Snapshot) -> Result<(), Denial> {
        let is_own = |authority: &[u8]| {
            core::str::from_utf8(authority)
                .is_ok_and(|authority| snapshot.is_own_authority(&authority.to_ascii_lowercase()))
        };
        if !is_own(self.authority) {
            return Err(Denial::new(Reason::AuthorityUnknown, "the authority is not one of the gate's own"));
        }
        // A proxy that keeps `host` beside `:authority` may show the upstream either.
        match self.only("host")? {
            Some(host) if !host.eq_ignore_ascii_case(self.authority) => {
                Err(Denial::new(Reason::HeaderAmbiguous, "host differs from the authority"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 9110 section 7.8. An `upgrade` header counts even if `connection` does not
    /// name it, as not every server asks for both.
    fn is_upgrade(&self) -> bool {
        let names_upgrade = |value: &[u8]| {
            value
                .split(|byte| *byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        };
        self.values("upgrade").next().is_some() || self.values("connection").any(names_upgrade)
    }
}

/// The path without its query, percent-decoded, if it is in normal form.
///
/// Paths are compared decoded, so a route cannot be passed by by encoding one of its
/// characters. Whatever decoders and routers disagree about is refused.
///
/// # Errors
/// What is wrong with it.
pub fn normal_path(target: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let target = core::str::from_utf8(target).map_err(|_| "the path holds raw bytes above 0x7f")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err("the query holds a character that must be encoded");
    }
    if !path.bytes().all(is_path_byte) {
        return Err("the path holds a character that must be encoded, a backslash, or `;`");
    }
    let decoded =
        if path.bytes().any(|byte| byte == b'%') { Cow::Owned(decoded(path)?) } else { Cow::Borrowed(path) };
    if decoded.contains(['\\', ';', '%']) || decoded.contains(char::is_control) {
        return Err("the path encodes a backslash, `;`, `%` or a control character");
    }
    let segments = decoded.strip_prefix('/').ok_or("the path does not begin with a slash")?;
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !is_last) {
            return Err("the path has a dot segment or an empty one");
        }
    }
    Ok(decoded)
}

/// RFC 3986 section 3.3: `pchar` and `/`, without `;`, which servers read as the
/// beginning of parameters or do not.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(&byte)
}

/// Percent-decodes once (RFC 3986 section 2.1).
fn decoded(path: &str) -> Result<String, &'static str> {
    const MALFORMED: &str = "the path has a `%` that no two hexadecimal digits follow";
    let mut bytes = alloc::vec::Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next()).ok_or(MALFORMED)?, digit(rest.next()).ok_or(MALFORMED)?);
        let byte = u8::try_from(high.wrapping_mul(16).wrapping_add(low)).map_err(|_| MALFORMED)?;
        if byte == b'/' {
            return Err("the path encodes a slash");
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| "the path encodes bytes that are not UTF-8")
}
