//! Issuers that the service manages: whose word they are, and what gates are told of them.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::keys::{self, PublicHalf, Purpose};
use crate::time::iso;
use anyhow::Context;
use portcullis_core::{CLOCK_SKEW_MS, IssuerConfig, IssuerKind, KeyConfig};
use sqlx::Row;
use sqlx::any::AnyRow;

/// The tier of a gate's own passports at that gate: nobody vouches better for them there.
pub const OWN_TIER: u8 = 3;

/// What ids of managed issuers begin with.
pub const ISSUER_PREFIX: &str = "iss_";

/// An issuer as it is stored.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its id, `iss_…`.
    pub issuer_id: String,
    /// Its name, for people.
    pub name: String,
    /// The domain that it claims, in lower case.
    pub domain: Option<String>,
    /// The tier that it asks for, 1 to 3.
    pub asked_tier: u8,
    /// What it may grant.
    pub actions: Vec<String>,
    /// What its owner noted, a JSON object.
    pub metadata: serde_json::Value,
    /// When it was shown to own its domain, in milliseconds since 1970.
    pub domain_verified_at: Option<i64>,
    /// When it was certified, in milliseconds since 1970.
    pub certified_at: Option<i64>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

/// `SELECT` of what [`Issuer::read`] reads, of issuers that are not deleted, and the rest.
macro_rules! select_issuers {
    ($rest:literal) => {
        concat!(
            "SELECT issuer_id, name, domain, trust_tier, actions, metadata, domain_verified_at, \
             certified_at, created_at FROM issuers WHERE deleted_at IS NULL ",
            $rest
        )
    };
}
pub(crate) use select_issuers;

impl Issuer {
    /// From a row of `select_issuers!`.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn read(row: &AnyRow) -> ApiResult<Self> {
        let tier: i64 = row.try_get("trust_tier")?;
        let (actions, metadata): (String, String) = (row.try_get("actions")?, row.try_get("metadata")?);
        Ok(Issuer {
            issuer_id: row.try_get("issuer_id")?,
            name: row.try_get("name")?,
            domain: row.try_get("domain")?,
            asked_tier: u8::try_from(tier).context("an issuer's tier is unreadable")?,
            actions: serde_json::from_str(&actions).context("an issuer's actions are unreadable")?,
            metadata: serde_json::from_str(&metadata).context("an issuer's metadata is unreadable")?,
            domain_verified_at: row.try_get("domain_verified_at")?,
            certified_at: row.try_get("certified_at")?,
            created_at: row.try_get("created_at")?,
        })
    }

    /// The tier that counts: no higher than what was asked for, 2 only once the domain is
    /// verified, 3 only once it is certified too.
    pub fn effective_tier(&self) -> u8 {
        let earned = match (self.domain_verified_at, self.certified_at) {
            (Some(_), Some(_)) => 3,
            (Some(_), None) => 2,
            (None, _) => 1,
        };
        earned.min(self.asked_tier)
    }

    /// As gates know it, with these keys; `None` where it has none.
    pub fn config(&self, keys: Vec<KeyConfig>) -> Option<IssuerConfig> {
        (!keys.is_empty()).then(|| IssuerConfig {
            id: self.issuer_id.clone(),
            kind: IssuerKind::Platform,
            tier: self.effective_tier(),
            domain_verified: self.domain_verified_at.is_some(),
            actions: self.actions.clone(),
            keys,
        })
    }
}

/// All issuers that gates are to trust, with the keys that are good at `at`, in
/// milliseconds since 1970, or will be: the same whenever it is made, if `at` is.
///
/// # Errors
/// No database.
pub async fn issuer_configs(tx: &mut Tx, at: i64) -> ApiResult<Vec<IssuerConfig>> {
    let issuers = sqlx::query(select_issuers!("ORDER BY issuer_id")).fetch_all(&mut **tx).await?;
    let keys = sqlx::query(
        "SELECT k.owner, k.key_id, k.public_key, k.created_at, k.signs_from, k.not_after \
         FROM signing_keys k JOIN issuers i ON i.issuer_id = k.owner \
         WHERE k.purpose = $1 AND i.deleted_at IS NULL AND (k.not_after IS NULL OR k.not_after > $2) \
         ORDER BY k.owner, k.signs_from DESC, k.key_id",
    )
    .bind(Purpose::Passports.name())
    .bind(at)
    .fetch_all(&mut **tx)
    .await?;
    let mut by_owner = std::collections::HashMap::<String, Vec<KeyConfig>>::new();
    for row in &keys {
        let half = PublicHalf {
            key_id: row.try_get("key_id")?,
            public_key: row.try_get("public_key")?,
            created_at: row.try_get("created_at")?,
            signs_from: row.try_get("signs_from")?,
            not_after: row.try_get("not_after")?,
        };
        by_owner.entry(row.try_get("owner")?).or_default().extend(key_config(half));
    }
    let mut configs = Vec::with_capacity(issuers.len());
    for row in &issuers {
        let issuer = Issuer::read(row)?;
        let keys = by_owner.remove(&issuer.issuer_id).unwrap_or_default();
        configs.extend(issuer.config(keys));
    }
    Ok(configs)
}

/// The issuer of this id that signs here: a managed one, or a gate for itself; `None`
/// where there is none, or no longer.
///
/// # Errors
/// No database.
pub async fn issuer_config(tx: &mut Tx, issuer_id: &str) -> ApiResult<Option<IssuerConfig>> {
    if !issuer_id.starts_with(ISSUER_PREFIX) {
        return gate_config(tx, issuer_id).await;
    }
    let Some(issuer) = find(tx, issuer_id).await? else { return Ok(None) };
    let keys = published(tx, issuer_id).await?;
    Ok(issuer.config(keys))
}

/// A gate as the issuer of its own passports; `None` where there is no such gate.
///
/// # Errors
/// No database.
pub async fn gate_config(tx: &mut Tx, gate_id: &str) -> ApiResult<Option<IssuerConfig>> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate_id)
            .fetch_optional(&mut **tx)
            .await?;
    let keys = published(tx, gate_id).await?;
    Ok(known.filter(|_| !keys.is_empty()).map(|(id,)| IssuerConfig {
        id,
        kind: IssuerKind::Gate,
        tier: OWN_TIER,
        // Of itself a gate needs no showing.
        domain_verified: true,
        actions: vec!["*".to_owned()],
        keys,
    }))
}

/// A managed issuer that is not deleted.
///
/// # Errors
/// No database.
pub async fn find(tx: &mut Tx, issuer_id: &str) -> ApiResult<Option<Issuer>> {
    let row =
        sqlx::query(select_issuers!("AND issuer_id = $1")).bind(issuer_id).fetch_optional(&mut **tx).await?;
    row.as_ref().map(Issuer::read).transpose()
}

async fn published(tx: &mut Tx, owner: &str) -> ApiResult<Vec<KeyConfig>> {
    let halves = keys::published(tx, Purpose::Passports, owner).await?;
    Ok(halves.into_iter().filter_map(key_config).collect())
}

/// A key as gates know it. One that was replaced before it ever signed is left out.
fn key_config(half: PublicHalf) -> Option<KeyConfig> {
    // A gate's clock may be behind: a passport of a new key is good there at once.
    let not_before = half.signs_from.saturating_sub(CLOCK_SKEW_MS);
    if half.not_after.is_some_and(|end| end <= not_before) {
        return None;
    }
    Some(KeyConfig {
        key_id: half.key_id,
        public_key: half.public_key,
        not_before: Some(iso(not_before)),
        not_after: half.not_after.map(iso),
    })
}
