//! What may be asked for when a passport is to be issued.

use crate::api::shapes::{check_id, check_metadata, check_text};
use crate::constraints::strict;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::passports::{Grant, MAX_LIFE_MS, Passport, SELF_PREFIX, select_passports};
use crate::time::now_ms;
use portcullis_core::json::Object;
use portcullis_core::{PublicKey, base64, modei};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A passport to be issued.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PassportRequest {
    /// The agent that is to hold it.
    #[schema(min_length = 1, max_length = 256)]
    agent_id: String,
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    agent_name: Option<String>,
    /// Its Ed25519 key: standard base64 of 32 bytes, `ed25519:` may stand before it. May
    /// be left out for an agent that has registered a passport of its own.
    #[schema(max_length = 64)]
    agent_public_key: Option<String>,
    /// The actions that it grants.
    #[schema(min_items = 1, max_items = 256)]
    permissions: Vec<String>,
    /// Constraints: of each permission under its name, or of all.
    #[schema(value_type = Option<Object>)]
    constraints: Option<Map<String, Value>>,
    /// How long it is valid; left out: 3600.
    #[schema(minimum = 1, maximum = 31_622_400)]
    expires_in_seconds: Option<i64>,
    /// The same as a text: `7d`, `24h`, `90m`.
    #[schema(max_length = 50)]
    expires_in: Option<String>,
    /// Whether the agent may delegate it; left out: no.
    delegation_authority: Option<bool>,
    /// Notes, which are not part of the passport.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// What a passport lasts that says nothing of it, as Modei has it.
const DEFAULT_LIFE_MS: i64 = 3_600_000;

/// More than any agent has; an envelope of 64 KiB holds them.
const MAX_PERMISSIONS: usize = 256;

impl PassportRequest {
    /// What it amounts to.
    ///
    /// # Errors
    /// 422 with the member at fault.
    pub(super) async fn grant(self, tx: &mut Tx) -> ApiResult<Grant> {
        check_id("agent_id", &self.agent_id)?;
        if let Some(name) = &self.agent_name {
            check_text("agent_name", name, 1, 200)?;
        }
        let metadata = self.metadata.clone().unwrap_or_default();
        check_metadata(&metadata)?;
        let constraints = self.constraints.clone().unwrap_or_default();
        Ok(Grant {
            agent_key: self.agent_key(tx).await?,
            permissions: permissions(&self.permissions, &constraints)?,
            life_ms: self.life_ms()?,
            delegation_authority: self.delegation_authority.unwrap_or(false),
            agent_id: self.agent_id,
            agent_name: self.agent_name,
            constraints,
            metadata,
            pin: None,
        })
    }

    async fn agent_key(&self, tx: &mut Tx) -> ApiResult<[u8; 32]> {
        let invalid = |problem: &str| ApiError::invalid("agent_public_key", problem);
        if let Some(text) = &self.agent_public_key {
            let bytes = base64::decode_array::<32>(text.strip_prefix("ed25519:").unwrap_or(text));
            let bytes = bytes.filter(|bytes| PublicKey::from_bytes(bytes).is_some()).ok_or_else(|| {
                invalid("must be the standard base64, with padding, of the 32 bytes of an Ed25519 key")
            })?;
            if self.agent_id.starts_with("agent_self_") && self.agent_id != modei::self_agent_id(&bytes) {
                return Err(ApiError::invalid("agent_id", "is the id of another key than agent_public_key"));
            }
            return Ok(bytes);
        }
        let registered = registered_key(tx, &self.agent_id).await?;
        registered.ok_or_else(|| {
            invalid(
                "is needed: a passport names its agent's key, and this service makes none for agents. Make one \
                 with AgentCredentials.generate() and give its public_key_b64; or register a passport that the \
                 agent has signed itself, and give its agent_self_… id as agent_id",
            )
        })
    }

    fn life_ms(&self) -> ApiResult<i64> {
        let (field, life) = match (self.expires_in_seconds, &self.expires_in) {
            (None, None) => return Ok(DEFAULT_LIFE_MS),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("expires_in", "give it or expires_in_seconds, not both"));
            }
            (Some(seconds), None) => ("expires_in_seconds", seconds.checked_mul(1000)),
            (None, Some(text)) => {
                check_text("expires_in", text, 1, 50)?;
                let duration = humantime::parse_duration(text)
                    .map_err(|_| ApiError::invalid("expires_in", "must be like 7d, 24h or 90m"))?;
                ("expires_in", i64::try_from(duration.as_millis()).ok())
            }
        };
        let is_bounded = |life: &i64| (1000..=MAX_LIFE_MS).contains(life);
        life.filter(is_bounded).ok_or_else(|| ApiError::invalid(field, "must be 1 second to 366 days"))
    }
}

/// The key of an agent that has registered a passport of its own.
async fn registered_key(tx: &mut Tx, agent_id: &str) -> ApiResult<Option<[u8; 32]>> {
    if !agent_id.starts_with("agent_self_") {
        return Ok(None);
    }
    let rows = sqlx::query(select_passports!(
        "WHERE agent_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY created_at DESC LIMIT 1"
    ))
    .bind(agent_id)
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?;
    let passport = rows.as_ref().map(Passport::read).transpose()?;
    // Of all that bear such an id the key is the same: it is the id.
    let passport = passport.filter(|passport| passport.issuer_id.starts_with(SELF_PREFIX));
    Ok(passport.and_then(|passport| base64::decode_array(&passport.public_key)))
}

/// The permissions, each with its constraints.
fn permissions(
    asked: &[String],
    constraints: &Map<String, Value>,
) -> ApiResult<Vec<(String, Object<'static>)>> {
    if asked.is_empty() || asked.len() > MAX_PERMISSIONS {
        return Err(ApiError::invalid("permissions", format!("must be 1 to {MAX_PERMISSIONS} actions")));
    }
    let names: BTreeSet<&str> = asked.iter().map(String::as_str).collect();
    for (index, name) in asked.iter().enumerate() {
        let field = format!("permissions[{index}]");
        check_id(&field, name)?;
        if name.contains('*') {
            return Err(ApiError::invalid(field, "must be one action: passports have no wildcards"));
        }
    }
    if names.len() < asked.len() {
        return Err(ApiError::invalid("permissions", "names an action twice"));
    }
    let of_each = constraints.keys().filter(|key| names.contains(key.as_str())).count();
    if of_each > 0 && of_each < constraints.len() {
        let problem = "must be of each permission under its name, or of all, and not some of both";
        return Err(ApiError::invalid("constraints", problem));
    }
    let of_all = if of_each == 0 {
        strict("constraints", &Value::Object(constraints.clone()))?
    } else {
        Object::default()
    };
    let with_constraints = |name: &String| match constraints.get(name) {
        Some(value) => Ok((name.clone(), strict(&format!("constraints.{name}"), value)?)),
        None => Ok((name.clone(), of_all.clone())),
    };
    asked.iter().map(with_constraints).collect()
}
