//! The load: a few keep-alive connections, each sending its requests in turn.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::Agent;
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

    /// Sends every request by itself on one connection, and gives the time until each one's
    /// answer in microseconds.
    pub(crate) fn time_each(&mut self, requests: &[&[u8]], status: u16) -> Result<Vec<f64>> {
        let stream = self.streams.first_mut().context("there is no connection")?;
        let mut times = Vec::with_capacity(requests.len());
        for request in requests {
            let began = Instant::now();
            client(stream, &[request], status)?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    }

    /// Has every agent, each on a connection of its own, be told a first challenge: the
    /// answer to a request without a proof.
    pub(crate) fn challenge(&mut self, agents: &mut [Steady]) -> Result<()> {
        for (stream, steady) in self.streams.iter_mut().zip(agents) {
            steady.exchange(stream, &steady.agent.unproven(), 401)?;
        }
        Ok(())
    }

    /// Has every agent, each on a connection of its own, send requests in turn, each with
    /// the challenge of the answer before; gives how many there were, which is `count` or a
    /// few more.
    pub(crate) fn converse(&mut self, agents: &mut [Steady], count: usize, status: u16) -> Result<usize> {
        let share = count.div_ceil(agents.len().clamp(1, CONNECTIONS));
        std::thread::scope(|scope| {
            let clients: Vec<_> = self
                .streams
                .iter_mut()
                .zip(agents)
                .map(|(stream, steady)| {
                    scope.spawn(move || {
                        for _ in 0..share {
                            let request = steady.agent.get(&steady.challenge)?;
                            steady.exchange(stream, &request, status)?;
                        }
                        anyhow::Ok(share)
                    })
                })
                .collect();
            let mut sent = 0_usize;
            for client in clients {
                match client.join() {
                    Ok(result) => sent = sent.saturating_add(result?),
                    Err(_) => bail!("a client of the load generator panicked"),
                }
            }
            Ok(sent)
        })
    }
}

/// An agent that uses the challenges that it is told.
pub(crate) struct Steady {
    agent: Agent,
    challenge: String,
}

impl Steady {
    /// An agent that was told nothing yet.
    pub(crate) fn new(agent: Agent) -> Self {
        Self { agent, challenge: String::new() }
    }

    fn exchange(&mut self, stream: &mut TcpStream, request: &[u8], status: u16) -> Result<()> {
        let mut buffer = Vec::with_capacity(BUFFER);
        stream.write_all(request)?;
        let seen = answer(stream, &mut buffer)?;
        let text = String::from_utf8_lossy(&buffer);
        let challenge = challenge(&text).filter(|_| seen == status);
        self.challenge = challenge
            .with_context(|| format!("expected status {status} and a challenge, got this:\n{text}"))?
            .to_owned();
        Ok(())
    }
}

/// The nonce that an answer asks for.
fn challenge(answer: &str) -> Option<&str> {
    let (_, wanted) = answer.split_once("\r\naccept-signature: ")?;
    let (_, nonce) = wanted.lines().next()?.split_once(";nonce=\"")?;
    nonce.split('"').next()
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
pub(crate) fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
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
pub(crate) const CONNECTIONS: usize = 4;

/// Holds any answer of the benchmark in one read.
const BUFFER: usize = 4 << 10;

/// No answer of the benchmark is near this.
const MAX_ANSWER: usize = 64 << 10;

/// Generous for loopback on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_the_nonce_that_an_answer_asks_for() {
        let answer = "HTTP/1.1 200 OK\r\naccept-signature: agent=(\"@method\");created;nonce=\"abc\";tag=\"agent-proof\"\r\n\r\n";
        assert_eq!(challenge(answer), Some("abc"));
        assert_eq!(challenge("HTTP/1.1 200 OK\r\nx: ;nonce=\"abc\"\r\n\r\n"), None);
        assert_eq!(
            challenge("HTTP/1.1 200 OK\r\naccept-signature: agent=()\r\nx: ;nonce=\"abc\"\r\n\r\n"),
            None
        );
    }
}
