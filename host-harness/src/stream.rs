use std::collections::{BTreeMap, VecDeque};
use std::mem;

use crate::{HeaderPause, Headers, HostProfile, Origin, Reply, Response};

/// One HTTP stream of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u32);

/// What a callback answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// Wait until the plugin continues the stream, or until a later callback does.
    Pause,
}

/// What a step let through to the other side, for whoever forwards it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The headers, pseudo-headers included, if they were released in this step.
    pub headers: Option<Headers>,
    /// Body bytes.
    pub body: Vec<u8>,
    /// Trailers; with them the message has ended.
    pub trailers: Option<Headers>,
    /// The message has ended.
    pub ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// The plugin's or the host's own reply.
    pub(crate) reply: Option<Reply>,
    /// What the upstream will answer, until it has.
    pub(crate) upstream_response: Option<Response>,
    /// Who answered, once the response is on its way.
    pub(crate) origin: Option<Origin>,
    pub(crate) closed: bool,
    pub(crate) logging: bool,
    pub(crate) properties: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// A part of a message on its way to the plugin.
#[derive(Debug)]
pub(crate) enum Piece {
    /// `told_end` is what the plugin hears; `is_end` is the truth.
    Headers {
        headers: Headers,
        told_end: bool,
        is_end: bool,
    },
    Chunk {
        bytes: Vec<u8>,
        end: bool,
    },
    Trailers(Headers),
}

/// One direction of a stream: what is on its way to the plugin, what the
/// plugin holds, what it let through.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Headers,
    pub(crate) headers_open: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    pub(crate) trailers_open: bool,
    pub(crate) pending: VecDeque<Piece>,
    /// Set by `proxy_continue_stream`.
    pub(crate) resume: bool,
    /// No further callbacks until resumed.
    pub(crate) stopped: bool,
    /// Headers that the host itself does not pass on.
    pub(crate) left_out: &'static [&'static str],
    headers_passed: bool,
    input_ended: bool,
    end_passed: bool,
    pub(crate) passed: Passed,
}

impl Stream {
    pub(crate) fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// Nothing of this side is to be played any more.
    pub(crate) fn is_over(&self, side: Side) -> bool {
        self.closed || (side == Side::Request && self.reply.is_some())
    }
}

impl Half {
    /// Takes a piece in, so that the plugin can see it. Returns what its
    /// callback is told.
    pub(crate) fn receive(&mut self, piece: Piece) -> Received {
        match piece {
            Piece::Headers { headers, told_end, is_end } => {
                self.headers = headers;
                self.headers_open = true;
                self.input_ended = is_end;
                Received::Headers { count: self.headers.len(), told_end }
            }
            Piece::Chunk { bytes, end } => {
                self.body.extend_from_slice(&bytes);
                self.input_ended = end;
                Received::Body { size: self.body.len(), end }
            }
            Piece::Trailers(trailers) => {
                self.trailers = trailers;
                self.trailers_open = true;
                self.input_ended = true;
                Received::Trailers { count: self.trailers.len() }
            }
        }
    }

    pub(crate) fn settle(&mut self, received: &Received, action: Action, profile: &HostProfile) {
        let ignored = profile.header_pause == HeaderPause::Ignored;
        match action {
            Action::Pause if ignored => self.release(profile),
            Action::Pause => {
                let at_headers = matches!(received, Received::Headers { .. });
                self.stopped = at_headers && profile.header_pause == HeaderPause::StopAll;
            }
            Action::Continue => self.release(profile),
        }
    }

    /// Lets through whatever has arrived.
    pub(crate) fn release(&mut self, profile: &HostProfile) {
        self.stopped = false;
        self.resume = false;
        // Where the upstream gets nothing before the end, later changes still count.
        if !self.headers_passed || !profile.streams_to_upstream {
            self.headers_passed = true;
            self.passed.headers = Some(self.headers.revealed(self.left_out));
            self.headers_open = !profile.headers_close_after_continue;
        }
        self.passed.body.append(&mut self.body);
        if self.trailers_open {
            self.passed.trailers = Some(self.trailers.revealed(&[]));
            self.trailers_open = false;
        }
        self.passed.ended = self.input_ended;
        self.end_passed = self.input_ended;
    }

    /// The whole message is on the other side.
    pub(crate) fn is_done(&self) -> bool {
        self.end_passed
    }

    pub(crate) fn take_passed(&mut self) -> Passed {
        mem::take(&mut self.passed)
    }
}

#[derive(Debug)]
pub(crate) enum Received {
    Headers { count: usize, told_end: bool },
    Body { size: usize, end: bool },
    Trailers { count: usize },
}
