//! Sessions: a random token in a cookie that scripts do not see, in place of an API key. A
//! session may do what its key may, and ends with it.

use super::{browser, end_own_key, random_token};
use crate::App;
use crate::auth::{KnownKey, hash, scopes_of};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use sqlx::Row;
use subtle::ConstantTimeEq;

/// A session ends so long after a person last did something: the length of a shift's break.
pub const IDLE_MS: i64 = 3_600_000;

/// And so long after it began, whatever is done: a working day.
pub const LONGEST_MS: i64 = 12 * 3_600_000;

/// Sessions of one API key; the one that was longest without a person makes room.
const MOST_OF_KEY: i64 = 16;

/// How exactly it is kept when a person last did something.
const SEEN_STEP_MS: i64 = 60_000;

/// The cookie's name over TLS: browsers take it from no other host, and send it to no other
/// (RFC 6265bis, section 4.1.3.2).
const COOKIE_TLS: &str = "__Host-portcullis_session";

/// And without, for a service on loopback.
const COOKIE_PLAIN: &str = "portcullis_session";

/// A session that goes on.
#[derive(Clone, Debug)]
pub struct Session {
    /// What its token is found by.
    hash: String,
    /// The key whose scopes it has.
    pub key: KnownKey,
    /// That key's name.
    pub key_name: String,
    /// The origin of the page that signed in.
    pub origin: String,
    /// Until when, if nobody does anything.
    pub idle_until: i64,
    /// Until when at most.
    pub expires_at: i64,
    is_own_key: bool,
}

/// Begins a session, and answers its cookie.
///
/// # Errors
/// No database, no randomness.
pub async fn begin(tx: &mut Tx, key_id: &str, is_own_key: bool, origin: &str) -> ApiResult<String> {
    let token = random_token("")?;
    let now = now_ms();
    // One less than there may be then, so that this one has its place.
    sqlx::query(
        "DELETE FROM console_sessions WHERE key_id = $1 AND hash NOT IN \
         (SELECT hash FROM console_sessions WHERE key_id = $2 ORDER BY seen_at DESC, hash LIMIT $3)",
    )
    .bind(key_id)
    .bind(key_id)
    .bind(MOST_OF_KEY.saturating_sub(1))
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO console_sessions (hash, key_id, own_key, origin, created_at, seen_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(hash(&token))
    .bind(key_id)
    .bind(i64::from(is_own_key))
    .bind(origin)
    .bind(now)
    .bind(now)
    .bind(now.saturating_add(LONGEST_MS))
    .execute(&mut **tx)
    .await?;
    Ok(cookie(origin, &token, LONGEST_MS.checked_div(1000).unwrap_or_default()))
}

/// The session of a request that brings its cookie, if there is one; counted for its key.
///
/// # Errors
/// 401 where the session is over, 403 where another page may have sent the request.
pub async fn of_request(parts: &Parts, app: &App) -> ApiResult<Option<Session>> {
    let Some((token, is_tls)) = token(parts)? else { return Ok(None) };
    let session = find(app, token, is_tls).await?;
    browser::check(parts, &session.origin)?;
    app.limits.check(&session.key.id)?;
    if parts.headers.get(browser::HEADER).is_some_and(|value| value == "active") {
        see(app, &session).await?;
    }
    Ok(Some(session))
}

/// Ends a session.
///
/// # Errors
/// No database.
pub async fn end(tx: &mut Tx, session: &Session) -> ApiResult<()> {
    sqlx::query("DELETE FROM console_sessions WHERE hash = $1")
        .bind(&session.hash)
        .execute(&mut **tx)
        .await?;
    if session.is_own_key {
        end_own_key(tx, &session.key.id).await?;
    }
    Ok(())
}

/// The cookie that takes a session's cookie away.
pub fn no_cookie(origin: &str) -> String {
    cookie(origin, "", 0)
}

fn cookie(origin: &str, token: &str, seconds: i64) -> String {
    let (name, secure) =
        if origin.starts_with("https://") { (COOKIE_TLS, "; Secure") } else { (COOKIE_PLAIN, "") };
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// The token of a request's cookie, and whether it came by the name that only TLS sets.
fn token(parts: &Parts) -> ApiResult<Option<(&str, bool)>> {
    let mut found = None;
    let lines = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    for (name, value) in lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('=')) {
        let is_tls = match name.trim() {
            COOKIE_TLS => true,
            COOKIE_PLAIN => false,
            _ => continue,
        };
        match found {
            // A host beside ours can set the plain name too; that one never counts over TLS.
            Some((_, true)) if !is_tls => {}
            Some((_, before)) if before == is_tls => {
                return Err(ApiError::unauthorized("there are two sessions' cookies: sign in again"));
            }
            _ => found = Some((value.trim(), is_tls)),
        }
    }
    Ok(found)
}

async fn find(app: &App, token: &str, is_tls: bool) -> ApiResult<Session> {
    let over = || ApiError::unauthorized("the session is over: sign in again");
    let presented = hash(token);
    let row = sqlx::query(
        "SELECT console_sessions.hash AS hash, key_id, own_key, origin, seen_at, expires_at, name, scopes \
         FROM console_sessions \
         JOIN api_keys ON api_keys.id = console_sessions.key_id \
         WHERE console_sessions.hash = $1 AND revoked_at IS NULL",
    )
    .bind(&presented)
    .fetch_optional(app.db.pool())
    .await?
    .ok_or_else(over)?;
    let stored: String = row.try_get("hash")?;
    let origin: String = row.try_get("origin")?;
    let (seen_at, expires_at): (i64, i64) = (row.try_get("seen_at")?, row.try_get("expires_at")?);
    let idle_until = seen_at.saturating_add(IDLE_MS);
    let is_its = bool::from(stored.as_bytes().ct_eq(presented.as_bytes()));
    if !is_its || is_tls != origin.starts_with("https://") || idle_until.min(expires_at) <= now_ms() {
        return Err(over());
    }
    let scopes = scopes_of(&row.try_get::<String, _>("scopes")?)?;
    Ok(Session {
        hash: stored,
        key: KnownKey { id: row.try_get("key_id")?, scopes },
        key_name: row.try_get("name")?,
        origin,
        idle_until,
        expires_at,
        is_own_key: row.try_get::<i64, _>("own_key")? == 1,
    })
}

/// Keeps that a person did something.
async fn see(app: &App, session: &Session) -> ApiResult<()> {
    let now = now_ms();
    if session.idle_until.saturating_sub(IDLE_MS) > now.saturating_sub(SEEN_STEP_MS) {
        return Ok(());
    }
    sqlx::query("UPDATE console_sessions SET seen_at = $1 WHERE hash = $2")
        .bind(now)
        .bind(&session.hash)
        .execute(app.db.pool())
        .await?;
    Ok(())
}
