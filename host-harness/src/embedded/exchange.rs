//! One request and its response.

use std::rc::Rc;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use portcullis_harness::{Headers, Passed, Reply, Step};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::limits;
use super::message;
use super::response_body::ResponseBody;
use super::worker::{BodyChannel, Cut, Stream, Worker};

/// A request's body on its way to the upstream: whole, or piece by piece.
pub(super) type UpstreamBody = Either<Full<Bytes>, BodyChannel>;

/// A response's body on its way to the client: the gate's own, or the upstream's.
pub(super) type ClientBody = Either<Full<Bytes>, ResponseBody>;

/// Answers a request. An error closes the connection.
pub(super) async fn exchange(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<ClientBody>, Cut> {
    match judge(&worker, request).await {
        Ok(response) => Ok(response),
        Err(End::Status(status)) => Ok(plain(status)),
        Err(End::Reply(stream, reply)) => reply_through(&stream, reply),
        Err(End::Closed) => Err(Cut),
    }
}

/// Why a request does not come back with the upstream's response.
pub(super) enum End {
    /// The plugin closed the stream.
    Closed,
    /// The plugin, or the host for it, replies.
    Reply(Rc<Stream>, Reply),
    /// The gate itself replies.
    Status(StatusCode),
}

async fn judge(worker: &Rc<Worker>, request: Request<Incoming>) -> Result<Response<ClientBody>, End> {
    let (head, mut body) = request.into_parts();
    let map = message::request_map(&head).map_err(End::Status)?;
    let stream = Rc::new(worker.open().ok_or(End::Status(StatusCode::SERVICE_UNAVAILABLE))?);

    let mut passed = Passed::default();
    take(&stream, stream.request_headers(map, body.is_end_stream()), &mut passed)?;
    let mut ended = body.is_end_stream();
    let map = loop {
        if let Some(map) = passed.headers.take() {
            break map;
        }
        if ended {
            // Held with nothing more to come: nothing here would ever wake it.
            return Err(End::Status(StatusCode::SERVICE_UNAVAILABLE));
        }
        ended = feed(&stream, &mut body, &mut passed).await?;
    };
    let response = forward(worker, &stream, map, passed, body).await?;
    answer(&stream, response)
}

/// Hands the plugin the next piece of the request's body. Returns whether it
/// was the last.
async fn feed(stream: &Rc<Stream>, body: &mut Incoming, passed: &mut Passed) -> Result<bool, End> {
    let next = timeout(limits::BODY_PIECE_TIME, body.frame()).await;
    let next = next.map_err(|_| End::Status(StatusCode::REQUEST_TIMEOUT))?;
    let Some(frame) = next.transpose().map_err(|_| End::Status(StatusCode::BAD_REQUEST))? else {
        take(stream, stream.request_body(&[], true), passed)?;
        return Ok(true);
    };
    match frame.into_data() {
        Ok(data) => {
            take(stream, stream.request_body(&data, false), passed)?;
            Ok(false)
        }
        Err(frame) => {
            let trailers = frame.into_trailers().unwrap_or_default();
            let map =
                trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect::<Headers>();
            take(stream, stream.request_trailers(map), passed)?;
            Ok(true)
        }
    }
}

/// Adds what a step let through; a step that ends the request is an error.
fn take(stream: &Rc<Stream>, step: Step, passed: &mut Passed) -> Result<(), End> {
    if let Some(reply) = step.reply {
        return Err(End::Reply(Rc::clone(stream), reply));
    }
    if step.closed {
        return Err(End::Closed);
    }
    if step.passed.headers.is_some() {
        passed.headers = step.passed.headers;
    }
    passed.body.extend(step.passed.body);
    passed.ended |= step.passed.ended;
    Ok(())
}

/// Sends a released request to the upstream, its body as it comes.
async fn forward(
    worker: &Rc<Worker>,
    stream: &Rc<Stream>,
    map: Headers,
    passed: Passed,
    incoming: Incoming,
) -> Result<Response<Incoming>, End> {
    let (refused, mut refusal) = oneshot::channel();
    let body = if passed.ended {
        drop(refused);
        Either::Left(Full::from(passed.body))
    } else {
        let (sender, channel) = Channel::new(limits::BODY_PIECES_UNDER_WAY);
        let stream = Rc::clone(stream);
        spawn_local(async move {
            if let Err(end) = pump(&stream, incoming, passed, sender).await {
                // Nobody listens any more once the upstream has answered.
                let _ = refused.send(end);
            }
        });
        Either::Right(channel)
    };
    let request = message::upstream_request(&map, &worker.upstream, body);
    let request = request.ok_or(End::Status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let response = timeout(limits::RESPONSE_TIME, worker.client.request(request));
    let mut response = std::pin::pin!(response);
    let answered = tokio::select! {
        answered = response.as_mut() => answered,
        Ok(end) = &mut refusal => return Err(end),
    };
    match answered {
        Ok(Ok(response)) => Ok(response),
        // A body that was cut off fails the upstream's side too: the reason is the refusal.
        Ok(Err(_)) => Err(refusal.try_recv().unwrap_or(End::Status(StatusCode::BAD_GATEWAY))),
        Err(_) => Err(End::Status(StatusCode::GATEWAY_TIMEOUT)),
    }
}

/// Carries the rest of a request's body through the plugin to the upstream.
async fn pump(
    stream: &Rc<Stream>,
    mut incoming: Incoming,
    mut passed: Passed,
    mut sender: Sender<Bytes, Cut>,
) -> Result<(), End> {
    let mut ended = false;
    // One round per piece of the body.
    loop {
        let bytes = std::mem::take(&mut passed.body);
        if !bytes.is_empty() && sender.send_data(bytes.into()).await.is_err() {
            // The upstream takes no more; its response says why.
            return Ok(());
        }
        if passed.ended {
            return Ok(());
        }
        let fed = if ended {
            Err(End::Status(StatusCode::SERVICE_UNAVAILABLE))
        } else {
            feed(stream, &mut incoming, &mut passed).await
        };
        match fed {
            Ok(last) => ended = last,
            Err(end) => {
                sender.abort(Cut);
                return Err(end);
            }
        }
    }
}

/// Takes the upstream's response through the plugin to the client.
fn answer(stream: &Rc<Stream>, response: Response<Incoming>) -> Result<Response<ClientBody>, End> {
    let (head, body) = response.into_parts();
    let step = stream.response_headers(message::response_map(&head), body.is_end_stream());
    let mut passed = Passed::default();
    take(stream, step, &mut passed)?;
    // A plugin that holds a response's head would have to be woken by its body; none here is.
    let map = passed.headers.ok_or(End::Status(StatusCode::SERVICE_UNAVAILABLE))?;
    let body = Either::Right(ResponseBody::new(Rc::clone(stream), body));
    message::client_response(&map, body).ok_or(End::Status(StatusCode::BAD_GATEWAY))
}

/// A local reply passes the plugin's response callbacks, as in Envoy.
fn reply_through(stream: &Stream, reply: Reply) -> Result<Response<ClientBody>, Cut> {
    let mut map = Headers::default();
    map.add(":status", reply.status.to_string());
    for (name, value) in reply.headers.iter() {
        map.add(name, value);
    }
    let is_empty = reply.body.is_empty();
    let mut passed = stream.response_headers(map, is_empty).passed;
    if !is_empty {
        passed.body.extend(stream.response_body(&reply.body, true).passed.body);
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = passed.headers.unwrap_or_default();
    let response = message::client_response(&map, Either::Left(Full::from(passed.body)));
    Ok(response.unwrap_or_else(|| plain(status)))
}

/// The gate's own replies are bare, and end the connection: whoever sent such a
/// request may not agree with the gate on where the next one begins.
fn plain(status: StatusCode) -> Response<ClientBody> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
