//! A look at a followed registry: its keys, the badges that it revoked, the status of its
//! agents. Each is kept as it comes; only when all of it came is the registry known to be
//! complete, as of the look's beginning.

use super::claim::{Claim, LOOK};
use super::feeds::{RevocationPage, is_good, read_status};
use super::{SeenKey, check_issuer};
use crate::App;
use crate::outside::OutsideError;
use crate::time::now_ms;
use crate::trust::changes::{self, Kind, Revocation};
use anyhow::{Result, anyhow, bail};
use portcullis_core::BadgeIssuerConfig;
use portcullis_core::capiscio::Jwks;
use std::collections::BTreeSet;

/// As much as core reads: some 400 keys.
const MAX_JWKS: usize = 64 * 1024;

/// A page of 1000 entries with long reasons, five times over.
const MAX_PAGE: usize = 1024 * 1024;

/// A status is a handful of members.
const MAX_STATUS: usize = 16 * 1024;

/// Entries that a page is asked for.
const PAGE: usize = 1000;

/// Pages in one look. A longer feed is gone on with at the next.
const MAX_PAGES: usize = 50;

/// A quarter of what a gate can hold of all issuers together, so that no one registry
/// fills it up.
const MAX_REVOCATIONS: i64 = 1024 * 1024;

/// The reason of a revocation that a followed registry asked for. Those of operators have
/// others, and are not taken back here.
const REASON: &str = "followed: the registry says so";

pub(super) async fn look_and_keep(app: &App, claim: &Claim) {
    let began = now_ms();
    let keys = keys(app, &claim.id).await;
    let rest = tokio::time::timeout(LOOK, complete(app, claim)).await;
    let rest = rest.unwrap_or_else(|_| Err(anyhow!("the look took longer than {} s", LOOK.as_secs())));
    let found = Found { began, keys, rest };
    if let Some(error) = found.error() {
        tracing::warn!(origin = claim.id, error, "a registry cannot be followed");
    }
    if let Err(error) = keep(app, claim, &found).await {
        tracing::warn!(origin = claim.id, error = format!("{error:#}"), "a registry's state cannot be kept");
    }
}

struct Found {
    began: i64,
    keys: Result<Vec<SeenKey>, OutsideError>,
    rest: Result<()>,
}

impl Found {
    /// What an operator is told: everything that failed, in at most 1000 characters.
    fn error(&self) -> Option<String> {
        let keys = self.keys.as_ref().err().map(ToString::to_string);
        let rest = self.rest.as_ref().err().map(|error| format!("{error:#}"));
        let all: Vec<String> = [keys, rest].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; ").chars().take(1000).collect())
    }
}

async fn keys(app: &App, origin: &str) -> Result<Vec<SeenKey>, OutsideError> {
    let url = format!("{origin}/.well-known/jwks.json");
    let body = app.outside.get(&url, MAX_JWKS).await?;
    let set = Jwks::read(&body).map_err(|problem| OutsideError::new(&url, problem))?;
    let keys = SeenKey::sorted(&set.keys);
    let issuer = BadgeIssuerConfig {
        id: origin.to_owned(),
        tier: 1,
        actions: vec!["*".to_owned()],
        keys: keys.iter().cloned().map(SeenKey::config).collect(),
        minimum_level: None,
        compatibility: Vec::new(),
        revocations_synced_at: None,
    };
    check_issuer(&issuer).map_err(|error| OutsideError::new(&url, error.to_string()))?;
    Ok(keys)
}

/// Takes everything up that the registry revoked and disabled.
async fn complete(app: &App, claim: &Claim) -> Result<()> {
    let revocations = revocations(app, claim).await;
    let agents = agents(app, claim).await;
    match (revocations, agents) {
        (Err(first), Err(second)) => bail!("{first:#}; {second:#}"),
        (first, second) => first.and(second),
    }
}

async fn revocations(app: &App, claim: &Claim) -> Result<()> {
    let mut cursor = claim.cursor.clone();
    let mut seen = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let since = cursor.as_deref().map(|cursor| format!("&since={}", encoded(cursor))).unwrap_or_default();
        let url = format!("{}/v1/revocations?limit={PAGE}{since}", claim.id);
        let body = app.outside.get(&url, MAX_PAGE).await?;
        let page = RevocationPage::read(&body, &claim.id, PAGE)
            .map_err(|problem| OutsideError::new(&url, problem))?;
        take(app, claim, &page).await?;
        // Some registries give a cursor at the end too, to go on from later.
        let is_end = page.jtis.is_empty() || page.next.is_none() || page.next == cursor;
        if is_end {
            return Ok(());
        }
        cursor = page.next;
        if cursor.as_ref().is_some_and(|cursor| !seen.insert(cursor.clone())) {
            bail!(OutsideError::new(&url, "goes round: nextCursor is one that was given before"));
        }
    }
    bail!("{}/v1/revocations: has more than {MAX_PAGES} pages; the next look goes on", claim.id)
}

/// Keeps a page and where the next begins, as one.
async fn take(app: &App, claim: &Claim, page: &RevocationPage) -> Result<()> {
    let mut tx = app.db.write().await?;
    claim.hold_registry(&mut tx).await?;
    sqlx::query("UPDATE followed_issuers SET feed_cursor = COALESCE($1, feed_cursor) WHERE origin = $2")
        .bind(&page.next)
        .bind(&claim.id)
        .execute(&mut *tx)
        .await?;
    if page.jtis.is_empty() {
        return Ok(tx.commit().await?);
    }
    let all: Vec<Revocation<'_>> =
        page.jtis.iter().map(|jti| Revocation { kind: Kind::Badge, issuer: &claim.id, id: jti }).collect();
    let number = changes::revoke_all(&mut tx, &app.trust, &all, Some(REASON), None).await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM revocations WHERE kind = $1 AND issuer = $2")
        .bind(Kind::Badge.name())
        .bind(&claim.id)
        .fetch_one(&mut *tx)
        .await?;
    if count > MAX_REVOCATIONS {
        bail!("{}/v1/revocations: has more than {MAX_REVOCATIONS} entries", claim.id);
    }
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(())
}

/// Asks for each followed agent. One that cannot be asked for does not keep the others
/// from being asked, but the look is not complete.
async fn agents(app: &App, claim: &Claim) -> Result<()> {
    let dids: Vec<(String,)> =
        sqlx::query_as("SELECT did FROM followed_agents WHERE origin = $1 ORDER BY did")
            .bind(&claim.id)
            .fetch_all(app.db.pool())
            .await?;
    let mut first_failure = None;
    for (did,) in dids {
        let url = format!("{}/v1/agents/{}/status", claim.id, encoded(&did));
        let status =
            app.outside.get(&url, MAX_STATUS).await.and_then(|body| {
                read_status(&body, &did).map_err(|problem| OutsideError::new(&url, problem))
            });
        keep_status(app, claim, &did, &status).await?;
        if let Err(error) = status {
            first_failure.get_or_insert(error);
        }
    }
    first_failure.map_or(Ok(()), |error| Err(error.into()))
}

async fn keep_status(
    app: &App,
    claim: &Claim,
    did: &str,
    status: &Result<String, OutsideError>,
) -> Result<()> {
    let mut tx = app.db.write().await?;
    claim.hold_registry(&mut tx).await?;
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            sqlx::query("UPDATE followed_agents SET last_error = $1 WHERE origin = $2 AND did = $3")
                .bind(error.to_string())
                .bind(&claim.id)
                .bind(did)
                .execute(&mut *tx)
                .await?;
            return Ok(tx.commit().await?);
        }
    };
    let updated = sqlx::query(
        "UPDATE followed_agents SET status = $1, seen_at = $2, last_error = NULL WHERE origin = $3 AND did = $4",
    )
    .bind(status)
    .bind(now_ms())
    .bind(&claim.id)
    .bind(did)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Ok(());
    }
    let reason: Option<(Option<String>,)> =
        sqlx::query_as("SELECT reason FROM revocations WHERE kind = $1 AND issuer = $2 AND id = $3")
            .bind(Kind::Agent.name())
            .bind(&claim.id)
            .bind(did)
            .fetch_optional(&mut *tx)
            .await?;
    let agent = Revocation { kind: Kind::Agent, issuer: &claim.id, id: did };
    let number = match (is_good(status), reason) {
        (false, None) => changes::revoke(&mut tx, &app.trust, agent, Some(REASON), None).await?,
        (true, Some((Some(reason),))) if reason == REASON => {
            changes::restore(&mut tx, &app.trust, agent).await?
        }
        _ => None,
    };
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(())
}

/// Keeps the keys, how the look went, and when the next one is.
async fn keep(app: &App, claim: &Claim, found: &Found) -> Result<()> {
    let error = found.error();
    let now = now_ms();
    let (failures, look_at) = claim.next(app, error.is_some());
    let keys = found.keys.as_ref().ok().map(serde_json::to_string).transpose()?;
    let mut tx = app.db.write().await?;
    let updated = sqlx::query(
        "UPDATE followed_issuers SET keys = COALESCE($1, keys), keys_seen_at = COALESCE($2, keys_seen_at), \
         synced_at = COALESCE($3, synced_at), last_error = $4, last_error_at = COALESCE($5, last_error_at), \
         failures = $6, look_at = $7 WHERE origin = $8 AND look_at = $9",
    )
    .bind(&keys)
    .bind(keys.as_ref().map(|_| now))
    .bind(found.rest.is_ok().then_some(found.began))
    .bind(&error)
    .bind(error.as_ref().map(|_| now))
    .bind(failures)
    .bind(look_at)
    .bind(&claim.id)
    .bind(claim.look_at)
    .execute(&mut *tx)
    .await?;
    let is_ours = updated.rows_affected() == 1;
    let is_new = is_ours && keys.is_some_and(|keys| keys != claim.keys);
    let number = if is_new { Some(changes::renew_all_gates(&mut tx).await?) } else { None };
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(())
}

/// Text as one part of a path or a query (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
