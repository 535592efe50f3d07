//! Where the REST surface is, and how it is asked.

use super::answer::{Answer, MAX_ANSWER, Refusal};
use super::request::RestRequest;
use super::stdio::Remote;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request};
use rmcp::model::Extensions;
use std::net::SocketAddr;
use tower::ServiceExt;

/// A REST surface.
#[derive(Clone, Debug)]
pub enum Rest {
    /// This process's own, asked with the key and the address of whoever calls the tool.
    Here(Router),
    /// That of a running service, asked with one key.
    There(Remote),
}

impl Rest {
    /// The answer to a request, for the call that `caller` tells of.
    ///
    /// # Errors
    /// There is none, or it is too long.
    pub async fn ask(&self, asked: RestRequest, caller: &Extensions) -> Result<Answer, Refusal> {
        match self {
            Rest::Here(router) => ask_here(router, asked, caller).await,
            Rest::There(remote) => remote.ask(asked).await,
        }
    }
}

async fn ask_here(router: &Router, asked: RestRequest, caller: &Extensions) -> Result<Answer, Refusal> {
    let body = asked.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = Request::builder()
        .method(asked.method)
        .uri(asked.target)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(body)
        .map_err(|_| Refusal::new("invalid", "the arguments make no request"))?;
    if let Some(parts) = caller.get::<axum::http::request::Parts>() {
        if let Some(key) = parts.headers.get(AUTHORIZATION) {
            request.headers_mut().insert(AUTHORIZATION, key.clone());
        }
        if let Some(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            request.extensions_mut().insert(*address);
        }
    }
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), MAX_ANSWER).await;
    Ok(Answer { status, body: body.map_err(|_| Refusal::too_long())?.into() })
}
