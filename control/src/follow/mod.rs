//! Registries and DID documents of others, followed in the background: what they last
//! said is in the database, for the snapshots of gates, with how fresh it is.
//!
//! Several instances share the work: whoever moves a row's `look_at` on has it until then.

mod claim;
mod documents;
mod feeds;
mod registry;

pub(crate) use documents::leave_room_for;

use crate::App;
use crate::db::Tx;
use anyhow::{Context, Result, anyhow};
use portcullis_core::capiscio::is_did;
use portcullis_core::{BadgeIssuerConfig, Compatibility, ConfigError, DidDocumentConfig, KeyConfig};
use portcullis_core::{Profile, Trust, TrustConfig, base64};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often to see whether something is due. Short beside the seconds between looks.
const TICK: Duration = Duration::from_millis(500);

/// So many looks at a time, that a slow registry does not hold others up. A look holds one
/// connection of the database's sixteen for moments only.
const AT_ONCE: usize = 8;

/// Follows, for as long as it is polled.
pub async fn run(app: App) {
    let mut looks = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while looks.try_join_next().is_some() {}
        if let Err(error) = begin(&app, &mut looks).await {
            tracing::warn!(error = format!("{error:#}"), "what is due to be followed cannot be read");
        }
    }
}

async fn begin(app: &App, looks: &mut JoinSet<()>) -> Result<()> {
    while looks.len() < AT_ONCE {
        let Some(claimed) = claim::registry(&app.db).await? else { break };
        let app = app.clone();
        looks.spawn(async move { registry::look_and_keep(&app, &claimed).await });
    }
    while looks.len() < AT_ONCE {
        let Some(claimed) = claim::document(&app.db).await? else { break };
        let app = app.clone();
        looks.spawn(async move { documents::look_and_keep(&app, &claimed).await });
    }
    Ok(())
}

/// A key as the database has it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SeenKey {
    /// Its `kid`, or the DID URL of its verification method.
    pub key_id: String,
    /// Standard base64 of its 32 bytes.
    pub public_key: String,
}

impl SeenKey {
    /// Keys in one order, so that a set which is listed in another is the same set.
    fn sorted(keys: &[(String, [u8; 32])]) -> Vec<SeenKey> {
        let seen = |(key_id, key): &(String, [u8; 32])| SeenKey {
            key_id: key_id.clone(),
            public_key: base64::encode(key),
        };
        let mut keys: Vec<_> = keys.iter().map(seen).collect();
        keys.sort();
        keys
    }

    /// Keys as the database has them.
    ///
    /// # Errors
    /// They are damaged.
    pub fn read(json: &str) -> Result<Vec<SeenKey>> {
        serde_json::from_str(json).context("the keys that were seen are unreadable")
    }

    fn config(self) -> KeyConfig {
        KeyConfig { key_id: self.key_id, public_key: self.public_key, not_before: None, not_after: None }
    }
}

/// When each followed registry was last known completely, in milliseconds since 1970.
///
/// # Errors
/// No database.
pub async fn followed_at(tx: &mut Tx) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT origin, synced_at FROM followed_issuers WHERE synced_at IS NOT NULL ORDER BY origin",
    )
    .fetch_all(&mut **tx)
    .await
}

/// The followed registries whose keys were seen, for a snapshot. Their freshness is not in
/// it: heads carry that. Without one, their badges of level 2 and up are refused.
///
/// # Errors
/// No database, or what it has is damaged.
pub async fn badge_issuers(tx: &mut Tx) -> Result<Vec<BadgeIssuerConfig>> {
    let rows = sqlx::query(
        "SELECT origin, tier, actions, minimum_level, compatibility, keys FROM followed_issuers \
         WHERE keys_seen_at IS NOT NULL ORDER BY origin",
    )
    .fetch_all(&mut **tx)
    .await?;
    let issuers = rows.iter().map(|row| {
        Ok(BadgeIssuerConfig {
            id: row.try_get("origin")?,
            tier: u8::try_from(row.try_get::<i64, _>("tier")?)?,
            actions: serde_json::from_str(&row.try_get::<String, _>("actions")?)?,
            keys: SeenKey::read(&row.try_get::<String, _>("keys")?)?
                .into_iter()
                .map(SeenKey::config)
                .collect(),
            minimum_level: row.try_get("minimum_level")?,
            compatibility: compatibility(&serde_json::from_str::<Vec<String>>(
                &row.try_get::<String, _>("compatibility")?,
            )?)?,
            revocations_synced_at: Some(NEVER.to_owned()),
        })
    });
    issuers.collect()
}

/// The time of what was never known to be complete.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// The DID documents that were seen, for a snapshot.
///
/// # Errors
/// As [`badge_issuers`].
pub async fn did_documents(tx: &mut Tx) -> Result<Vec<DidDocumentConfig>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT did, keys FROM did_documents WHERE seen_at IS NOT NULL ORDER BY did")
            .fetch_all(&mut **tx)
            .await?;
    let documents = rows.into_iter().map(|(id, keys)| {
        let keys = SeenKey::read(&keys)?.into_iter().map(SeenKey::config).collect();
        Ok(DidDocumentConfig { id, keys })
    });
    documents.collect()
}

/// Departures from RFC-002 by their names.
///
/// # Errors
/// There is none of that name.
pub fn compatibility(names: &[String]) -> Result<Vec<Compatibility>> {
    let departure = |name: &String| {
        let known = Compatibility::ALL.iter().find(|(known, _)| known == name);
        known.map(|(_, departure)| *departure).ok_or_else(|| {
            let all: Vec<&str> = Compatibility::ALL.iter().map(|(known, _)| *known).collect();
            anyhow!("there is no departure {name:.50}; there are {}", all.join(", "))
        })
    };
    names.iter().map(departure).collect()
}

/// Whether gates can take an issuer. One that they cannot take would make a snapshot that
/// none of them takes.
///
/// # Errors
/// The member at fault.
pub fn check_issuer(issuer: &BadgeIssuerConfig) -> Result<(), ConfigError> {
    check(&TrustConfig { badge_issuers: vec![issuer.clone()], ..TrustConfig::default() })
}

fn check_document(document: &DidDocumentConfig) -> Result<(), ConfigError> {
    check(&TrustConfig { did_documents: vec![document.clone()], ..TrustConfig::default() })
}

fn check(trust: &TrustConfig) -> Result<(), ConfigError> {
    let first = |path: &str| path.rsplit("].").next().unwrap_or_default().to_owned();
    Trust::new(trust, Profile::L1)
        .map(|_| ())
        .map_err(|error| ConfigError::new(first(&error.path), &error.problem))
}

/// Where the document of a `did:web` is: the DID's first part is a host, perhaps with
/// `%3A` and a port, the others are a path. `None` for anything else.
pub fn document_url(did: &str) -> Option<String> {
    let id = did.strip_prefix("did:web:").filter(|_| is_did(did))?;
    let (host, path) = id.split_once(':').map_or((id, None), |(host, path)| (host, Some(path)));
    let authority = host.replacen("%3A", ":", 1);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    if !authority.bytes().all(is_host) || authority.starts_with(':') {
        return None;
    }
    let Some(path) = path else { return Some(format!("https://{authority}/.well-known/did.json")) };
    let is_segment = |segment: &str| !segment.contains('%') && segment != "." && segment != "..";
    let path: Vec<&str> = path.split(':').collect();
    path.iter()
        .all(|segment| is_segment(segment))
        .then(|| format!("https://{authority}/{}/did.json", path.join("/")))
}

#[cfg(test)]
mod tests {
    use super::document_url;

    #[test]
    fn a_did_web_leads_to_one_url_or_none() {
        let cases = [
            ("did:web:agent.example", Some("https://agent.example/.well-known/did.json")),
            ("did:web:agent.example%3A8443", Some("https://agent.example:8443/.well-known/did.json")),
            ("did:web:agent.example:users:a-1", Some("https://agent.example/users/a-1/did.json")),
            ("did:web:agent.example:..:admin", None),
            ("did:web:agent.example:%2e%2e", None),
            ("did:web:agent.example%2Fadmin", None),
            ("did:web:user%40agent.example", None),
            ("did:web:%3A8443", None),
            ("did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH", None),
            ("agent.example", None),
        ];
        for (did, url) in cases {
            assert_eq!(document_url(did).as_deref(), url, "{did}");
        }
    }
}
