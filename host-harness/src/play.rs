//! How a host plays a request through a VM.

use std::borrow::Cow;

use crate::state::ROOT;
use crate::stream::{Half, Passed, Piece, Received, Side, Stream};
use crate::vm::length_of;
use crate::{
    Action, AuthorityView, BodyDelivery, Headers, HostProfile, Origin, Outcome, Reply, Request, Response,
    StreamId, Trap, UpstreamRequest, Vm,
};

/// What one step of a stream brought, for those who play a stream by hand.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What may go to the other side now.
    pub passed: Passed,
    /// The answer to the client; nothing more goes to the upstream.
    pub reply: Option<Reply>,
    /// The plugin closed the stream: the client gets nothing.
    pub closed: bool,
    /// The VM died in this step.
    pub trap: Option<Trap>,
}

impl Vm {
    /// Plays a whole request: headers, body, trailers, then the upstream's
    /// response if the request got there, then the end of the stream.
    pub fn request(&mut self, request: Request) -> Outcome {
        let stream = match self.open() {
            Ok(stream) => stream,
            Err(trap) => {
                let reply = Reply::by_host(self.trap_status());
                return self.outcome(StreamId(ROOT), Some(reply), None, Some(trap));
            }
        };
        let profile = self.store.data().settings.profile.clone();
        if let Some(state) = self.stream(stream) {
            state.begin(request, &profile);
        }
        self.resume(stream)
    }

    /// Goes on with a request that was held, after something happened that may
    /// have woken it. A request that is over has no further outcome: nothing
    /// is in it.
    pub fn resume(&mut self, stream: StreamId) -> Outcome {
        let profile = self.store.data().settings.profile.clone();
        let mut trap = self.advance(stream, Side::Request).err();
        let upstream = self.stream(stream).and_then(|state| state.seen_by_upstream(&profile));
        if trap.is_none() && self.stream(stream).is_some_and(Stream::queue_response) {
            trap = self.advance(stream, Side::Response).err();
        }
        let Some(state) = self.stream(stream) else {
            return self.outcome(stream, None, None, None);
        };
        let (closed, reply) = (state.closed, state.final_reply());
        let reply = if self.is_dead() { Some(Reply::by_host(self.trap_status())) } else { reply };
        if reply.is_none() && !closed {
            return Outcome { held: true, ..self.outcome(stream, None, upstream, None) };
        }
        let trap = trap.or(self.close(stream).err());
        self.outcome(stream, reply, upstream, trap)
    }

    fn outcome(
        &self,
        stream: StreamId,
        reply: Option<Reply>,
        upstream: Option<UpstreamRequest>,
        trap: Option<Trap>,
    ) -> Outcome {
        Outcome { reply, upstream, trap, held: false, stream }
    }

    /// Opens a stream, to play it by hand.
    pub fn open(&mut self) -> Result<StreamId, Trap> {
        let vm = self.store.data_mut();
        // Four billion streams in one VM: a real host wraps too.
        let context = vm.last_context.wrapping_add(1).max(ROOT.wrapping_add(1));
        vm.last_context = context;
        vm.streams.insert(context, Stream::default());
        let create = self.call::<_, ()>("proxy_on_context_create", context, (context, ROOT), || {
            format!("stream {context}")
        });
        if create.is_err() {
            self.store.data_mut().streams.remove(&context);
        }
        create.map(|_| StreamId(context))
    }

    /// The request's headers, pseudo-headers included, and whether the request ends with them.
    pub fn request_headers(&mut self, stream: StreamId, headers: Headers, end: bool) -> Step {
        let piece = Piece::Headers { headers, told_end: end, is_end: end };
        self.step(stream, Side::Request, piece)
    }

    /// A chunk of the request's body, and whether the request ends with it.
    pub fn request_body(&mut self, stream: StreamId, bytes: impl Into<Vec<u8>>, end: bool) -> Step {
        self.step(stream, Side::Request, Piece::Chunk { bytes: bytes.into(), end })
    }

    /// The request's trailers; the request ends with them.
    pub fn request_trailers(&mut self, stream: StreamId, trailers: Headers) -> Step {
        self.step(stream, Side::Request, Piece::Trailers(trailers))
    }

    /// The response's headers, `:status` included, and whether the response ends with them.
    pub fn response_headers(&mut self, stream: StreamId, headers: Headers, end: bool) -> Step {
        let piece = Piece::Headers { headers, told_end: end, is_end: end };
        self.step(stream, Side::Response, piece)
    }

    /// A chunk of the response's body, and whether the response ends with it.
    pub fn response_body(&mut self, stream: StreamId, bytes: impl Into<Vec<u8>>, end: bool) -> Step {
        self.step(stream, Side::Response, Piece::Chunk { bytes: bytes.into(), end })
    }

    /// The response's trailers; the response ends with them.
    pub fn response_trailers(&mut self, stream: StreamId, trailers: Headers) -> Step {
        self.step(stream, Side::Response, Piece::Trailers(trailers))
    }

    /// Ends a stream: log, done, delete, in Envoy's order.
    pub fn close(&mut self, stream: StreamId) -> Result<(), Trap> {
        let StreamId(id) = stream;
        let Some(state) = self.stream(stream) else {
            return Ok(());
        };
        state.logging = true;
        let shown = || format!("stream {id}");
        let mut result = self.call::<_, ()>("proxy_on_log", id, id, shown).map(drop);
        // Whether the plugin still has work to do does not keep Envoy's HTTP streams either.
        result = result.and_then(|()| self.call::<_, u32>("proxy_on_done", id, id, shown).map(drop));
        result = result.and_then(|()| self.call::<_, ()>("proxy_on_delete", id, id, shown).map(drop));
        self.store.data_mut().streams.remove(&id);
        result
    }

    fn step(&mut self, stream: StreamId, side: Side, piece: Piece) -> Step {
        if let Some(state) = self.stream(stream) {
            state.half(side).pending.push_back(piece);
        }
        let trap = self.advance(stream, side).err();
        let by_host =
            (self.is_dead()).then(|| Reply::by_host(self.store.data().settings.profile.trap_status));
        let Some(state) = self.stream(stream) else {
            return Step { reply: by_host, trap, ..Step::default() };
        };
        Step {
            passed: state.half(side).take_passed(),
            reply: by_host.or_else(|| state.reply.clone()),
            closed: state.closed,
            trap,
        }
    }

    /// Plays what is pending on one side, as far as the plugin lets it.
    fn advance(&mut self, stream: StreamId, side: Side) -> Result<(), Trap> {
        let profile = self.store.data().settings.profile.clone();
        // One round per piece, and pieces are only ever taken out here.
        loop {
            let Some(state) = self.stream(stream) else {
                return Ok(());
            };
            if state.is_over(side) {
                return Ok(());
            }
            let half = state.half(side);
            if half.resume {
                half.release(&profile);
            }
            if half.stopped {
                return Ok(());
            }
            let Some(piece) = half.pending.pop_front() else {
                return Ok(());
            };
            let received = half.receive(piece);
            let action = self.tell(stream, side, &received)?;
            let Some(state) = self.stream(stream) else {
                return Ok(());
            };
            if state.is_over(side) {
                return Ok(());
            }
            let half = state.half(side);
            let resumed = half.resume;
            half.settle(&received, if resumed { Action::Continue } else { action }, &profile);
            if half.body.len() > profile.held_body_limit {
                let status = if side == Side::Request { 413 } else { 500 };
                state.reply.get_or_insert(Reply::by_host(status));
            }
        }
    }

    fn tell(&mut self, stream: StreamId, side: Side, received: &Received) -> Result<Action, Trap> {
        let StreamId(id) = stream;
        let is_request = side == Side::Request;
        let answer: Option<u32> = match *received {
            Received::Headers { count, told_end } => {
                let callback =
                    if is_request { "proxy_on_request_headers" } else { "proxy_on_response_headers" };
                let shown = || format!("stream {id}, {count} headers{}", shown_end(told_end));
                self.call(callback, id, (id, length_of(count), u32::from(told_end)), shown)?
            }
            Received::Body { size, end } => {
                let callback = if is_request { "proxy_on_request_body" } else { "proxy_on_response_body" };
                let shown = || format!("stream {id}, {size} bytes{}", shown_end(end));
                self.call(callback, id, (id, length_of(size), u32::from(end)), shown)?
            }
            Received::Trailers { count } => {
                let callback =
                    if is_request { "proxy_on_request_trailers" } else { "proxy_on_response_trailers" };
                self.call(callback, id, (id, length_of(count)), || format!("stream {id}, {count} trailers"))?
            }
        };
        // What is not exported does not object; a dead VM lets nothing through.
        let refused = answer.is_some_and(|answer| answer != 0) || self.is_dead();
        let action = if refused { Action::Pause } else { Action::Continue };
        if answer.is_some() {
            self.store.data_mut().trace.push(format!("< {action:?}"));
        }
        Ok(action)
    }

    fn stream(&mut self, stream: StreamId) -> Option<&mut Stream> {
        self.store.data_mut().streams.get_mut(&stream.0)
    }

    fn trap_status(&self) -> u16 {
        self.store.data().settings.profile.trap_status
    }
}

impl Stream {
    /// Puts a request on its way to the plugin.
    fn begin(&mut self, request: Request, profile: &HostProfile) {
        for (path, value) in [
            ("request.path", &*request.path),
            ("request.host", &*request.authority),
            ("request.method", request.method.as_bytes()),
            ("request.scheme", request.scheme.as_bytes()),
            ("request.protocol", b"HTTP/1.1"),
        ] {
            self.properties.insert(path.into(), value.to_vec());
        }
        let own = profile.own_properties.iter();
        self.properties
            .extend(own.map(|(path, value)| (path.as_bytes().to_vec(), value.as_bytes().to_vec())));
        self.request.left_out = profile.upstream_lacks;
        self.properties.extend(
            request.properties.iter().map(|(path, value)| (path.clone().into_bytes(), value.clone())),
        );

        let headers = request.header_map(profile);
        // nginx does not tell of an empty body.
        let is_end = match profile.body_delivery {
            BodyDelivery::Chunks => !request.has_body(),
            BodyDelivery::Whole => request.body.iter().all(Vec::is_empty),
        };
        let told_end = is_end && !profile.end_of_stream_never_at_headers;
        self.request.pending.push_back(Piece::Headers { headers, told_end, is_end });
        if !is_end {
            match profile.body_delivery {
                BodyDelivery::Chunks => self.request.queue_body(request.body, request.trailers),
                BodyDelivery::Whole => {
                    let body = request.body.concat();
                    if body.len() > profile.held_body_limit {
                        self.reply = Some(Reply::by_host(413));
                    }
                    // nor of trailers.
                    self.request.pending.push_back(Piece::Chunk { bytes: body, end: true });
                }
            }
        }
        self.upstream_response = Some(request.response);
    }

    /// The request as far as it arrived at the upstream.
    fn seen_by_upstream(&self, profile: &HostProfile) -> Option<UpstreamRequest> {
        let passed = &self.request.passed;
        let headers = passed.headers.as_ref().filter(|_| profile.streams_to_upstream || passed.ended)?;
        let sent = |property: &str| {
            let value = self.properties.get(property.as_bytes()).map_or(&b""[..], |value| value);
            String::from_utf8_lossy(value).into_owned()
        };
        let pseudo = |name, property| headers.get(name).map_or_else(|| sent(property), Cow::into_owned);
        Some(UpstreamRequest {
            method: pseudo(":method", "request.method"),
            // A host that shows a decoded path still sends the raw one.
            path: if profile.decodes_path { sent("request.path") } else { pseudo(":path", "request.path") },
            authority: match profile.authority {
                AuthorityView::Pseudo => pseudo(":authority", "request.host"),
                AuthorityView::ServerName(_) => pseudo("host", "request.host"),
            },
            headers: headers.clone().without_pseudo(),
            body: passed.body.clone(),
            trailers: passed.trailers.clone().unwrap_or_default(),
            complete: passed.ended,
        })
    }

    /// Puts the response on its way to the plugin, once it is known who
    /// answers. False while that is not known.
    fn queue_response(&mut self) -> bool {
        if self.closed || self.origin.is_some() {
            return !self.closed;
        }
        let (origin, headers, body, trailers) = if let Some(reply) = &self.reply {
            let response = Response {
                status: reply.status,
                headers: reply.headers.clone(),
                body: Vec::new(),
                trailers: None,
            };
            (reply.origin, response.header_map(), vec![reply.body.clone()], None)
        } else if self.request.is_done() {
            let Some(response) = self.upstream_response.take() else {
                return false;
            };
            (Origin::Upstream, response.header_map(), response.body, response.trailers)
        } else {
            return false;
        };
        self.origin = Some(origin);
        let is_end = trailers.is_none() && body.iter().all(Vec::is_empty);
        self.response.pending.push_back(Piece::Headers { headers, told_end: is_end, is_end });
        if !is_end {
            self.response.queue_body(body, trailers);
        }
        true
    }

    /// What the client got, if that is decided.
    fn final_reply(&self) -> Option<Reply> {
        let origin = self.origin?;
        let passed = &self.response.passed;
        if self.closed || !self.response.is_done() {
            // A reply that came while the upstream's was played replaces it.
            return self.reply.clone().filter(|_| origin == Origin::Upstream && !self.closed);
        }
        let headers = passed.headers.clone().unwrap_or_default();
        Some(Reply {
            origin,
            status: headers.get(":status").and_then(|status| status.parse().ok()).unwrap_or(0),
            headers: headers.without_pseudo(),
            body: passed.body.clone(),
            trailers: passed.trailers.clone().unwrap_or_default(),
        })
    }
}

impl Half {
    /// A chunk each, then the end: as HTTP/1.1 codecs deliver it.
    fn queue_body(&mut self, chunks: Vec<Vec<u8>>, trailers: Option<Headers>) {
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        self.pending.extend(chunks.map(|bytes| Piece::Chunk { bytes, end: false }));
        self.pending.push_back(match trailers {
            Some(trailers) => Piece::Trailers(trailers),
            None => Piece::Chunk { bytes: Vec::new(), end: true },
        });
    }
}

fn shown_end(end: bool) -> &'static str {
    if end { ", end of stream" } else { "" }
}
