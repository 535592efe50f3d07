//! Streamable HTTP at `/mcp` (MCP 2026-07-28, "Transports").
//!
//! Every request stands for itself: there are no sessions, so none can be taken over, none are
//! kept for clients that went away, and any instance of the service answers any request.
//! Clients of the versions that know sessions are answered without one, as those allow.

use super::{Rest, Server};
use crate::error::ApiResult;
use crate::server::MAX_BODY;
use crate::{App, Settings, auth};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::sync::Arc;

/// The route of the protocol, whose tools call `rest`.
pub fn routes(app: &App, rest: Router) -> Router<App> {
    let server = Server::new(Rest::Here(rest));
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config(&app.settings));
    Router::new().route_service("/mcp", service).layer(middleware::from_fn_with_state(app.clone(), with_key))
}

/// A page of another site must not speak to a service inside the browser's network, whatever
/// its own name resolves to: the names by which the service is called are known, and a
/// browser's origin is nobody's unless it was named.
fn config(settings: &Settings) -> StreamableHttpServerConfig {
    let own = settings.public_url.strip_prefix("https://").unwrap_or_default();
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1", own].map(str::to_owned).into();
    if !settings.listen.ip().is_unspecified() {
        hosts.push(settings.listen.ip().to_string());
    }
    hosts.extend(settings.mcp_hosts.iter().cloned());
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY)
        .with_allowed_hosts(hosts)
        .with_allowed_origins(settings.mcp_origins.iter().cloned())
        .enforce_origin_validation()
}

/// Lets nobody in without a good API key (RFC 6750, section 3: the answer says which kind).
/// What it may do, the REST surface judges at each call.
async fn with_key(State(app): State<App>, request: Request, next: Next) -> Response {
    let answer = match check_key(&app, request).await {
        Ok(request) => Ok(next.run(request).await),
        Err(error) => Err(error),
    };
    let mut response = answer.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
    }
    response
}

async fn check_key(app: &App, request: Request) -> ApiResult<Request> {
    let (mut parts, body) = request.into_parts();
    // The calls that follow bring the one that was checked: a key, and no console's session.
    parts.headers.remove(auth::REGISTRY_KEY);
    match auth::presented(&parts) {
        Some(_) if auth::identify(&parts, app).await?.is_some() => Ok(Request::from_parts(parts, body)),
        _ => Err(auth::needed()),
    }
}
