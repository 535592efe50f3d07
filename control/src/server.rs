//! Serving: the routes with what holds for all of them, and the process's beginning and end.

use crate::api;
use crate::error::ApiError;
use crate::follow;
use crate::{App, Settings};
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The longest body: a passport with the longest chain is 64 KiB, several fit.
const MAX_BODY: usize = 1024 * 1024;

/// How long requests that are under way may take once the service is told to end: a long
/// poll waits 30 s at most, and is answered at once when it can be.
const GRACE: Duration = Duration::from_secs(5);

/// All routes, ready to be served.
pub fn router(app: App) -> Router {
    let (router, document) = api::routes().split_for_parts();
    let document = document.to_pretty_json().unwrap_or_default();
    let document = move || async move { ([("content-type", "application/json")], document) };
    router
        .route("/openapi.json", get(document))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this method is not served here",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// Gives each request an id, completes errors with it, and logs what became of it. Neither
/// queries nor headers are logged: they carry secrets.
async fn finish(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let span = tracing::info_span!("request", %id);
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
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let code = error.map_or("", |error| error.code);
    tracing::info!(%id, %method, path, status, millis, code, "served");
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
    announce(handle.clone());
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let served = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => {
            let tls =
                RustlsConfig::from_pem_file(cert, key).await.context("the certificate cannot be used")?;
            axum_server::bind_rustls(settings.listen, tls).handle(handle).serve(service).await
        }
        _ => axum_server::bind(settings.listen).handle(handle).serve(service).await,
    };
    served.with_context(|| format!("cannot serve on {}", settings.listen))?;
    background.abort();
    following.abort();
    ender.abort();
    app.db.close().await;
    tracing::info!("ended");
    Ok(())
}

/// Says where it listens, for people and for whoever asked for port 0.
fn announce(handle: Handle<SocketAddr>) {
    tokio::spawn(async move {
        if let Some(address) = handle.listening().await {
            tracing::info!(%address, "serving");
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
