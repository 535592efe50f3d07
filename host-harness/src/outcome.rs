use std::borrow::Cow;

use crate::{Headers, StreamId, Trap};

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client got; `None` while the request is held, and when the
    /// plugin closed the stream.
    pub reply: Option<Reply>,
    /// What the upstream saw; `None` if nothing arrived there.
    pub upstream: Option<UpstreamRequest>,
    /// The trap that this request ended in. The VM is dead since.
    pub trap: Option<Trap>,
    /// The plugin paused and nothing will wake it but a
    /// [`Vm::answer_http_call`](crate::Vm::answer_http_call) or a tick; see
    /// [`Vm::resume`](crate::Vm::resume). On a real host the client would wait.
    pub held: bool,
    /// The stream, for `resume`.
    pub stream: StreamId,
}

/// An HTTP response as the client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Who answered.
    pub origin: Origin,
    /// The status code.
    pub status: u16,
    /// The headers, without pseudo-headers.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The host itself: the plugin trapped or is dead, or a body was too large to hold.
    Host,
    /// The plugin, by `proxy_send_local_response`.
    Plugin,
    /// The upstream; the plugin let the response through, perhaps changed.
    Upstream,
}

/// A request as the upstream saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// `:method`.
    pub method: String,
    /// `:path`, with the query.
    pub path: String,
    /// `:authority`.
    pub authority: String,
    /// The headers, without pseudo-headers.
    pub headers: Headers,
    /// The body, as far as it arrived.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
    /// The request arrived whole. False means that the upstream saw the
    /// beginning of a request that was then refused, held or cut off.
    pub complete: bool,
}

impl Outcome {
    /// The status that the client got; 0 if it got none.
    pub fn status(&self) -> u16 {
        self.reply.as_ref().map_or(0, |reply| reply.status)
    }

    /// The upstream got the whole request.
    pub fn admitted(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.complete)
    }

    /// The upstream saw nothing at all.
    pub fn untouched(&self) -> bool {
        self.upstream.is_none()
    }

    /// The first value of a header that the upstream saw.
    pub fn upstream_header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.upstream.as_ref()?.headers.get(name)
    }

    /// The first value of a header that the client got.
    pub fn reply_header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.reply.as_ref()?.headers.get(name)
    }

    /// The body that the client got, with replacement characters where it is
    /// not UTF-8; empty if it got none.
    pub fn reply_text(&self) -> Cow<'_, str> {
        self.reply.as_ref().map_or(Cow::Borrowed(""), |reply| String::from_utf8_lossy(&reply.body))
    }
}

impl Reply {
    pub(crate) fn by_host(status: u16) -> Self {
        Self {
            origin: Origin::Host,
            status,
            headers: Headers::default(),
            body: Vec::new(),
            trailers: Headers::default(),
        }
    }
}
