//! Callers that need no API key.

use crate::App;
use crate::auth::{KnownKey, Scope, identify};
use crate::error::ApiError;
use crate::limits::network;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use std::net::SocketAddr;

/// Whoever calls what is public. Credentials that come along are not looked at: clients
/// send their API keys everywhere. Calls are counted by address.
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

/// Whom calls are counted by: the caller's address, or of IPv6 its network.
pub fn address(parts: &Parts) -> String {
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    connected.map_or_else(|| "unknown".to_owned(), |ConnectInfo(address)| network(address.ip()).to_string())
}

#[cfg(test)]
mod tests {
    use super::{ConnectInfo, SocketAddr, address};
    use axum::http::Request;

    #[test]
    fn callers_are_told_apart_by_address_and_in_ipv6_by_network() {
        let cases = [
            ("192.0.2.1:1", "192.0.2.1"),
            // As a socket that takes both kinds has it: not one caller with all others.
            ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
            ("[::ffff:192.0.2.2]:1", "192.0.2.2"),
            ("[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::"),
            ("[2001:db8:1:2:7::8]:1", "2001:db8:1:2::"),
            ("[2001:db8:1:3::]:1", "2001:db8:1:3::"),
        ];
        for (from, counted) in cases {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.extensions.insert(ConnectInfo(from.parse::<SocketAddr>().unwrap()));
            assert_eq!(address(&parts), counted, "{from}");
        }
    }
}
