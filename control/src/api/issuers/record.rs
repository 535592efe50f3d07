//! An issuer as callers see it, and what it must be.

use super::super::shapes::{check_metadata, check_text};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::issuers::Issuer;
use crate::keys::{self, Purpose};
use crate::time::{iso, now_ms};
use anyhow::Context;
use portcullis_core::{IssuerConfig, IssuerKind, KeyConfig, Profile, Trust, TrustConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssuerRecord {
    /// Its id, `iss_…`.
    pub(super) issuer_id: String,
    /// Its name, for people.
    pub(super) name: String,
    /// The domain that it claims.
    pub(super) domain: Option<String>,
    /// Whether it was shown to own it.
    pub(super) domain_verified: bool,
    /// Whether it was certified.
    pub(super) certified: bool,
    /// The tier that it asks for.
    pub(super) trust_tier: TrustTier,
    /// The tier that counts at gates.
    pub(super) effective_tier: TrustTier,
    /// The actions that it may grant: names, `namespace:*`, or `*`.
    pub(super) actions: Vec<String>,
    /// The key that signs its passports: `ed25519:` and standard base64 of 32 bytes.
    pub(super) public_key: String,
    /// How many passports it has issued.
    pub(super) passport_count: i64,
    /// What its owner noted.
    #[schema(value_type = Object)]
    pub(super) metadata: Value,
    /// When it was made.
    pub(super) created_at: String,
}

/// Who vouches for an issuer: nobody but itself, its verified domain, a certification.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(super) enum TrustTier {
    L1,
    L2,
    L3,
}

/// An issuer to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewIssuer {
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) name: String,
    /// The domain that it claims; needed for L2 and L3.
    #[schema(max_length = 253)]
    pub(super) domain: Option<String>,
    /// The tier that it asks for; left out: L1.
    pub(super) trust_tier: Option<TrustTier>,
    /// The actions that it may grant; left out: `["*"]`.
    #[schema(min_items = 1, max_items = 256)]
    pub(super) actions: Option<Vec<String>>,
    /// Notes.
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// A change of an issuer. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct IssuerChange {
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) name: Option<String>,
    /// The domain that it claims. Another domain is verified, and certified, anew.
    #[schema(max_length = 253)]
    pub(super) domain: Option<String>,
    /// The tier that it asks for.
    pub(super) trust_tier: Option<TrustTier>,
    /// The actions that it may grant.
    #[schema(min_items = 1, max_items = 256)]
    pub(super) actions: Option<Vec<String>>,
    /// Notes.
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

pub(super) async fn record(tx: &mut Tx, issuer: Issuer) -> ApiResult<IssuerRecord> {
    let (passport_count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM passports WHERE issuer_id = $1")
        .bind(&issuer.issuer_id)
        .fetch_one(&mut **tx)
        .await?;
    Ok(IssuerRecord {
        public_key: format!("ed25519:{}", public_key(tx, &issuer.issuer_id).await?),
        domain_verified: issuer.domain_verified_at.is_some(),
        certified: issuer.certified_at.is_some(),
        trust_tier: TrustTier::numbered(issuer.asked_tier),
        effective_tier: TrustTier::numbered(issuer.effective_tier()),
        issuer_id: issuer.issuer_id,
        name: issuer.name,
        domain: issuer.domain,
        actions: issuer.actions,
        passport_count,
        metadata: issuer.metadata,
        created_at: iso(issuer.created_at),
    })
}

/// The key that signs now, or the one that will.
pub(super) async fn public_key(tx: &mut Tx, issuer_id: &str) -> ApiResult<String> {
    let now = now_ms();
    let keys = keys::published(tx, Purpose::Passports, issuer_id).await?;
    let key = keys.iter().find(|key| key.signs_from <= now).or(keys.first());
    Ok(key.context("an issuer has no key")?.public_key.clone())
}

/// Whether gates can take an issuer with this key.
///
/// # Errors
/// 422 for an issuer that no gate could take.
pub(super) fn check(issuer: &Issuer, public_key: String) -> ApiResult<()> {
    check_text("name", &issuer.name, 1, 200)?;
    match &issuer.domain {
        Some(domain) if !is_domain(domain) => {
            let problem = "must be a domain name, as acme.example, without scheme, port or path";
            return Err(ApiError::invalid("domain", problem));
        }
        None if issuer.asked_tier > 1 => {
            return Err(ApiError::invalid("domain", "is needed for L2 and L3, as it is what is verified"));
        }
        _ => {}
    }
    if issuer.actions.len() > 256 {
        return Err(ApiError::invalid("actions", "must be at most 256"));
    }
    check_metadata(issuer.metadata.as_object().context("metadata is no object")?)?;
    let key = KeyConfig { key_id: "key".to_owned(), public_key, not_before: None, not_after: None };
    let config = IssuerConfig {
        id: issuer.issuer_id.clone(),
        kind: IssuerKind::Platform,
        tier: issuer.effective_tier(),
        domain_verified: issuer.domain_verified_at.is_some(),
        actions: issuer.actions.clone(),
        keys: vec![key],
    };
    let trust = TrustConfig { issuers: vec![config], ..TrustConfig::default() };
    Trust::new(&trust, Profile::L1).map_err(|error| {
        ApiError::invalid(error.path.trim_start_matches("trust.issuers[0]."), error.problem)
    })?;
    Ok(())
}

/// RFC 1123 section 2.1, of two labels at least, the last not a number.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_named = |label: &str| label.bytes().any(|byte| byte.is_ascii_lowercase());
    text.len() <= 253
        && text.split('.').all(is_label)
        && text.rsplit_once('.').is_some_and(|(_, last)| is_named(last))
}

impl TrustTier {
    pub(super) fn number(self) -> u8 {
        match self {
            TrustTier::L1 => 1,
            TrustTier::L2 => 2,
            TrustTier::L3 => 3,
        }
    }

    fn numbered(number: u8) -> Self {
        match number {
            3 => TrustTier::L3,
            2 => TrustTier::L2,
            _ => TrustTier::L1,
        }
    }
}
