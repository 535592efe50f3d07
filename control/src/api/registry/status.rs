//! What verifiers ask: which badges are revoked, and which agents active (RFC-002 section
//! 7.5). Anyone may.

use crate::App;
use crate::anyone::Anyone;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::registry::feed::{self, Position};
use crate::registry::revoke::Record;
use crate::registry::{agents, revoke};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Whether a badge is revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BadgeStatus {
    /// Its id.
    jti: String,
    /// Whether it is.
    revoked: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when.
    #[serde(rename = "revokedAt", skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// Until when it is valid.
    expires_at: String,
    /// As `expires_at`.
    #[serde(rename = "expiresAt")]
    expires_at_too: String,
}

/// Whether an agent is active.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentStatus {
    /// Its DID.
    did: String,
    /// Its id.
    id: String,
    /// `active`, `disabled` or `suspended`.
    status: &'static str,
    /// Since when it is not active.
    #[serde(rename = "disabledAt")]
    disabled_at: Option<String>,
    /// Why.
    reason: Option<String>,
}

/// A page of revocations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revocations {
    /// In the order in which they were revoked.
    revocations: Vec<Revocation>,
    /// What to give as `since` to go on, now or later. It is there at the end too.
    #[serde(rename = "nextCursor")]
    next_cursor: String,
    /// Whether there is more now.
    #[serde(rename = "hasMore")]
    has_more: bool,
    /// The time at which this was all there is, where there is no more.
    #[serde(rename = "syncedAt")]
    synced_at: String,
}

/// A revoked badge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revocation {
    /// Its id.
    jti: String,
    /// Since when.
    #[serde(rename = "revokedAt")]
    revoked_at: String,
    /// Why.
    reason: Option<String>,
}

/// From where, and how many.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Since {
    /// A `nextCursor`, or a time in RFC 3339. Left out: the beginning.
    since: Option<String>,
    /// 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
}

/// Whether a badge is revoked.
#[utoipa::path(get, path = "/v1/badges/{jti}/status", tag = "badge registry",
    params(("jti" = String, Path, description = "The badge's id")), responses(
    (status = 200, description = "Its status", body = BadgeStatus),
    (status = 404, description = "This registry has not issued it", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn badge(
    _: Anyone,
    State(app): State<App>,
    Path(jti): Path<String>,
) -> ApiResult<Json<BadgeStatus>> {
    Ok(Json(BadgeStatus::of(revoke::find(app.db.pool(), &jti).await?)))
}

/// Whether an agent is active.
#[utoipa::path(get, path = "/v1/agents/{agent}/status", tag = "badge registry",
    params(("agent" = String, Path, description = "The agent's DID or id")), responses(
    (status = 200, description = "Its status", body = AgentStatus),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn agent(
    _: Anyone,
    State(app): State<App>,
    Path(agent): Path<String>,
) -> ApiResult<Json<AgentStatus>> {
    Ok(Json(AgentStatus::of(agents::find(app.db.pool(), &agent).await?)))
}

/// The badges that were revoked since a point in time or in the feed. Nothing is left out
/// or doubled by going on from `nextCursor`.
#[utoipa::path(get, path = "/v1/revocations", tag = "badge registry", params(Since), responses(
    (status = 200, description = "A page", body = Revocations),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn revocations(
    _: Anyone,
    State(app): State<App>,
    Query(asked): Query<Since>,
) -> ApiResult<Json<Revocations>> {
    let from = asked.since.as_deref().map_or(Ok(Position::After(0)), Position::read)?;
    let limit = asked.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::invalid("limit", "must be 1 to 1000"));
    }
    let synced_at = iso(now_ms());
    let page = feed::read(&app, from, limit).await?;
    let revocations = page.revocations.into_iter().map(|entry| Revocation {
        jti: entry.jti,
        revoked_at: iso(entry.revoked_at),
        reason: entry.reason,
    });
    Ok(Json(Revocations {
        revocations: revocations.collect(),
        next_cursor: page.next.cursor(),
        has_more: page.has_more,
        synced_at,
    }))
}

impl BadgeStatus {
    pub(super) fn of(record: Record) -> Self {
        BadgeStatus {
            jti: record.jti,
            revoked: record.revoked_at.is_some(),
            reason: record.reason,
            revoked_at: record.revoked_at.map(iso),
            expires_at: iso(record.expires_at),
            expires_at_too: iso(record.expires_at),
        }
    }
}

impl AgentStatus {
    pub(super) fn of(agent: agents::Agent) -> Self {
        AgentStatus {
            did: agent.did,
            id: agent.id,
            status: agent.status.name(),
            disabled_at: agent.disabled_at.map(iso),
            reason: agent.reason,
        }
    }
}
