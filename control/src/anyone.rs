//! Callers that need no API key.

use crate::App;
use crate::auth::{KnownKey, Scope, identify};
use crate::error::ApiError;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use std::net::{IpAddr, SocketAddr};

/// Whoever calls what is public. An API key that comes along is not looked at: the
/// clients send theirs everywhere. Calls are counted by address.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl FromRequestParts<App> for Anyone {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        app.limits.check(&address(parts))?;
        Ok(Anyone)
    }
}

/// Whoever calls, with an API key or without: for what needs one in some cases only.
#[derive(Clone, Debug)]
pub struct KeyOrNone(Option<KnownKey>);

impl FromRequestParts<App> for KeyOrNone {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let known = identify(parts, app).await?;
        if known.is_none() {
            app.limits.check(&address(parts))?;
        }
        Ok(KeyOrNone(known))
    }
}

impl KeyOrNone {
    /// As for a handler that takes a [`Caller`](crate::auth::Caller) of this scope.
    ///
    /// # Errors
    /// 401 without a key, with `why` one is needed; 403 with one that lacks the scope.
    pub fn require<S: Scope>(&self, why: &str) -> Result<(), ApiError> {
        match &self.0 {
            Some(known) if known.scopes.contains(S::NAME) => Ok(()),
            Some(_) => Err(ApiError::forbidden(format!("the API key lacks the scope {}", S::NAME))),
            None => Err(ApiError::unauthorized(why)),
        }
    }
}

/// The address that calls are counted by. Of IPv6 it is the network's half: whoever has
/// one address there has them all.
fn address(parts: &Parts) -> String {
    match parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip()) {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        None => "unknown".to_owned(),
    }
}
