//! The signature base (RFC 9421 section 2.5): what is signed, for gates and agents alike.

use super::fields::trimmed;
use crate::base64;
use crate::request::RequestHead;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A signature base, component by component.
#[derive(Debug, Default)]
pub(crate) struct Base {
    lines: Vec<u8>,
    /// The components' names, as an inner list has them.
    names: String,
}

impl Base {
    /// Covers a component.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        if !self.names.is_empty() {
            self.names.push(' ');
        }
        for part in ["\"", name, "\""] {
            self.names.push_str(part);
            self.lines.extend_from_slice(part.as_bytes());
        }
        for part in [b": ", value, b"\n"] {
            self.lines.extend_from_slice(part);
        }
    }

    /// What is signed, and the signature's parameters: the list of what is covered, and
    /// `parameters` after it, which begin with a semicolon.
    pub(crate) fn close(self, parameters: &str) -> (Vec<u8>, String) {
        let Base { mut lines, names } = self;
        let parameters = format!("({names}){parameters}");
        lines.extend_from_slice(b"\"@signature-params\": ");
        lines.extend_from_slice(parameters.as_bytes());
        (lines, parameters)
    }

    /// The headers of a signature with this label.
    pub(crate) fn sign(
        self,
        label: &str,
        parameters: &str,
        sign: &dyn Fn(&[u8]) -> [u8; 64],
    ) -> [(&'static str, String); 2] {
        let (base, parameters) = self.close(parameters);
        let signature = base64::encode(&sign(&base));
        [
            ("signature-input", format!("{label}={parameters}")),
            ("signature", format!("{label}=:{signature}:")),
        ]
    }
}

/// A component's value (sections 2.1 and 2.2), or `None` if the request has no such
/// component, it is not known here, or it holds a line break, with which one component
/// could be taken for two.
pub(super) fn value<'r>(head: &RequestHead<'r>, name: &str) -> Option<Cow<'r, [u8]>> {
    let mut halves = head.path.splitn(2, |byte| *byte == b'?');
    let (path, query) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let value = match name {
        "@method" => Cow::Borrowed(head.method),
        "@authority" => Cow::Owned(authority(head.authority)),
        "@path" if path.is_empty() => Cow::Borrowed(b"/".as_slice()),
        "@path" => Cow::Borrowed(path),
        "@query" => Cow::Owned([b"?", query].concat()),
        _ => {
            let mut values = head.values(name).map(trimmed);
            let mut value = Cow::Borrowed(values.next()?);
            for more in values {
                let value = value.to_mut();
                value.extend_from_slice(b", ");
                value.extend_from_slice(more);
            }
            value
        }
    };
    (!value.contains(&b'\n') && !value.contains(&b'\r')).then_some(value)
}

/// Section 2.2.3: in lower case, without the default port. Which port that is depends on
/// the scheme, which a gate behind a proxy that ends TLS does not know: both are left out.
fn authority(authority: &[u8]) -> Vec<u8> {
    let without =
        authority.strip_suffix(b":443").or_else(|| authority.strip_suffix(b":80")).unwrap_or(authority);
    without.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::PublicKey;

    /// RFC 9421 appendix B.2.6, with the request of B.2 and the key of B.1.4.
    #[test]
    fn the_rfcs_own_ed25519_signature_is_over_the_base_that_is_made_here() {
        let head = RequestHead {
            method: b"POST",
            authority: b"example.com",
            path: b"/foo?param=Value&Pet=dog",
            headers: &[
                (b"date", b"Tue, 20 Apr 2021 02:07:55 GMT"),
                (b"content-type", b"application/json"),
                (b"content-length", b"18"),
            ],
            source: None,
        };
        let mut base = Base::default();
        for name in ["date", "@method", "@path", "@authority", "content-type", "content-length"] {
            base.add(name, &value(&head, name).unwrap());
        }
        let (base, parameters) = base.close(";created=1618884473;keyid=\"test-key-ed25519\"");
        assert_eq!(
            parameters,
            "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
             ;created=1618884473;keyid=\"test-key-ed25519\""
        );
        let key = base64::decode_url("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs").unwrap();
        let key = PublicKey::from_bytes(&key.try_into().unwrap()).unwrap();
        let signature =
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        assert!(key.verify(&base, &base64::decode_array(signature).unwrap()));
    }

    #[test]
    fn components_have_the_values_that_the_rfc_gives_them() {
        let head = |authority: &'static str, path: &'static str| RequestHead {
            method: b"GET",
            authority: authority.as_bytes(),
            path: path.as_bytes(),
            headers: &[
                (b"x-a", b" one\t"),
                (b"x-b", b"1"),
                (b"x-a", b""),
                (b"x-a", b"two, three"),
                (b"x-c", b"a\nb"),
            ],
            source: None,
        };
        let of = |authority, path, name| {
            value(&head(authority, path), name).map(|value| String::from_utf8(value.into_owned()).unwrap())
        };
        for (authority, path, name, expected) in [
            ("API.example", "/", "@authority", "api.example"),
            ("api.example:443", "/", "@authority", "api.example"),
            ("api.example:80", "/", "@authority", "api.example"),
            ("api.example:8443", "/", "@authority", "api.example:8443"),
            ("[::1]:80", "/", "@authority", "[::1]"),
            ("a", "/x/%7ey?a=b?c", "@path", "/x/%7ey"),
            ("a", "?a", "@path", "/"),
            ("a", "", "@path", "/"),
            ("a", "/x?a=b?c", "@query", "?a=b?c"),
            ("a", "/x?", "@query", "?"),
            ("a", "/x", "@query", "?"),
            ("a", "/x", "x-a", "one, , two, three"),
            ("a", "/x", "x-b", "1"),
        ] {
            assert_eq!(of(authority, path, name).as_deref(), Some(expected), "{authority} {path} {name}");
        }
        for unknown in ["@scheme", "@status", "x-d", "x-c"] {
            assert_eq!(of("a", "/", unknown), None, "{unknown}");
        }
    }
}
