//! Who is to be challenged: an account, or an agent with a badge.

use crate::App;
use crate::anyone::address;
use crate::auth::{self, Registry, Scope};
use crate::error::{ApiError, ApiResult};
use crate::registry::{agents, origin, standing};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

/// Who is to be challenged: an account for any agent, or an agent for itself.
#[derive(Clone, Debug)]
pub(super) struct Challenger {
    /// An API key's id, or the agent's DID.
    pub(super) account: String,
    /// Where the request comes from.
    pub(super) address: String,
}

impl Challenger {
    /// RFC-003 sections 3.1 and 5.1: an API key, or a badge of this registry that is about
    /// `agent` and, where it names an audience, for the registry. Whether there is such an
    /// agent is told to nobody else.
    ///
    /// # Errors
    /// 401 or 403.
    pub(super) async fn of(parts: &Parts, app: &App, agent: Option<&agents::Agent>) -> ApiResult<Self> {
        let address = address(parts);
        let badges = badges(&parts.headers);
        let has_key = parts.headers.contains_key("x-capiscio-registry-key");
        if has_key || badges.is_empty() {
            let known = auth::identify(parts, app).await?.ok_or_else(|| {
                ApiError::unauthorized(
                    "an API key (X-Capiscio-Registry-Key) or the agent's badge (X-Capiscio-Badge) is needed",
                )
            })?;
            if !known.scopes.contains(Registry::NAME) {
                return Err(ApiError::forbidden(format!("the API key lacks the scope {}", Registry::NAME)));
            }
            return Ok(Challenger { account: known.id, address });
        }
        app.limits.check(&address)?;
        let [badge] = badges.as_slice() else {
            return Err(ApiError::unauthorized("one badge is needed, and there are two"));
        };
        let badge = standing::judge(app, badge)
            .await?
            .map_err(|denial| ApiError::unauthorized(format!("the badge is refused: {denial}")))?;
        if agent.is_none_or(|agent| agent.did != badge.subject()) {
            return Err(ApiError::forbidden("the badge is another agent's"));
        }
        if badge.audience().is_some_and(|audience| !audience.iter().any(|name| name == origin(app))) {
            return Err(ApiError::forbidden(format!("the badge's aud does not name {}", origin(app))));
        }
        Ok(Challenger { account: badge.subject().to_owned(), address })
    }
}

/// The badges of a request: JWS have dots, and API keys have none.
fn badges(headers: &HeaderMap) -> Vec<&str> {
    let named = headers.get_all("x-capiscio-badge").iter().filter_map(|value| value.to_str().ok());
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && token.contains('.'))
    });
    named.chain(bearers).collect()
}
