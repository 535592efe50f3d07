//! Connections that must begin to speak.

use axum_server::accept::Accept;
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes by which it is known whether a connection is of HTTP/1 or HTTP/2 (its preface, RFC 9113 section
/// 3.4). No request is shorter that names its host. From then on the server's own limits hold.
const PREFACE: usize = 24;

/// Accepts what another acceptor does, and breaks connections off that do not begin within a time.
#[derive(Clone, Copy, Debug)]
pub struct MustBegin<A> {
    acceptor: A,
    within: Duration,
}

impl<A> MustBegin<A> {
    /// Connections of `acceptor` have `within` for their first bytes.
    pub fn new(acceptor: A, within: Duration) -> Self {
        MustBegin { acceptor, within }
    }
}

impl<A: Accept<I, S>, I, S> Accept<I, S> for MustBegin<A> {
    type Stream = FirstBytes<A::Stream>;
    type Service = A::Service;
    type Future = MapOk<A::Future, Began<A::Stream, A::Service>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let within = self.within;
        let began: Began<A::Stream, A::Service> =
            Box::new(move |(stream, service)| (FirstBytes::new(stream, within), service));
        self.acceptor.accept(stream, service).map_ok(began)
    }
}

/// What becomes of an accepted connection.
type Began<T, S> = Box<dyn FnOnce((T, S)) -> (FirstBytes<T>, S) + Send>;

/// A connection that has a time for its first bytes.
#[derive(Debug)]
pub struct FirstBytes<T> {
    stream: T,
    read: usize,
    /// `None` once it has begun.
    end: Option<Pin<Box<Sleep>>>,
}

impl<T> FirstBytes<T> {
    fn new(stream: T, within: Duration) -> Self {
        FirstBytes { stream, read: 0, end: Some(Box::pin(sleep(within))) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FirstBytes<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = self.read.saturating_add(buffer.filled().len().saturating_sub(before));
        if self.read >= PREFACE {
            self.end = None;
        }
        let is_over = |end: &mut Pin<Box<Sleep>>| end.as_mut().poll(context).is_ready();
        if polled.is_pending() && self.end.as_mut().is_some_and(is_over) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FirstBytes<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
