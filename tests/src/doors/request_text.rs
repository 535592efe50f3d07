//! A request's head as text, so that a corpus can be read: the method, the authority and
//! the path on a line each, then a header on each line, `name: value`.

use portcullis_core::RequestHead;

/// A request's head, taken out of its text.
#[derive(Clone, Debug)]
pub struct RequestText {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:authority`.
    pub authority: Vec<u8>,
    /// `:path`.
    pub path: Vec<u8>,
    /// Names in lower case, and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RequestText {
    /// Reads a head. Any bytes are one; a line's end is all that a value cannot hold.
    pub fn read(text: &[u8]) -> Self {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let mut line = || lines.next().unwrap_or_default();
        let (method, authority, path) = (line(), line(), line());
        let header = |line: Vec<u8>| {
            let at = line.windows(2).position(|pair| pair == b": ")?;
            Some((line[..at].to_ascii_lowercase(), line[at + 2..].to_vec()))
        };
        RequestText { method, authority, path, headers: lines.filter_map(header).collect() }
    }

    /// Calls `ask` with the head.
    pub fn with<T>(&self, ask: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        ask(&RequestHead {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            headers: &headers,
            source: None,
        })
    }

    /// The values of all headers of this name.
    pub fn values<'s>(&'s self, wanted: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.headers
            .iter()
            .filter(move |(name, _)| name == wanted.as_bytes())
            .map(|(_, value)| value.as_slice())
    }
}
