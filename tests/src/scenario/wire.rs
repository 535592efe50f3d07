//! Requests as bytes.

use super::Sent;

impl Sent {
    /// The request as HTTP/1.1 (RFC 9112) has it, on a connection of its own. `authority` is named
    /// where the request names none; `more` are headers that are no part of it.
    pub fn to_bytes(&self, authority: &str, more: &[(&str, String)]) -> Vec<u8> {
        let authority = self.authority.as_deref().unwrap_or(authority);
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend_from_slice(&self.path);
        bytes.extend_from_slice(format!(" HTTP/1.1\r\nhost: {authority}\r\n").as_bytes());
        for (name, value) in more {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.headers.iter().any(|(name, _)| name == "connection") {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        let body = self.body.as_deref().unwrap_or_default();
        if !body.is_empty() {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        if self.chunks.is_some() {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        if let Some(chunks) = &self.chunks {
            bytes.extend_from_slice(&chunked(chunks, &self.trailers));
        }
        bytes
    }
}

/// RFC 9112 section 7.1.
fn chunked(chunks: &[Vec<u8>], trailers: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
