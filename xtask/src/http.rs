//! HTTP/1.1 as the tour needs it: a request goes out exactly as written, with
//! no library putting its path or its headers right (RFC 9112).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// One request, sent byte for byte as given.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method's token.
    pub method: String,
    /// The request target, raw.
    pub target: String,
    /// Headers in order; `host`, `content-length` and `connection` are added.
    pub headers: Vec<(String, String)>,
    /// The body; empty means none.
    pub body: Vec<u8>,
}

/// One whole response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, with its transfer coding removed.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// The bytes on the wire, addressed to `authority`.
    pub fn to_bytes(&self, authority: &str, close: bool) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: {authority}\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if close {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        if !self.body.is_empty() {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends this on a connection of its own and waits for the whole answer.
    pub fn send(&self, to: SocketAddr) -> Result<Response> {
        exchange(to, &self.to_bytes(&to.to_string(), true))
    }

    /// The same, and waits longer for what takes longer.
    pub fn send_within(&self, to: SocketAddr, deadline: Duration) -> Result<Response> {
        exchange_within(to, &self.to_bytes(&to.to_string(), true), deadline)
    }
}

/// Sends bytes on a connection of their own and waits for one whole answer, or for as
/// much as there is until the peer closes.
pub fn exchange(to: SocketAddr, bytes: &[u8]) -> Result<Response> {
    exchange_within(to, bytes, DEADLINE)
}

fn exchange_within(to: SocketAddr, bytes: &[u8], deadline: Duration) -> Result<Response> {
    let mut stream =
        TcpStream::connect_timeout(&to, DEADLINE).with_context(|| format!("nothing listens on {to}"))?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    while answer.len() < MAX_RESPONSE {
        let count = match stream.read(&mut piece) {
            // As after a process was stopped for a while.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count.with_context(|| format!("no whole answer from {to}"))?,
        };
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        // Envoy keeps a connection that it will close open for a second more.
        match Response::parse(&answer) {
            Ok(response) if count == 0 || response.is_whole() => return Ok(response),
            Err(error) if count == 0 => return Err(error),
            _ => {}
        }
    }
    bail!("the answer from {to} is too long")
}

/// A connection that is kept for one request after another.
pub struct Connection {
    stream: TcpStream,
    is_open: bool,
}

impl Connection {
    /// Connects.
    pub fn open(to: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&to, DEADLINE).with_context(|| format!("nothing listens on {to}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, is_open: true })
    }

    /// Whether the peer has neither closed it nor said that it will.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Sends a request's bytes and waits for its whole answer; `None` where the connection was
    /// closed without a byte of one, as a proxy may do with one that it was about to close.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Option<Response>> {
        self.is_open = false;
        let mut answer = Vec::new();
        let mut piece = [0; 16 << 10];
        if let Err(error) = self.stream.write_all(bytes) {
            return if is_closed(&error) { Ok(None) } else { Err(error.into()) };
        }
        while answer.len() < MAX_RESPONSE {
            let count = match self.stream.read(&mut piece) {
                Ok(0) if answer.is_empty() => return Ok(None),
                Err(error) if answer.is_empty() && is_closed(&error) => return Ok(None),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                count => count.context("no whole answer")?,
            };
            answer.extend_from_slice(piece.get(..count).unwrap_or_default());
            match Response::parse(&answer) {
                Ok(response) if response.is_whole() => {
                    self.is_open = response.header("connection") != Some("close");
                    return Ok(Some(response));
                }
                Ok(_) | Err(_) if count > 0 => {}
                Ok(_) => bail!("the answer ended inside its body"),
                Err(error) => return Err(error),
            }
        }
        bail!("the answer is too long")
    }
}

/// Whether the peer has closed the connection, in whichever way.
fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl Response {
    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a body of known length is there; one of chunks parses only when it is.
    fn is_whole(&self) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse().ok());
        self.header("transfer-encoding").is_some() || length == Some(self.body.len())
    }

    /// Parses a response, of whose body there may be more to come.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut slots);
        let httparse::Status::Complete(length) = head.parse(bytes)? else {
            bail!("the answer ended inside its headers");
        };
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect();
        let status = head.code.context("the answer has no status")?;
        let rest = bytes.get(length..).unwrap_or_default();
        // 100 (Continue) goes before the answer (RFC 9110 section 15.2).
        if status == 100 {
            return Self::parse(rest);
        }
        let mut response = Self { status, headers, body: Vec::new() };
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            unchunk(rest)?
        } else {
            rest.to_vec()
        };
        Ok(response)
    }
}

/// Removes the chunked transfer coding of a complete body.
fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    // Every turn takes at least one byte of `bytes`, which is bounded.
    loop {
        let size = httparse::parse_chunk_size(bytes)
            .map_err(|_| anyhow::anyhow!("a chunk's size is not a number"))?;
        let httparse::Status::Complete((start, size)) = size else {
            bail!("the answer ended inside a chunk's size");
        };
        let size = usize::try_from(size)?;
        let end = start.checked_add(size).context("a chunk is too long")?;
        body.extend_from_slice(bytes.get(start..end).context("the answer ended inside a chunk")?);
        if size == 0 {
            return Ok(body);
        }
        bytes = bytes.get(end.saturating_add(2)..).context("the answer ended after a chunk")?;
    }
}

/// Envoy's own default for the number of headers (max_headers_count).
pub const MAX_HEADERS: usize = 100;

/// The largest answer is Envoy's /stats, some 100 KiB.
const MAX_RESPONSE: usize = 16 << 20;

/// Generous for loopback, where a busy machine's Envoy may compile a plugin meanwhile; short enough to
/// show that something hangs, and than the minute after which an Envoy answers a request by itself.
const DEADLINE: Duration = Duration::from_secs(30);
