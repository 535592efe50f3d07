//! The load: a few keep-alive connections, each sending its requests in turn.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http::MAX_HEADERS;

/// Open connections to one Envoy, kept from round to round: a connection costs
/// as much as several requests.
pub(crate) struct Load {
    streams: Vec<TcpStream>,
}

impl Load {
    /// Opens the connections.
    pub(crate) fn connect(to: SocketAddr) -> Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            Ok(stream)
        };
        Ok(Self { streams: (0..CONNECTIONS).map(connect).collect::<Result<_>>()? })
    }

    /// Sends every request once and checks every answer's status: a fast refusal
    /// must not pass for a fast admission.
    pub(crate) fn drive(&mut self, requests: &[&[u8]], status: u16) -> Result<()> {
        let share = requests.len().div_ceil(CONNECTIONS).max(1);
        let work = self.streams.iter_mut().zip(requests.chunks(share));
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                work.map(|(stream, chunk)| scope.spawn(move || client(stream, chunk, status))).collect();
            for client in clients {
                match client.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a client of the load generator panicked"),
                }
            }
            Ok(())
        })
    }
}

fn client(stream: &mut TcpStream, requests: &[&[u8]], status: u16) -> Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    for request in requests {
        stream.write_all(request)?;
        buffer.clear();
        let seen = answer(stream, &mut buffer)?;
        if seen != status {
            bail!("expected status {status}, got this:\n{}", String::from_utf8_lossy(&buffer));
        }
    }
    Ok(())
}

/// Reads one answer with a `content-length` whole; gives its status.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    let mut piece = [0; BUFFER];
    while buffer.len() < MAX_ANSWER {
        let count = stream.read(&mut piece).context("no answer")?;
        if count == 0 {
            bail!("the connection was closed before an answer");
        }
        buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut slots);
        let httparse::Status::Complete(length) = head.parse(buffer)? else {
            continue;
        };
        let body: usize = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .context("an answer has no content-length")?;
        if buffer.len() >= length.saturating_add(body) {
            return head.code.context("an answer has no status");
        }
    }
    bail!("an answer is longer than {MAX_ANSWER} bytes")
}

/// Few enough for two cores, enough to keep one Envoy worker busy.
const CONNECTIONS: usize = 4;

/// Holds any answer of the benchmark in one read.
const BUFFER: usize = 4 << 10;

/// No answer of the benchmark is near this.
const MAX_ANSWER: usize = 64 << 10;

/// Generous for loopback on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
