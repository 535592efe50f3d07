//! A gate's snapshot: what its operator configured, and whom the service knows to trust.

use super::state::TrustKey;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::passports::SELF_PREFIX;
use crate::{App, Settings};
use crate::{approvals, catalog, constraints, follow, issuers};
use anyhow::{Context, anyhow};
use portcullis_core::live::{SignedSnapshot, SnapshotDraft};
use portcullis_core::{Config, ConfigError, KeyConfig, Snapshot, UnixTime};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::Row;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Snapshots that were made and signed, the newest of each gate.
#[derive(Debug, Default)]
pub struct Snapshots {
    newest: Mutex<HashMap<String, Arc<Made>>>,
}

/// A gate's snapshot.
#[derive(Debug)]
pub struct Made {
    /// Its number.
    pub number: u64,
    /// The document and its hash.
    pub signed: SignedSnapshot,
    key_id: String,
}

/// The tier of badges of the service's own registry: the operator runs both.
const REGISTRY_TIER: u8 = 3;

impl Snapshots {
    /// The snapshot of a gate: made, unless it was made before. `None` for a gate that is
    /// not configured yet.
    ///
    /// # Errors
    /// 404 for no gate; its configuration is one that no gate can take.
    pub async fn of(
        &self,
        app: &App,
        gate: &str,
        number: i64,
        signer: &TrustKey,
    ) -> ApiResult<Option<Arc<Made>>> {
        let number = number.cast_unsigned();
        let known = self.lock().get(gate).cloned();
        if let Some(made) = known.filter(|made| made.number >= number && made.key_id == signer.key_id) {
            return Ok(Some(made));
        }
        let mut tx = app.db.read().await?;
        let Some(content) = Content::read(&mut tx, &app.settings, gate).await? else { return Ok(None) };
        drop(tx);
        let text = content.config.to_string();
        let draft =
            SnapshotDraft { gate, number: content.number.cast_unsigned(), time: content.at, config: &text };
        let signed = draft.sign(&signer.key, &signer.key_id).map_err(|error| anyhow!("{error}"))?;
        let made = Arc::new(Made { number: draft.number, signed, key_id: signer.key_id.clone() });
        self.lock().insert(gate.to_owned(), Arc::clone(&made));
        Ok(Some(made))
    }

    /// Forgets the snapshots of gates that are no more.
    pub fn retain(&self, is_kept: impl Fn(&str) -> bool) {
        self.lock().retain(|gate, _| is_kept(gate));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Made>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a snapshot is made of: a function of the database at its number, the same in all
/// instances.
#[derive(Debug)]
pub struct Content {
    number: i64,
    at: UnixTime,
    /// The configuration of the gate, as JSON.
    pub config: Value,
}

impl Content {
    /// Reads it. `None` for a gate that is not configured yet.
    ///
    /// # Errors
    /// 404 for no gate.
    pub async fn read(tx: &mut Tx, settings: &Settings, gate: &str) -> ApiResult<Option<Self>> {
        let row = sqlx::query(
            "SELECT name, profile, allow_self_issued, config, anonymous_policy, snapshot_number, snapshot_at \
             FROM gates WHERE gate_id = $1 AND deleted_at IS NULL",
        )
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| ApiError::not_found("gate", gate))?;
        let Some(configured) = row.try_get::<Option<String>, _>("config")? else { return Ok(None) };
        let at: i64 = row.try_get("snapshot_at")?;
        let base = Base {
            gate,
            name: row.try_get("name")?,
            profile: row.try_get("profile")?,
            allow_self_issued: row.try_get::<i64, _>("allow_self_issued")? != 0,
        };
        let configured: Value =
            serde_json::from_str(&configured).context("a gate's configuration is unreadable")?;
        let mut config = base.with(configured)?;
        if let Some(policy) = row.try_get::<Option<String>, _>("anonymous_policy")? {
            let policy: Value = serde_json::from_str(&policy).context("a gate's policy is unreadable")?;
            add_policy(policy, &mut config);
        }
        let approvals = approvals::in_force(tx, gate, at).await?;
        if !approvals.is_empty() {
            config.insert("approvals".to_owned(), Value::Array(approvals));
        }
        let hashes = catalog::hashes(tx, gate).await?;
        if !hashes.is_empty() {
            config.insert("catalog_hashes".to_owned(), json!(hashes));
        }
        let prices = catalog::prices(tx, gate).await?;
        if !prices.0.is_empty() {
            let prices = serde_json::to_value(prices).context("a catalog's prices cannot be written")?;
            config.insert("catalog_prices".to_owned(), prices);
        }
        add_trust(tx, settings, gate, at, &mut config).await?;
        add_constraints(tx, at, &mut config).await?;
        Ok(Some(Content {
            number: row.try_get("snapshot_number")?,
            at: UnixTime::from_millis(at),
            config: Value::Object(config),
        }))
    }

    /// Whether a gate can decide by it.
    ///
    /// # Errors
    /// 422 with the member at fault, as it is named in what the operator configures.
    pub fn check(&self) -> ApiResult<()> {
        let config = Config::from_json(self.config.to_string().as_bytes());
        config.and_then(|config| Snapshot::new(&config)).map_err(refused)?;
        Ok(())
    }
}

/// 422 for a configuration that no gate can take.
pub fn refused(error: ConfigError) -> ApiError {
    let field = if error.path.is_empty() { "config".to_owned() } else { error.path };
    ApiError::invalid(field, error.problem)
}

/// What the service itself says of a gate.
struct Base<'g> {
    gate: &'g str,
    name: String,
    profile: String,
    allow_self_issued: bool,
}

impl Base<'_> {
    /// What an operator configured, with what the service says.
    fn with(&self, configured: Value) -> ApiResult<Map<String, Value>> {
        let Value::Object(mut config) = configured else {
            return Err(ApiError::invalid("config", "must be an object"));
        };
        for member in [
            "anonymous",
            "approvals",
            "catalog_hashes",
            "catalog_prices",
            "gate",
            "passport_constraints",
            "profile",
            "service",
        ] {
            if config.contains_key(member) {
                return Err(ApiError::invalid(member, "is set by the service: leave it out"));
            }
        }
        config.insert("gate".to_owned(), json!({"id": self.gate, "name": self.name}));
        config.insert("profile".to_owned(), json!(self.profile));
        let trust = config.entry("trust").or_insert_with(|| json!({}));
        let Value::Object(trust) = trust else { return Err(ApiError::invalid("trust", "must be an object")) };
        if self.allow_self_issued {
            // Who opts in and says no more means the gate's own routes, all of them.
            trust.entry("self_issued").or_insert_with(|| json!({"actions": ["*"]}));
        } else {
            trust.remove("self_issued");
        }
        Ok(config)
    }
}

/// Adds what callers without a credential may do, where they may do anything.
fn add_policy(policy: Value, config: &mut Map<String, Value>) {
    let Value::Object(mut policy) = policy else { return };
    policy.retain(|_, value| !value.is_null());
    if policy.get("enabled") == Some(&Value::Bool(true)) {
        config.insert("anonymous".to_owned(), Value::Object(policy));
    }
}

/// Adds whom the service knows to trust to what the operator trusts.
async fn add_trust(
    tx: &mut Tx,
    settings: &Settings,
    gate: &str,
    at: i64,
    config: &mut Map<String, Value>,
) -> ApiResult<()> {
    let own = json!({
        "id": gate, "type": "gate", "tier": issuers::OWN_TIER, "domain_verified": true, "actions": ["*"],
        "keys": published(tx, Purpose::Passports, gate, at).await?,
    });
    let registry = json!({
        "id": settings.public_url, "tier": REGISTRY_TIER, "actions": ["*"],
        "keys": published(tx, Purpose::Badges, keys::SERVICE, at).await?,
    });
    // Without keys that are good it issues nothing.
    let issues =
        |issuer: &Value| issuer.get("keys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    add(config, "issuers", [own].into_iter().filter(issues).collect())?;
    add(config, "issuers", as_json(&issuers::issuer_configs(tx, at).await?)?)?;
    add(config, "badge_issuers", [registry].into_iter().filter(issues).collect())?;
    add(config, "badge_issuers", as_json(&follow::badge_issuers(tx).await?)?)?;
    add(config, "did_documents", as_json(&follow::did_documents(tx).await?)?)?;
    Ok(())
}

/// Adds what was set for passports that the gate takes, after they were signed.
async fn add_constraints(tx: &mut Tx, at: i64, config: &mut Map<String, Value>) -> ApiResult<()> {
    let listed = |list: &str| config.get("trust").and_then(|trust| trust.get(list));
    let ids = listed("issuers").and_then(Value::as_array).into_iter().flatten();
    let ids: HashSet<&str> = ids.filter_map(|issuer| issuer.get("id")?.as_str()).collect();
    let takes_own = listed("self_issued").is_some();
    let is_taken = |id: &str| ids.contains(id) || (takes_own && id.starts_with(SELF_PREFIX));
    let set = constraints::of_snapshot(tx, at, is_taken).await?;
    if !set.is_empty() {
        config.insert("passport_constraints".to_owned(), Value::Array(set));
    }
    Ok(())
}

fn as_json(entries: &[impl Serialize]) -> ApiResult<Vec<Value>> {
    let entries: Result<Vec<_>, _> = entries.iter().map(serde_json::to_value).collect();
    Ok(entries.context("trust material cannot be written")?)
}

fn add(config: &mut Map<String, Value>, list: &str, entries: Vec<Value>) -> ApiResult<()> {
    let trust = config.get_mut("trust").and_then(Value::as_object_mut);
    let listed = trust.context("a configuration has no trust")?.entry(list).or_insert_with(|| json!([]));
    let Value::Array(listed) = listed else {
        return Err(ApiError::invalid(format!("trust.{list}"), "must be a list"));
    };
    // What the operator says of an issuer goes before what the service knows.
    let id = |entry: &Value| entry.get("id").cloned();
    let known: Vec<_> = listed.iter().map(id).collect();
    listed.extend(entries.into_iter().filter(|entry| !known.contains(&id(entry))));
    Ok(())
}

/// The keys of an owner as gates know them, by the time `at`.
///
/// # Errors
/// No database.
pub async fn published(tx: &mut Tx, purpose: Purpose, owner: &str, at: i64) -> ApiResult<Vec<Value>> {
    let halves = keys::published_at(tx, purpose, owner, at).await?;
    let key = |half: keys::PublicHalf| {
        serde_json::to_value(KeyConfig {
            key_id: half.key_id,
            public_key: half.public_key,
            not_before: None,
            not_after: half.not_after.map(|end| UnixTime::from_millis(end).to_iso()),
        })
    };
    let keys: Result<Vec<_>, _> = halves.into_iter().map(key).collect();
    Ok(keys.context("a key cannot be written")?)
}
