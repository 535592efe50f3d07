//! The upstream behind the gate: an HTTP/1.1 server that says what it saw, or,
//! for measuring, always the same small thing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http::MAX_HEADERS;

/// A running upstream. It ends with the process: it holds nothing.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
}

/// What an upstream answers.
#[derive(Clone, Copy)]
pub enum Answer {
    /// 200 and JSON: method, path, headers as pairs, body with length and hash. A request may
    /// ask for another status (`x-echo-status`), for a header (`x-echo-header: NAME=VALUE`, as often
    /// as it likes), for the answer's end after so many milliseconds (`x-echo-pause`), that the
    /// connection is closed without any (`x-echo-reset`), or that there is none (`x-echo-hang`).
    Echo,
    /// 200 and two bytes: the least work for whoever measures the proxy.
    Fixed,
}

impl Upstream {
    /// Listens on `address` and answers every request on threads of its own.
    pub fn start(address: SocketAddr, answer: Answer) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        std::thread::spawn(move || {
            // One thread for each connection; their number is what one loopback
            // proxy opens, a handful.
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || {
                    // The peer went away or sent what is not HTTP: either way
                    // the connection is over, and the peer knows.
                    let _ = serve(stream, answer, &counter);
                });
            }
        });
        Ok(Self { address, served })
    }

    /// Requests that arrived since the start.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// Answers one connection's requests, in turn, until it closes.
fn serve(mut stream: TcpStream, answer: Answer, served: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let mut connection = Connection::default();
    while let Some(seen) = connection.next(&mut stream)? {
        served.fetch_add(1, Ordering::SeqCst);
        let reply = match answer {
            Answer::Echo if seen.header("x-echo-reset").is_some() => return Ok(()),
            Answer::Echo if seen.header("x-echo-hang").is_some() => {
                // Until the peer has had enough.
                while connection.read_more(&mut stream)? {}
                return Ok(());
            }
            Answer::Echo => seen.described(),
            Answer::Fixed => FIXED.to_vec(),
        };
        let pause =
            seen.header("x-echo-pause").and_then(|pause| pause.parse().ok()).map(Duration::from_millis);
        // The last byte waits: the head has long been there.
        let (now, later) = reply.split_at(reply.len().saturating_sub(usize::from(pause.is_some())));
        stream.write_all(now)?;
        std::thread::sleep(pause.unwrap_or_default());
        stream.write_all(later)?;
    }
    Ok(())
}

/// One request as it arrived.
struct Seen {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn described(&self) -> Vec<u8> {
        let hash: String = Sha256::digest(&self.body).iter().map(|byte| format!("{byte:02x}")).collect();
        let body = json!({
            "method": self.method,
            "path": self.target,
            "headers": self.headers,
            "body": {
                "sha256": hash,
                "length": self.body.len(),
                "text": String::from_utf8_lossy(&self.body),
            },
        });
        let body = format!("{body:#}\n");
        let status = self.header("x-echo-status").unwrap_or("200");
        let asked = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-echo-header"));
        let asked = asked.filter_map(|(_, value)| value.split_once('='));
        let more: String = asked.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The bytes of a connection that no request has used yet.
#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
}

impl Connection {
    /// The next request; none when the peer has closed between requests.
    fn next(&mut self, stream: &mut TcpStream) -> Result<Option<Seen>> {
        let (mut seen, length) = loop {
            if let Some(head) = parse(&self.bytes)? {
                break head;
            }
            if !self.read_more(stream)? {
                return Ok(None);
            }
        };
        self.bytes.drain(..length);
        if seen.header("transfer-encoding").is_some() {
            seen.body = self.chunks(stream)?;
        } else if let Some(length) = seen.header("content-length") {
            let length = length.parse().context("content-length is no number")?;
            seen.body = self.take(stream, length)?;
        }
        Ok(Some(seen))
    }

    /// Reads a chunked body, trailers included; those are dropped.
    fn chunks(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        // Bounded by MAX_REQUEST, which `take` and `line` keep to.
        loop {
            let line = self.line(stream)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).context("a chunk's size is no number")?;
            if size == 0 {
                while !self.line(stream)?.is_empty() {}
                return Ok(body);
            }
            body.append(&mut self.take(stream, size)?);
            self.line(stream)?;
            if body.len() > MAX_REQUEST {
                bail!("a body is too long");
            }
        }
    }

    fn line(&mut self, stream: &mut TcpStream) -> Result<String> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.bytes.drain(..end).collect();
                self.bytes.drain(..2);
                return Ok(String::from_utf8(line)?);
            }
            if !self.read_more(stream)? {
                bail!("the connection closed inside a body");
            }
        }
    }

    fn take(&mut self, stream: &mut TcpStream, length: usize) -> Result<Vec<u8>> {
        while self.bytes.len() < length {
            if !self.read_more(stream)? {
                bail!("the connection closed inside a body");
            }
        }
        Ok(self.bytes.drain(..length).collect())
    }

    fn read_more(&mut self, stream: &mut TcpStream) -> Result<bool> {
        if self.bytes.len() > MAX_REQUEST {
            bail!("a request is too long");
        }
        let mut piece = [0; 16 << 10];
        let count = stream.read(&mut piece)?;
        self.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

/// The request head at the start of `bytes` and its length, if it is whole.
fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let headers = head
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_owned(), value)
        })
        .collect();
    let seen = Seen {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers,
        body: Vec::new(),
    };
    Ok(Some((seen, length)))
}

const FIXED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// More than any tour or test sends; a runaway client is cut off here.
const MAX_REQUEST: usize = 16 << 20;

/// As long as Envoy keeps an idle connection to an upstream.
const IDLE: Duration = Duration::from_secs(3600);
