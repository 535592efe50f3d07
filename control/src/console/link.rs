//! Links that sign in once: made by whoever may write the database, for whom no API key has
//! to be typed. The token stands in the address behind `#`, which browsers send to nobody.

use super::{end_own_key, random_token};
use crate::audit;
use crate::auth::{self, hash};
use crate::db::{Db, Tx};
use crate::error::{ApiError, ApiResult};
use crate::settings::ConsoleLinkArgs;
use crate::time::now_ms;
use anyhow::{Result, bail};
use serde_json::json;
use std::collections::BTreeSet;

/// How a link's token begins, so that it is told from an API key.
pub const PREFIX: &str = "mod_link_";

/// Makes a link, and answers its address.
///
/// # Errors
/// There is no such API key, or a scope does not exist; no database.
pub async fn make(args: &ConsoleLinkArgs) -> Result<String> {
    let db = Db::open(&args.storage.database).await?;
    let mut tx = db.write().await?;
    let (key_id, is_own) = match &args.key {
        Some(id) => (good_key(&mut tx, id).await?, false),
        None => (key_for(&mut tx, args).await?, true),
    };
    let token = random_token(PREFIX)?;
    let now = now_ms();
    let until = now.saturating_add(i64::from(args.minutes).saturating_mul(60_000));
    sqlx::query(
        "INSERT INTO console_links (hash, key_id, own_key, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hash(&token))
    .bind(&key_id)
    .bind(i64::from(is_own))
    .bind(now)
    .bind(until)
    .execute(&mut *tx)
    .await?;
    audit::record(&mut tx, "service", "console.link", &key_id, json!({"minutes": args.minutes}))
        .await
        .map_err(said)?;
    tx.commit().await?;
    db.close().await;
    Ok(format!("{}/console/#link={token}", args.url.trim_end_matches('/')))
}

fn said(error: ApiError) -> anyhow::Error {
    anyhow::anyhow!(error.message)
}

async fn good_key(tx: &mut Tx, id: &str) -> Result<String> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT id FROM api_keys WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
    let Some((id,)) = known else { bail!("there is no API key {id:.100} that is not revoked") };
    Ok(id)
}

/// A key that nobody holds: what is done by the link has a name in the audit, and an end.
async fn key_for(tx: &mut Tx, args: &ConsoleLinkArgs) -> Result<String> {
    let scopes: BTreeSet<String> = match args.scopes.is_empty() {
        true => auth::SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
        false => args.scopes.iter().cloned().collect(),
    };
    Ok(auth::create(tx, &args.name, &scopes).await.map_err(said)?.id)
}

/// Whose a link is.
#[derive(Debug)]
pub struct Spent {
    /// The API key's id.
    pub key_id: String,
    /// Whether the key was made for it.
    pub is_own: bool,
}

/// Uses a link up: one statement that takes its row, or finds none.
///
/// # Errors
/// 401 for one that is unknown, used or too old, or whose key was revoked.
pub async fn spend(tx: &mut Tx, token: &str) -> ApiResult<Spent> {
    let refused = || {
        ApiError::unauthorized(
            "the link was used, is too old, or is none; `portcullis-control console-link` makes another",
        )
    };
    let taken: Option<(String, i64, i64)> =
        sqlx::query_as("DELETE FROM console_links WHERE hash = $1 RETURNING key_id, own_key, expires_at")
            .bind(hash(token))
            .fetch_optional(&mut **tx)
            .await?;
    let (key_id, own, expires_at) = taken.ok_or_else(refused)?;
    if expires_at <= now_ms() {
        if own == 1 {
            end_own_key(tx, &key_id).await?;
        }
        return Err(refused());
    }
    good_key(tx, &key_id).await.map_err(|_| refused())?;
    Ok(Spent { key_id, is_own: own == 1 })
}
