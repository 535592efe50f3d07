//! The agents of the registry, and what changes about them.

use super::{origin, own_did, revoke, served_did};
use crate::App;
use crate::db::{self, Tx};
use crate::error::{ApiError, ApiResult};
use crate::follow::leave_room_for;
use crate::time::now_ms;
use crate::trust::changes::{self, Kind, Revocation};
use anyhow::anyhow;
use axum::http::StatusCode;
use portcullis_core::base64;
use portcullis_core::capiscio::{Level, is_did, key_of_did};
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

/// A registered agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// The registry's own id of it, which stays when its DID changes.
    pub id: String,
    /// Its DID: a `did:key` or a `did:web`.
    pub did: String,
    /// For people.
    pub name: String,
    /// The domain that its badges name.
    pub domain: Option<String>,
    /// What its badges say, by the operator's decision.
    pub level: Level,
    /// Its key, where one is registered.
    pub key: Option<[u8; 32]>,
    /// Whether it gets badges, and whether those that it has are taken.
    pub status: Status,
    /// Since when it is not active.
    pub disabled_at: Option<i64>,
    /// Why it is not active.
    pub reason: Option<String>,
    /// When it was registered.
    pub created_at: i64,
}

/// RFC-002 section 7.5: all but `active` have their badges refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// It may act.
    Active,
    /// It may not.
    Disabled,
    /// It may not for now.
    Suspended,
}

macro_rules! returning {
    ($before:literal) => {
        concat!(
            $before,
            " id, did, name, domain, trust_level, public_key, status, disabled_at, reason, created_at"
        )
    };
    ($before:literal, $after:literal) => {
        concat!(returning!($before), $after)
    };
}

/// The agent of this DID or id.
///
/// # Errors
/// 400 `invalid_did`, 404 `agent_not_found`.
pub async fn find<'e>(db: impl Executor<'e, Database = Any>, name: &str) -> ApiResult<Agent> {
    let query = if is_named_by_did(name)? {
        sqlx::query(returning!("SELECT", " FROM agents WHERE did = $1"))
    } else {
        sqlx::query(returning!("SELECT", " FROM agents WHERE id = $1"))
    };
    let row = query.bind(name).fetch_optional(db).await?.ok_or_else(|| not_found(name))?;
    Agent::of(&row)
}

/// As [`find`], and nobody else changes the agent, or issues to it, until `tx` ends.
///
/// # Errors
/// As [`find`].
pub async fn lock(tx: &mut Tx, name: &str) -> ApiResult<Agent> {
    let query = if is_named_by_did(name)? {
        sqlx::query(returning!("UPDATE agents SET status = status WHERE did = $1 RETURNING"))
    } else {
        sqlx::query(returning!("UPDATE agents SET status = status WHERE id = $1 RETURNING"))
    };
    let row = query.bind(name).fetch_optional(&mut **tx).await?.ok_or_else(|| not_found(name))?;
    Agent::of(&row)
}

/// At most `limit` agents after the one of the id `after`, by their ids.
///
/// # Errors
/// No database.
pub async fn list(app: &App, after: &str, limit: i64) -> ApiResult<Vec<Agent>> {
    let rows = sqlx::query(returning!("SELECT", " FROM agents WHERE id > $1 ORDER BY id LIMIT $2"))
        .bind(after)
        .bind(limit)
        .fetch_all(app.db.pool())
        .await?;
    rows.iter().map(Agent::of).collect()
}

/// Registers an agent. Where its `did:web` is another host's, its document is followed
/// from now on.
///
/// # Errors
/// 409 if the DID is registered, 422 for what `check` refuses.
pub async fn create(tx: &mut Tx, app: &App, agent: &Agent) -> ApiResult<()> {
    check(app, agent)?;
    let inserted = sqlx::query(
        "INSERT INTO agents (id, did, name, domain, trust_level, public_key, status, disabled_at, reason, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&agent.id)
    .bind(&agent.did)
    .bind(&agent.name)
    .bind(&agent.domain)
    .bind(agent.level.text())
    .bind(agent.key.map(|key| base64::encode(&key)))
    .bind(agent.status.name())
    .bind(agent.disabled_at)
    .bind(&agent.reason)
    .bind(agent.created_at)
    .execute(&mut **tx)
    .await;
    taken(inserted, agent)?;
    follow_document(tx, app, agent).await
}

/// Writes what has changed about an agent that is locked. Badges that say what no longer
/// holds, another key or domain, another DID or a higher level, are revoked. Answers the
/// number of the last change that gates must see.
///
/// # Errors
/// As [`create`]; 409 where an agent that is not active would get another DID.
pub async fn update(tx: &mut Tx, app: &App, before: &Agent, after: &Agent) -> ApiResult<Option<i64>> {
    check(app, after)?;
    if before.did != after.did && before.status != Status::Active {
        return Err(ApiError::conflict("the agent is not active: enable it before it gets another DID"));
    }
    let updated = sqlx::query(
        "UPDATE agents SET did = $1, name = $2, domain = $3, trust_level = $4, public_key = $5, \
         status = $6, disabled_at = $7, reason = $8 WHERE id = $9",
    )
    .bind(&after.did)
    .bind(&after.name)
    .bind(&after.domain)
    .bind(after.level.text())
    .bind(after.key.map(|key| base64::encode(&key)))
    .bind(after.status.name())
    .bind(after.disabled_at)
    .bind(&after.reason)
    .bind(&after.id)
    .execute(&mut **tx)
    .await;
    taken(updated, after)?;
    let mut newest = None;
    if before.did != after.did {
        newest = unfollow_document(tx, before).await?;
        follow_document(tx, app, after).await?;
    }
    let is_contradicted = before.did != after.did
        || before.key != after.key
        || before.domain != after.domain
        || before.level > after.level;
    if is_contradicted {
        newest = revoke::all_of(tx, app, &before.did, "superseded").await?.or(newest);
    }
    let what = Revocation { kind: Kind::Agent, issuer: origin(app), id: &after.did };
    let changed = match (before.status, after.status) {
        (Status::Active, Status::Disabled | Status::Suspended) => {
            changes::revoke(tx, &app.trust, what, after.reason.as_deref(), None).await?
        }
        (Status::Disabled | Status::Suspended, Status::Active) => {
            changes::restore(tx, &app.trust, what).await?
        }
        _ => None,
    };
    Ok(changed.or(newest))
}

/// Forgets an agent that is locked, and revokes its badges. Answers as [`update`].
///
/// # Errors
/// No database.
pub async fn delete(tx: &mut Tx, app: &App, agent: &Agent) -> ApiResult<Option<i64>> {
    let unfollowed = unfollow_document(tx, agent).await?;
    let revoked = revoke::all_of(tx, app, &agent.did, "agent deleted").await?;
    // What is left of it are badges that are revoked: its status matters no more.
    let what = Revocation { kind: Kind::Agent, issuer: origin(app), id: &agent.did };
    let restored = match agent.status {
        Status::Active => None,
        Status::Disabled | Status::Suspended => changes::restore(tx, &app.trust, what).await?,
    };
    sqlx::query("DELETE FROM agents WHERE id = $1").bind(&agent.id).execute(&mut **tx).await?;
    Ok(restored.or(revoked).or(unfollowed))
}

impl Agent {
    /// The key that its badges bind to it: the one registered, or that of its `did:key`.
    pub fn badge_key(&self) -> Option<[u8; 32]> {
        self.key.or_else(|| key_of_did(&self.did))
    }

    /// Whether this registry serves its DID document.
    pub fn is_served_here(&self, app: &App) -> bool {
        self.did == served_did(app, &self.id)
    }

    /// The same with another status, from now on.
    #[must_use]
    pub fn with_status(&self, status: Status, reason: Option<String>) -> Self {
        let is_active = status == Status::Active;
        let since = self.disabled_at.unwrap_or_else(now_ms);
        Agent {
            status,
            disabled_at: (!is_active).then_some(since),
            reason: reason.filter(|_| !is_active),
            ..self.clone()
        }
    }

    fn of(row: &AnyRow) -> ApiResult<Self> {
        let damaged = |what: &str| anyhow!("an agent's {what} is unreadable");
        let key: Option<String> = row.try_get("public_key")?;
        let key = key.map(|key| base64::decode_array(&key).ok_or_else(|| damaged("key"))).transpose()?;
        let level: String = row.try_get("trust_level")?;
        let status: String = row.try_get("status")?;
        Ok(Agent {
            id: row.try_get("id")?,
            did: row.try_get("did")?,
            name: row.try_get("name")?,
            domain: row.try_get("domain")?,
            level: Level::from_text(&level).ok_or_else(|| damaged("trust level"))?,
            key,
            status: Status::named(&status).ok_or_else(|| damaged("status"))?,
            disabled_at: row.try_get("disabled_at")?,
            reason: row.try_get("reason")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl Status {
    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Disabled => "disabled",
            Status::Suspended => "suspended",
        }
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Status::Active, Status::Disabled, Status::Suspended].into_iter().find(|one| one.name() == name)
    }
}

/// What an agent must be, beside what its fields' types say.
fn check(app: &App, agent: &Agent) -> ApiResult<()> {
    if !is_did(&agent.did) || !["did:key:", "did:web:"].iter().any(|method| agent.did.starts_with(method)) {
        return Err(ApiError::invalid("did", "must be a did:key of an Ed25519 key, or a did:web"));
    }
    let own = own_did(app);
    let is_own = agent.did.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if is_own && !agent.is_served_here(app) {
        let problem = format!("is of this registry; this agent's would be {}", served_did(app, &agent.id));
        return Err(ApiError::invalid("did", problem));
    }
    if key_of_did(&agent.did).is_some_and(|key| agent.key.is_some_and(|registered| registered != key)) {
        return Err(ApiError::invalid("publicKey", "is not the key of the did:key"));
    }
    if agent.level >= Level::DomainValidated && agent.domain.is_none() {
        return Err(ApiError::invalid("domain", "is needed from level 2 on"));
    }
    Ok(())
}

async fn follow_document(tx: &mut Tx, app: &App, agent: &Agent) -> ApiResult<()> {
    if agent.did.starts_with("did:web:") && !agent.is_served_here(app) {
        leave_room_for(tx, &agent.did).await?;
        sqlx::query(
            "INSERT INTO did_documents (did, keys, look_at, created_at, agent_id) \
             VALUES ($1, '[]', $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&agent.did)
        .bind(now_ms())
        .bind(now_ms())
        .bind(&agent.id)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Ends what [`follow_document`] began, unless the document was asked for by name too. Answers the number
/// of the change, for gates.
async fn unfollow_document(tx: &mut Tx, agent: &Agent) -> ApiResult<Option<i64>> {
    let seen: Option<(i64,)> = sqlx::query_as(
        "SELECT CASE WHEN seen_at IS NULL THEN 0 ELSE 1 END FROM did_documents WHERE did = $1 AND agent_id = $2",
    )
    .bind(&agent.did)
    .bind(&agent.id)
    .fetch_optional(&mut **tx)
    .await?;
    // The clock first, then the row: everyone takes them in this order. Gates never had what was never
    // seen.
    let number = match seen {
        Some((1,)) => Some(changes::renew_all_gates(tx).await?),
        _ => None,
    };
    sqlx::query("DELETE FROM did_documents WHERE did = $1 AND agent_id = $2")
        .bind(&agent.did)
        .bind(&agent.id)
        .execute(&mut **tx)
        .await?;
    Ok(number)
}

fn taken<T>(result: Result<T, sqlx::Error>, agent: &Agent) -> ApiResult<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if db::is_conflict(&error) => {
            Err(ApiError::conflict(format!("an agent of the DID {} is registered already", agent.did)))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_named_by_did(name: &str) -> ApiResult<bool> {
    if !name.starts_with("did:") {
        return Ok(false);
    }
    if !is_did(name) {
        let message = "the DID in the path is malformed, or a did:key of no Ed25519 key";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_did", message));
    }
    Ok(true)
}

fn not_found(name: &str) -> ApiError {
    let message = format!("no agent {name:.300} is registered here");
    ApiError::new(StatusCode::NOT_FOUND, "agent_not_found", message)
}
