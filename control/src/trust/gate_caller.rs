//! A gate that calls: known by the key that it was enrolled with.

use super::signature::Signature;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::time::{now, now_ms};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, Request};
use portcullis_core::{PublicKey, base64};
use sqlx::Row;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A gate whose signature is good, and the body that it covers.
#[derive(Debug)]
pub struct GateCaller {
    /// Its id.
    pub gate: String,
    /// The id of the key that signed.
    pub key_id: String,
    /// The request's body.
    pub body: Bytes,
    /// The address that it comes from.
    pub address: Option<IpAddr>,
}

impl GateCaller {
    /// That the request is about the caller itself.
    ///
    /// # Errors
    /// 403.
    pub fn must_be(&self, gate: &str) -> ApiResult<()> {
        if self.gate == gate {
            Ok(())
        } else {
            Err(ApiError::forbidden(format!("the key is that of the gate {}", self.gate)))
        }
    }
}

/// A gate that asks about nonces: as often as requests come, which is counted apart, so
/// that it learns of revocations however many there are.
#[derive(Debug)]
pub struct NonceCaller(pub GateCaller);

/// A gate that asks about spending; counted apart for the same reason.
#[derive(Debug)]
pub struct SpendCaller(pub GateCaller);

/// A gate that brings records, which is counted apart too: it must learn of revocations
/// however much it has to tell.
#[derive(Debug)]
pub struct RecordCaller(pub GateCaller);

impl FromRequest<App> for GateCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let caller = GateCaller::verified(request, app).await?;
        app.limits.check(&caller.gate)?;
        Ok(caller)
    }
}

impl FromRequest<App> for NonceCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let caller = GateCaller::verified(request, app).await?;
        app.limits.check_nonces(&caller.gate)?;
        Ok(NonceCaller(caller))
    }
}

impl FromRequest<App> for SpendCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let caller = GateCaller::verified(request, app).await?;
        app.limits.check_spend(&caller.gate)?;
        Ok(SpendCaller(caller))
    }
}

impl FromRequest<App> for RecordCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let caller = GateCaller::verified(request, app).await?;
        app.limits.check_records(&caller.gate)?;
        Ok(RecordCaller(caller))
    }
}

impl GateCaller {
    async fn verified(request: Request, app: &App) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        let signature = Signature::read(&parts).map_err(ApiError::unauthorized)?;
        let known = app.trust.gates.find(app, &signature.key_id).await?;
        let whole = Request::from_parts(parts.clone(), body);
        let body = Bytes::from_request(whole, app).await.map_err(|rejection| {
            ApiError::new(rejection.status(), "unreadable", "the body is too large or did not come whole")
        })?;
        signature.verify(&parts, &body, &known.key, now()).map_err(ApiError::unauthorized)?;
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(GateCaller { gate: known.gate, key_id: signature.key_id, body, address })
    }
}

/// The keys of gates that called lately, so that a thousand gates that ask every two
/// seconds cost the database little.
#[derive(Default)]
pub struct KnownGates(Mutex<HashMap<String, Remembered>>);

/// How long a key may still call after it was ended. What it then learns is what it knew
/// before; nothing of the gate's decisions depends on it.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Twice the gates that one instance is measured with; past that all are forgotten.
const MOST: usize = 10_000;

#[derive(Clone)]
struct Remembered {
    gate: String,
    key: PublicKey,
    at: Instant,
}

impl KnownGates {
    async fn find(&self, app: &App, key_id: &str) -> ApiResult<Remembered> {
        let known = self.lock().get(key_id).cloned();
        if let Some(known) = known.filter(|known| known.at.elapsed() < REMEMBERED) {
            return Ok(known);
        }
        let unknown = || ApiError::unauthorized("the key is that of no gate: enrol the gate again");
        let row = sqlx::query(
            "SELECT gate_keys.gate_id, public_key FROM gate_keys \
             JOIN gates ON gates.gate_id = gate_keys.gate_id \
             WHERE key_id = $1 AND deleted_at IS NULL AND (not_after IS NULL OR not_after > $2)",
        )
        .bind(key_id)
        .bind(now_ms())
        .fetch_optional(app.db.pool())
        .await?
        .ok_or_else(unknown)?;
        let key = base64::decode_array(&row.try_get::<String, _>("public_key")?);
        let key = key.and_then(|key| PublicKey::from_bytes(&key)).ok_or_else(unknown)?;
        let found = Remembered { gate: row.try_get("gate_id")?, key, at: Instant::now() };
        let mut all = self.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key_id.to_owned(), found.clone());
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KnownGates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KnownGates({})", self.lock().len())
    }
}
