//! Whether a badge of this registry is good now, judged by the verifier that gates have.

use super::agents::{self, Status};
use super::documents;
use super::{origin, revoke};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::time::{iso, now};
use anyhow::anyhow;
use axum::http::StatusCode;
use portcullis_core::capiscio::{self, Audience, Badge};
use portcullis_core::{
    BadgeIssuerConfig, Denial, DidDocumentConfig, DisabledAgent, KeyConfig, Profile, Reason, RevokedBadge,
    Trust, TrustConfig, base64,
};

/// Judges a badge with this registry as its only issuer: shape, signature, window, the
/// binding of its key, revocation and the agent's status. Of its audience nothing is
/// asked: that is for those whom it is shown to.
///
/// # Errors
/// What the service fails in; what is wrong with the badge is the inner error.
pub async fn judge(app: &App, token: &str) -> ApiResult<Result<Badge, Denial>> {
    let mut tx = app.db.read().await?;
    let keys = keys::published(&mut tx, Purpose::Badges, keys::SERVICE).await?;
    let issuer = BadgeIssuerConfig {
        id: origin(app).to_owned(),
        tier: 1,
        actions: vec!["*".to_owned()],
        keys: keys
            .into_iter()
            .map(|key| KeyConfig {
                key_id: key.key_id,
                public_key: key.public_key,
                not_before: None,
                not_after: key.not_after.map(iso),
            })
            .collect(),
        minimum_level: None,
        compatibility: Vec::new(),
        revocations_synced_at: None,
    };
    let mut config = TrustConfig { badge_issuers: vec![issuer], ..TrustConfig::default() };
    let now = now();
    let badge = match capiscio::verify(token.as_bytes(), &trust(&config)?, now) {
        Ok(badge) => badge,
        Err(denial) => return Ok(Err(denial)),
    };
    // What the registry knows of it, as the lists that a gate would have.
    let Some(record) = known(revoke::find(&mut *tx, badge.id()).await)? else {
        let detail = "the badge is signed by this registry, which does not know it";
        return Ok(Err(Denial::new(Reason::RevocationCheckFailed, detail)));
    };
    let agent = known(agents::find(&mut *tx, badge.subject()).await)?;
    if record.revoked_at.is_some() {
        config.revoked_badges.push(RevokedBadge { issuer: origin(app).to_owned(), jti: record.jti });
    }
    if agent.as_ref().is_none_or(|agent| agent.status != Status::Active) {
        let agent_id = badge.subject().to_owned();
        config.disabled_agents.push(DisabledAgent { issuer: origin(app).to_owned(), agent_id });
    }
    if let Some(agent) = agent.filter(|agent| agent.did.starts_with("did:web:")) {
        // Without a document nothing is bound, and a badge of IAL 1 is refused for that.
        let methods = documents::methods(&mut tx, app, &agent).await.unwrap_or_default();
        let key = |method: documents::Method| KeyConfig {
            key_id: method.id,
            public_key: base64::encode(&method.key),
            not_before: None,
            not_after: None,
        };
        let keys = methods.into_iter().map(key).collect();
        config.did_documents.push(DidDocumentConfig { id: agent.did, keys });
    }
    Ok(capiscio::check_standing(&badge, &trust(&config)?, Audience::Unchecked, now).map(|()| badge))
}

fn trust(config: &TrustConfig) -> ApiResult<Trust> {
    // L1 asks for the least: level 1 and IAL 0.
    Ok(Trust::new(config, Profile::L1)
        .map_err(|error| anyhow!("the registry cannot judge itself: {error}"))?)
}

fn known<T>(found: ApiResult<T>) -> ApiResult<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ApiError { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
