//! Serving: the routes with what holds for all of them, and the process's beginning and end.

use crate::anyone::Anyone;
use crate::api;
use crate::auth::REGISTRY_KEY;
use crate::error::{ApiError, ApiResult};
use crate::first_bytes::MustBegin;
use crate::follow;
use crate::limits::Credential;
use crate::settings::COMMIT;
use crate::{App, Settings, approvals, console, mcp, traces, trust};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The longest body: a passport with the longest chain is 64 KiB, several fit.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// How long requests that are under way may take once the service is told to end: a long
/// poll waits 30 s at most, and is answered at once when it can be.
const GRACE: Duration = Duration::from_secs(5);

/// All routes, ready to be served.
pub fn router(app: App) -> Router {
    let (router, document) = api::routes().split_for_parts();
    // Shared by all who are sent it: one that is slow to take it holds no copy of its own.
    let document = Bytes::from(api::document(&document).unwrap_or_default());
    let document = move |_: Anyone| async move { ([("content-type", "application/json")], document) };
    let rest = router
        .route("/openapi.json", get(document))
        .merge(console::assets::routes())
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this method is not served here",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let rest = guarded(rest, &app);
    let tools = guarded(mcp::http::routes(&app, rest.clone()), &app);
    rest.merge(tools)
}

/// What holds for every request. A tool's call is two: one of `/mcp`, one of what it calls.
fn guarded(router: Router<App>, app: &App) -> Router {
    router
        .layer(middleware::from_fn_with_state(app.clone(), admit))
        .layer(middleware::from_fn_with_state(app.clone(), finish))
        .with_state(app.clone())
}

/// The routes on which gates wait for what is new, and others for a settlement: half a minute
/// at most. A tool's call waits for what it calls.
const WAITING: &[&str] = &["/gate/v1/gates/{gate}/trust", "/api/billing", "/mcp"];

/// Refuses who calls too often, and gives each request its time.
async fn admit(State(app): State<App>, request: Request, next: Next) -> ApiResult<Response> {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let credential = credential(&request);
    if let Some(address) = address {
        match credential {
            Some(credential) => app.limits.check_failures(address, credential)?,
            None => app.limits.check_address(address)?,
        }
    }
    // PostgreSQL's text has no such character, so that nothing has such a name.
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().contains("%00")) {
        return Err(ApiError::invalid("query", "a parameter has the character U+0000"));
    }
    let mut seconds = u64::from(app.settings.request_seconds);
    if route(&request).is_some_and(|route| WAITING.contains(&route)) {
        seconds = seconds.saturating_add(60);
    }
    let Ok(response) = tokio::time::timeout(Duration::from_secs(seconds), next.run(request)).await else {
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("the request was not there and answered within {seconds} s"),
        ));
    };
    if let (Some(address), Some(credential), StatusCode::UNAUTHORIZED) =
        (address, credential, response.status())
    {
        app.limits.failed(address, credential);
    }
    Ok(response)
}

fn credential(request: &Request) -> Option<Credential> {
    let headers = request.headers();
    if headers.contains_key("signature-input") {
        return Some(Credential::Signature);
    }
    let has_key = headers.contains_key(AUTHORIZATION) || headers.contains_key(REGISTRY_KEY);
    has_key.then_some(Credential::Key)
}

fn route(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Gives each request an id, completes errors with it, counts it, and logs what became of
/// it. Neither queries nor headers are logged: they carry secrets.
async fn finish(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = Instant::now();
    let traced = traces::span(&method, route.as_ref().map(MatchedPath::as_str), request.headers());
    let span = traced.in_scope(|| tracing::info_span!("request", %id));
    let response = tracing::Instrument::instrument(next.run(request), span).await;
    let (mut parts, body) = response.into_parts();
    let error = parts.extensions.remove::<ApiError>();
    let mut response = match &error {
        Some(error) => (parts.clone(), error.body(&id)).into_response(),
        None => Response::from_parts(parts, body),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    let status = response.status().as_u16();
    traces::answered(&traced, &id, status);
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.served(route, &method, status, began.elapsed());
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let code = error.map_or("", |error| error.code);
    let route = route.unwrap_or_default();
    tracing::info!(%id, %method, route, path, status, millis, code, "served");
    response
}

/// Serves until the process is told to end; then ends what is under way, and closes the
/// database.
///
/// # Errors
/// It cannot listen, or the certificate cannot be used.
pub async fn serve(settings: Settings) -> Result<()> {
    let app = App::open(settings).await?;
    let settings = app.settings.clone();
    let handle = Handle::new();
    let ender = tokio::spawn(end_on_signal(handle.clone(), app.clone()));
    let background = tokio::spawn({
        let app = app.clone();
        async move { app.trust.watch_database(&app.db, &app.vault).await }
    });
    let following = tokio::spawn(follow::run(app.clone()));
    let records = tokio::spawn({
        let app = app.clone();
        async move { app.followers.watch_database(&app).await }
    });
    let upkeep = tokio::spawn(trust::upkeep::run(app.clone()));
    let proxies = tokio::spawn(trust::proxies::run(app.clone()));
    let waiting = tokio::spawn(approvals::run(app.clone()));
    announce(handle.clone());
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let header_time = Duration::from_secs(u64::from(settings.request_seconds));
    let served = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => {
            let tls = certificate(cert, key).await?;
            let renewal = tokio::spawn(renew_on_signal(tls.clone(), cert.clone(), key.clone()));
            let server = axum_server::bind_rustls(settings.listen, tls).handle(handle);
            let mut server = server.map(|acceptor| MustBegin::new(acceptor, header_time));
            limit(server.http_builder(), header_time);
            let served = server.serve(service).await;
            renewal.abort();
            served
        }
        _ => {
            let server = axum_server::bind(settings.listen).handle(handle);
            let mut server = server.map(|acceptor| MustBegin::new(acceptor, header_time));
            limit(server.http_builder(), header_time);
            server.serve(service).await
        }
    };
    served.with_context(|| format!("cannot serve on {}", settings.listen))?;
    background.abort();
    following.abort();
    records.abort();
    upkeep.abort();
    proxies.abort();
    waiting.abort();
    ender.abort();
    app.db.close().await;
    tracing::info!("ended");
    Ok(())
}

/// Who sends no headers, or is gone, holds no connection.
fn limit(builder: &mut Builder<TokioExecutor>, header_time: Duration) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_time);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(header_time)
        .keep_alive_timeout(header_time)
        .max_concurrent_streams(MAX_STREAMS);
}

/// Requests at a time on a connection of HTTP/2: what RFC 9113 section 6.5.2 calls the least that lets
/// calls run side by side. Proxies with more of them make another connection.
const MAX_STREAMS: u32 = 100;

async fn certificate(cert: &Path, key: &Path) -> Result<RustlsConfig> {
    let unusable =
        || format!("the certificate {} with the key {} cannot be used", cert.display(), key.display());
    RustlsConfig::from_pem_file(cert, key).await.with_context(unusable)
}

/// Reads the certificate again whenever SIGHUP says that it was renewed.
async fn renew_on_signal(tls: RustlsConfig, cert: PathBuf, key: PathBuf) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match certificate(&cert, &key).await {
            Ok(renewed) => {
                tls.reload_from_config(renewed.get_inner());
                tracing::info!("the certificate was read again");
            }
            Err(error) => tracing::error!("{error:#}; the former one stays in use"),
        }
    }
}

/// Says where it listens, for people and for whoever asked for port 0.
fn announce(handle: Handle<SocketAddr>) {
    tokio::spawn(async move {
        if let Some(address) = handle.listening().await {
            tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), commit = COMMIT, "serving");
        }
    });
}

async fn end_on_signal(handle: Handle<SocketAddr>, app: App) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("ending");
    app.trust.end();
    handle.graceful_shutdown(Some(GRACE));
}
