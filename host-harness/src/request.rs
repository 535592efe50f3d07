use crate::{AuthorityView, Headers, HostProfile};

/// A request as a client sends it, and the response that the upstream will
/// give if the request gets there.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) path: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    pub(crate) scheme: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) chunked: bool,
    pub(crate) trailers: Option<Headers>,
    pub(crate) properties: Vec<(String, Vec<u8>)>,
    pub(crate) response: Response,
}

/// A response, of the upstream to a request or of a called service to the plugin.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Headers>,
}

impl Request {
    /// A request for `path` (with its query) at the authority
    /// `127.0.0.1:10000` over plain HTTP, without headers or body; the upstream
    /// answers 200 and `ok`.
    pub fn new(method: &str, path: impl Into<Vec<u8>>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.into(),
            authority: b"127.0.0.1:10000".to_vec(),
            scheme: "http".to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
            chunked: false,
            trailers: None,
            properties: Vec::new(),
            response: Response::new(200).body("ok"),
        }
    }

    /// A GET request.
    pub fn get(path: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", path)
    }

    /// A POST request with a body.
    pub fn post(path: impl Into<Vec<u8>>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).body(body)
    }

    /// Another authority: the `Host` header, as the client wrote it.
    pub fn authority(mut self, authority: impl Into<Vec<u8>>) -> Self {
        self.authority = authority.into();
        self
    }

    /// Another scheme.
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// One more header; the same name may come again.
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// A body of known length, in one chunk; replaces what was there.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = vec![body.into()];
        self
    }

    /// One more chunk of the body.
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.body.push(chunk.into());
        self
    }

    /// Sends `transfer-encoding: chunked` instead of a `content-length`, even
    /// with no chunk at all.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// One more trailer. Trailers make the request chunked.
    pub fn trailer(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.get_or_insert_default().add(name, value);
        self.chunked()
    }

    /// A property of the request, such as `source.address`, in the host's own
    /// encoding. `request.path`, `request.method`, `request.host`,
    /// `request.scheme` and `request.protocol` are there already.
    pub fn property(mut self, path: &str, value: impl Into<Vec<u8>>) -> Self {
        self.properties.push((path.to_owned(), value.into()));
        self
    }

    /// What the upstream answers if the request gets there.
    pub fn answered_with(mut self, response: Response) -> Self {
        self.response = response;
        self
    }

    /// The header map as a host of this kind shows it to the plugin.
    pub(crate) fn header_map(&self, profile: &HostProfile) -> Headers {
        let mut map = Headers::default();
        let (authority, host) = match &profile.authority {
            AuthorityView::Pseudo => (&*self.authority, None),
            AuthorityView::ServerName(name) => (name.as_bytes(), Some(&*self.authority)),
        };
        if profile.request_pseudo_headers {
            map.add(":authority", authority);
            map.add(":path", if profile.decodes_path { decoded(&self.path) } else { self.path.clone() });
            map.add(":method", self.method.as_bytes());
            map.add(":scheme", self.scheme.as_bytes());
        } else {
            map.add("host", authority);
        }
        if let Some(host) = host {
            map.add("Host", host);
        }
        for (name, value) in self.headers.iter() {
            map.add(name, value);
        }
        if self.chunked {
            map.add("Transfer-Encoding", "chunked");
        } else if !self.body.is_empty() && !self.headers.has("content-length") {
            let length: usize = self.body.iter().map(Vec::len).sum();
            map.add("Content-Length", length.to_string());
        }
        if profile.hop_headers_removed {
            let nominated = map.all("connection").join(",").to_ascii_lowercase();
            let fixed = ["connection", "keep-alive", "proxy-connection", "transfer-encoding"];
            for name in nominated.split(',').map(str::trim).chain(fixed) {
                map.remove(name.as_bytes());
            }
        }
        for name in profile.joined_duplicates {
            map.join(name.as_bytes());
        }
        if profile.drops_underscore_names {
            map.retain_names(|name| !name.contains(&b'_'));
        }
        if profile.lower_cases_names { map.lower_cased() } else { map }
    }

    pub(crate) fn has_body(&self) -> bool {
        self.chunked || self.body.iter().any(|chunk| !chunk.is_empty())
    }
}

impl Response {
    /// A response without headers or body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Headers::default(), body: Vec::new(), trailers: None }
    }

    /// One more header.
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// A body in one chunk; replaces what was there.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = vec![body.into()];
        self
    }

    /// One more chunk of the body.
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.body.push(chunk.into());
        self
    }

    /// One more trailer.
    pub fn trailer(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.get_or_insert_default().add(name, value);
        self
    }

    /// `:status`, then the headers.
    pub(crate) fn header_map(&self) -> Headers {
        let mut map = Headers::default();
        map.add(":status", self.status.to_string());
        for (name, value) in self.headers.iter() {
            map.add(name, value);
        }
        map.lower_cased()
    }
}

/// The path as nginx shows it: percent-decoded, dot segments resolved,
/// slashes merged; the query as it is.
fn decoded(path: &[u8]) -> Vec<u8> {
    let split = path.iter().position(|&byte| byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at_checked(split).unwrap_or((path, b""));
    let mut segments: Vec<&[u8]> = Vec::new();
    let decoded = percent_decoded(path);
    for segment in decoded.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut shown = Vec::with_capacity(path.len());
    for segment in &segments {
        shown.push(b'/');
        shown.extend_from_slice(segment);
    }
    let ends_as_folder = decoded.ends_with(b"/") || decoded.ends_with(b"/.") || decoded.ends_with(b"/..");
    if ends_as_folder || segments.is_empty() {
        shown.push(b'/');
    }
    // Of an empty query there is nothing left.
    if query.len() > 1 {
        shown.extend_from_slice(query);
    }
    shown
}

fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.first_chunk::<2>().filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|two| std::str::from_utf8(two).ok());
        let value = hex.filter(|_| byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        rest = if value.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
        decoded.push(value.unwrap_or(byte));
    }
    decoded
}
