use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::time::{Instant, Sleep, sleep};

use super::limits;
use super::worker::{Cut, Stream};

/// The upstream's body on its way through the plugin to the client. Trailers
/// end here.
pub(super) struct ResponseBody {
    stream: Rc<Stream>,
    incoming: Incoming,
    patience: Pin<Box<Sleep>>,
    ended: bool,
}

impl ResponseBody {
    pub(super) fn new(stream: Rc<Stream>, incoming: Incoming) -> Self {
        let ended = incoming.is_end_stream();
        Self { stream, incoming, patience: Box::pin(sleep(limits::BODY_PIECE_TIME)), ended }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        // One round per piece that the plugin keeps back; the upstream's end ends it.
        while !self.ended {
            if self.patience.as_mut().poll(context).is_ready() {
                return Poll::Ready(Some(Err(Cut)));
            }
            let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
            if let Some(later) = Instant::now().checked_add(limits::BODY_PIECE_TIME) {
                self.patience.as_mut().reset(later);
            }
            let step = match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.stream.response_body(&data, false),
                Some(Err(_)) => return Poll::Ready(Some(Err(Cut))),
                Some(Ok(Err(_))) | None => {
                    self.ended = true;
                    self.stream.response_body(&[], true)
                }
            };
            if step.closed || step.reply.is_some() || (self.ended && !step.passed.ended) {
                // Too late to answer anything else: the client sees a broken body.
                return Poll::Ready(Some(Err(Cut)));
            }
            if !step.passed.body.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(step.passed.body.into()))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
