//! Signing in at the console, and out; and who calls.

use crate::App;
use crate::audit;
use crate::auth::{self, KnownKey};
use crate::console::session::{self, Session};
use crate::console::{browser, link};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::time::iso;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of sessions.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(who, sign_in, sign_out))
}

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
struct Who {
    /// The API key's id.
    key_id: String,
    /// Its name; of a session only.
    key_name: Option<String>,
    /// What it may do.
    scopes: BTreeSet<String>,
    /// Until when a session lasts if nobody does anything.
    idle_until: Option<String>,
    /// Until when a session lasts at most.
    expires_at: Option<String>,
    /// The HTTPS origin by which others reach the service.
    public_url: String,
    /// The service's version.
    version: &'static str,
}

/// Who calls: by an API key, or by a console's session.
#[utoipa::path(get, path = "/api/v1/session", tag = "console", responses(
    (status = 200, description = "Who it is", body = Who),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 403, description = "Another page sent it", body = ErrorBody),
))]
async fn who(State(app): State<App>, request: Request) -> ApiResult<Response> {
    let (parts, _) = request.into_parts();
    let mut who = Who {
        key_id: String::new(),
        key_name: None,
        scopes: BTreeSet::new(),
        idle_until: None,
        expires_at: None,
        public_url: app.settings.public_url.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let key = match auth::presented(&parts) {
        Some(_) => auth::identify(&parts, &app).await?.ok_or_else(auth::needed)?,
        None => {
            let session = signed_in(&parts, &app).await?;
            who.key_name = Some(session.key_name);
            who.idle_until = Some(iso(session.idle_until));
            who.expires_at = Some(iso(session.expires_at));
            session.key
        }
    };
    let KnownKey { id, scopes } = key;
    (who.key_id, who.scopes) = (id, scopes);
    Ok(([(CACHE_CONTROL, "no-store")], Json(who)).into_response())
}

async fn signed_in(parts: &axum::http::request::Parts, app: &App) -> ApiResult<Session> {
    let nobody = || ApiError::unauthorized("nobody is signed in: sign in at /console/");
    session::of_request(parts, app).await?.ok_or_else(nobody)
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct SignedIn {
    /// Always true.
    signed_in: bool,
}

/// Begins a session of a console, as a cookie: with an API key, or with the token of a link
/// that `portcullis-control console-link` made, either as `Authorization: Bearer`. For pages of
/// this service only: with its `Origin` and the header `x-portcullis-console`.
#[utoipa::path(post, path = "/api/v1/session", tag = "console", responses(
    (status = 201, description = "Signed in; the cookie is in Set-Cookie", body = SignedIn),
    (status = 401, description = "The key or the link is not good", body = ErrorBody),
    (status = 403, description = "Another page sent it", body = ErrorBody),
))]
async fn sign_in(State(app): State<App>, request: Request) -> ApiResult<Response> {
    let (parts, _) = request.into_parts();
    let origin = browser::signing_in(&parts, &app.settings)?;
    let token = auth::presented(&parts).ok_or_else(auth::needed)?;
    let mut tx;
    let (key_id, is_own, how) = if token.starts_with(link::PREFIX) {
        tx = app.db.write().await?;
        match link::spend(&mut tx, token).await {
            Ok(spent) => (spent.key_id, spent.is_own, "link"),
            Err(error) => {
                // One that is too old is gone for good.
                tx.commit().await?;
                return Err(error);
            }
        }
    } else {
        let known = auth::identify(&parts, &app).await?.ok_or_else(auth::needed)?;
        tx = app.db.write().await?;
        (known.id, false, "api_key")
    };
    let cookie = session::begin(&mut tx, &key_id, is_own, &origin).await?;
    audit::record(&mut tx, &key_id, "console.sign_in", &key_id, json!({"by": how})).await?;
    tx.commit().await?;
    let headers = [(SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(SignedIn { signed_in: true })).into_response())
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct SignedOut {
    /// Always true.
    signed_out: bool,
}

/// Ends the session that the request's cookie stands for.
#[utoipa::path(delete, path = "/api/v1/session", tag = "console", responses(
    (status = 200, description = "Signed out", body = SignedOut),
    (status = 401, description = "Nobody is signed in", body = ErrorBody),
    (status = 403, description = "Another page sent it", body = ErrorBody),
))]
async fn sign_out(State(app): State<App>, request: Request) -> ApiResult<Response> {
    let (parts, _) = request.into_parts();
    let session = signed_in(&parts, &app).await?;
    let mut tx = app.db.write().await?;
    session::end(&mut tx, &session).await?;
    audit::record(&mut tx, &session.key.id, "console.sign_out", &session.key.id, json!({})).await?;
    tx.commit().await?;
    let headers = [(SET_COOKIE, session::no_cookie(&session.origin)), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, Json(SignedOut { signed_out: true })).into_response())
}
