//! Issuing passports, by a gate or by a managed issuer.

use super::{Passport, insert};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::time::now;
use anyhow::{Context, anyhow};
use portcullis_core::json::{self, Object, canonical_text};
use portcullis_core::modei::{self, Admission, CatalogPin, Draft, RootKind, Roots};
use portcullis_core::{PublicKey, Reason, base64};
use serde_json::{Map, Value};

/// What a passport is to grant, and to whom.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The agent.
    pub agent_id: String,
    /// Its name.
    pub agent_name: Option<String>,
    /// Its key.
    pub agent_key: [u8; 32],
    /// The actions, and the constraints of each.
    pub permissions: Vec<(String, Object<'static>)>,
    /// The constraints as they were given.
    pub constraints: Map<String, Value>,
    /// How long it is to be valid, in milliseconds.
    pub life_ms: i64,
    /// Whether the agent may delegate it.
    pub delegation_authority: bool,
    /// What is noted beside it.
    pub metadata: Map<String, Value>,
    /// The catalog whose terms it has, for as long as it is valid.
    pub pin: Option<CatalogPin>,
}

/// Who issues it.
#[derive(Clone, Copy, Debug)]
pub enum By<'b> {
    /// A gate, for itself.
    Gate(&'b str),
    /// A managed issuer, for all gates.
    Issuer(&'b str),
}

/// Issues a passport, and stores it. Whoever calls holds the issuer's row, so that it is
/// not deleted meanwhile.
///
/// # Errors
/// 422 where no gate could take such a passport.
pub async fn issue(tx: &mut Tx, app: &App, by: By<'_>, grant: Grant) -> ApiResult<Passport> {
    let (kind, issuer_id, gate_id) = match by {
        By::Gate(id) => (RootKind::Gate, id, Some(id.to_owned())),
        By::Issuer(id) => (RootKind::Platform, id, None),
    };
    let signer = keys::signer(tx, &app.vault, Purpose::Passports, issuer_id).await?;
    let issued_at = now();
    let expires_at = issued_at.plus_millis(grant.life_ms);
    let draft = Draft {
        passport_id: format!("pp_{}", uuid::Uuid::new_v4().simple()),
        agent_name: grant.agent_name.clone(),
        permissions: grant.permissions.clone(),
        issued_at,
        expires_at,
        delegation_authority: grant.delegation_authority,
    };
    let issuer = modei::Issuer {
        kind,
        id: issuer_id.to_owned(),
        key_id: signer.key_id.clone(),
        gate_id: gate_id.clone(),
    };
    let signed = modei::issue_pinned(
        &signer.key,
        &issuer,
        &grant.agent_id,
        &grant.agent_key,
        &draft,
        grant.pin.as_ref(),
    );
    let text = signed.to_json();
    let public_key = signer.key.public_key();
    let root = OneKey(PublicKey::from_bytes(&public_key).context("a signing key is no key")?);
    // What every gate would refuse is not issued.
    modei::verify(&modei::from_json(text.clone().into_bytes()), &root).map_err(|denial| {
        let field = if denial.reason == Reason::EnvelopeTooLarge { "constraints" } else { "agent_id" };
        ApiError::invalid(field, format!("no gate would take such a passport: {denial}"))
    })?;
    let parsed: Value = serde_json::from_str(&text).context("a passport is unreadable")?;
    let signature = parsed.get("signature").and_then(Value::as_str).context("a passport is not signed")?;
    let passport = Passport {
        passport_id: draft.passport_id,
        issuer_id: issuer_id.to_owned(),
        gate_id,
        agent_id: grant.agent_id,
        agent_name: grant.agent_name,
        public_key: base64::encode(&grant.agent_key),
        signed_by: base64::encode(&public_key),
        permissions: grant.permissions.into_iter().map(|(key, _)| key).collect(),
        constraints: grant.constraints,
        passport_json: canonical_text(signed.envelope()),
        signature: signature.to_owned(),
        metadata: grant.metadata,
        catalog_version: grant.pin.as_ref().map(|pin| pin.version),
        catalog_content_hash: grant.pin.map(|pin| pin.content_hash),
        created_at: issued_at.as_millis(),
        expires_at: expires_at.as_millis(),
        revoked_at: None,
    };
    if !insert(tx, &passport).await? {
        return Err(anyhow!("a random passport id came twice").into());
    }
    Ok(passport)
}

/// What a passport grants, to grant it again.
///
/// # Errors
/// The stored passport is damaged.
pub fn grant_of(passport: &Passport) -> ApiResult<Grant> {
    let damaged = "a stored passport is unreadable";
    let envelope = json::parse(passport.passport_json.as_bytes(), modei::LIMITS).ok().context(damaged)?;
    let member = |name: &str| envelope.as_object().and_then(|object| object.get(name));
    let permission = |value: &json::Value<'_>| {
        let object = value.as_object()?;
        let key = object.get("permission_key")?.as_str()?.to_owned();
        Some((key, object.get("constraints")?.as_object()?.clone().into_owned()))
    };
    let permissions = member("permissions").and_then(json::Value::as_array).context(damaged)?;
    let permissions: Option<Vec<_>> = permissions.iter().map(permission).collect();
    Ok(Grant {
        agent_id: passport.agent_id.clone(),
        agent_name: passport.agent_name.clone(),
        agent_key: base64::decode_array(&passport.public_key).context(damaged)?,
        permissions: permissions.context(damaged)?,
        constraints: passport.constraints.clone(),
        life_ms: passport.expires_at.saturating_sub(passport.created_at),
        delegation_authority: member("delegation_authority").and_then(json::Value::as_bool).unwrap_or(false),
        metadata: passport.metadata.clone(),
        pin: passport.pin(),
    })
}

/// The one key that can have signed.
struct OneKey(PublicKey);

impl Roots for OneKey {
    fn admit(&self, _: RootKind, _: &str, _: &str) -> Result<Admission<'_>, Reason> {
        Ok(Admission::IssuerKey(&self.0))
    }
}
