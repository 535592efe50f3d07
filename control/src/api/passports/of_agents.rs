//! Passports that agents sign themselves: registered without an account, and revoked by
//! an assertion that the passport's own key has signed.

use crate::anyone::Anyone;
use crate::api::shapes::check_id;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::passports::judge::{Presented, judge, service_trust};
use crate::passports::{self, MAX_LIFE_MS, Passport, no_passport};
use crate::time::now_ms;
use crate::trust::changes;
use crate::{App, audit};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::json::{self, canonical_text};
use portcullis_core::modei::{self, RootKind};
use portcullis_core::{Denial, PublicKey, Reason, UnixTime, base64};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of agents' own passports.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register_passport)).routes(routes!(revoke_own_passport))
}

/// A passport and its signature.
#[derive(Debug, Deserialize, ToSchema)]
struct SignedPassport {
    /// The envelope, as an object or as its text.
    #[schema(value_type = Object)]
    passport_json: Box<RawValue>,
    /// The signature over its canonical bytes, in standard base64.
    #[schema(max_length = 88)]
    signature: String,
}

/// A passport that the service knows.
#[derive(Debug, Serialize, ToSchema)]
struct Registered {
    /// Its id.
    passport_id: String,
    /// The agent that holds it.
    agent_id: String,
    /// `active`, or `idempotent` where it was known before.
    status: &'static str,
}

/// The word of a passport's holder that it is to be revoked.
#[derive(Debug, Deserialize, ToSchema)]
struct SignedAssertion {
    /// `{passport_id, action: "revoke", nonce, revoked_at}`, as an object or as its text.
    #[schema(value_type = Object)]
    assertion_json: Box<RawValue>,
    /// The signature over its canonical bytes by the passport's key, in standard base64.
    #[schema(max_length = 88)]
    assertion_signature: String,
}

/// What became of a passport.
#[derive(Debug, Serialize, ToSchema)]
struct RevocationStatus {
    /// Its id.
    passport_id: String,
    /// `revoked`, or `already_revoked`.
    status: &'static str,
}

/// Registers a passport that an agent has signed: for itself, or delegated from one of an
/// issuer that the service knows. Whoever has it may register it; it proves itself.
#[utoipa::path(post, path = "/api/passports/register", tag = "passports", request_body = SignedPassport, responses(
    (status = 200, description = "It is registered", body = Registered),
    (status = 409, description = "Another passport has this id, or it is revoked, or there is room for no more", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "It is no passport that is good now", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn register_passport(
    _: Anyone,
    State(app): State<App>,
    Body(asked): Body<SignedPassport>,
) -> ApiResult<Json<Registered>> {
    let presented = Presented::new(&asked.passport_json, &asked.signature)?;
    let mut tx = app.db.write().await?;
    let trust = service_trust(&mut tx, &presented).await?;
    let decision = judge(&mut tx, &trust, &presented).await?;
    if let Some(denial) = decision.denial {
        return Err(refused(denial));
    }
    let verified = decision.passport.context("a passport was judged, and is not there")?;
    let passport = to_store(&presented, asked.signature, &verified)?;
    let mut answer = Registered {
        passport_id: passport.passport_id.clone(),
        agent_id: passport.agent_id.clone(),
        status: "active",
    };
    if passports::insert(&mut tx, &passport).await? {
        passports::registered(&mut tx, &passport.passport_id).await?;
        let detail = serde_json::json!({"issuer_id": passport.issuer_id});
        audit::record(&mut tx, &passport.agent_id, "passport.register", &passport.passport_id, detail)
            .await?;
        tx.commit().await?;
        return Ok(Json(answer));
    }
    let known = passports::find(&mut tx, &passport.passport_id).await?;
    let known = known.context("a passport's id is taken, and there is none")?;
    if known.passport_json != passport.passport_json {
        return Err(ApiError::conflict("another passport has this passport_id"));
    }
    if known.revoked_at.is_some() {
        return Err(ApiError::conflict("the passport is revoked"));
    }
    answer.status = "idempotent";
    Ok(Json(answer))
}

/// Revokes a passport by the word of its holder, signed with the passport's own key. Each
/// assertion serves once, within five minutes.
#[utoipa::path(post, path = "/api/passports/{passport_id}/revoke", tag = "passports",
    params(("passport_id" = String, Path, description = "The passport's id")), request_body = SignedAssertion, responses(
    (status = 200, description = "It is revoked, now or before", body = RevocationStatus),
    (status = 401, description = "The passport's key has not signed the assertion", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 409, description = "The assertion was used before; or agents have revoked as much as they may", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "The assertion is malformed, about something else, or not of now", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn revoke_own_passport(
    _: Anyone,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Body(asked): Body<SignedAssertion>,
) -> ApiResult<Json<RevocationStatus>> {
    let assertion = Assertion::read(&asked)?;
    let mut tx = app.db.write().await?;
    let passport = passports::find(&mut tx, &passport_id).await?.ok_or_else(|| no_passport(&passport_id))?;
    assertion.check_signature(&passport)?;
    assertion.check_content(&passport_id, now_ms())?;
    // Before the nonce: the clock first, as everyone takes it.
    let number = passports::revoke(&mut tx, &app.trust, &passport, Some("revoked by its holder")).await?;
    if number.is_some() {
        changes::leave_room(&mut tx).await?;
    }
    assertion.use_up(&mut tx, &passport_id).await?;
    if number.is_some() {
        let detail = serde_json::json!({"issuer_id": passport.issuer_id});
        audit::record(&mut tx, &passport.agent_id, "passport.revoke", &passport_id, detail).await?;
    }
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    let status = if number.is_some() { "revoked" } else { "already_revoked" };
    Ok(Json(RevocationStatus { passport_id, status }))
}

/// How far from now the time of an assertion may be.
const ASSERTION_WINDOW_MS: i64 = 300_000;

struct Assertion {
    /// What was signed.
    text: String,
    signature: [u8; 64],
    passport_id: String,
    action: String,
    nonce: String,
    revoked_at: UnixTime,
}

impl Assertion {
    fn read(asked: &SignedAssertion) -> ApiResult<Self> {
        let field = "assertion_json";
        let raw = asked.assertion_json.get();
        let text = if raw.starts_with('"') {
            serde_json::from_str::<String>(raw)
                .map_err(|error| ApiError::invalid(field, error.to_string()))?
        } else {
            raw.to_owned()
        };
        let value = json::parse(text.as_bytes(), modei::LIMITS)
            .map_err(|error| ApiError::invalid(field, error.to_string()))?;
        let object = value.as_object().filter(|object| object.len() == 4);
        let object = object.ok_or_else(|| {
            ApiError::invalid(field, "must have passport_id, action, nonce and revoked_at, and nothing else")
        })?;
        let member = |name: &str| {
            let text = object.get(name).and_then(json::Value::as_str);
            text.map(str::to_owned)
                .ok_or_else(|| ApiError::invalid(format!("{field}.{name}"), "must be a string"))
        };
        let nonce = member("nonce")?;
        // 128 bits at least, and no more than is kept.
        if base64::decode_url(&nonce).is_none_or(|bytes| !(16..=64).contains(&bytes.len())) {
            return Err(ApiError::invalid("assertion_json.nonce", "must be the base64url of 16 to 64 bytes"));
        }
        Ok(Assertion {
            text: canonical_text(&value),
            signature: base64::decode_array(&asked.assertion_signature).ok_or_else(|| {
                ApiError::invalid("assertion_signature", "must be the standard base64 of 64 bytes")
            })?,
            passport_id: member("passport_id")?,
            action: member("action")?,
            nonce,
            revoked_at: UnixTime::from_rfc3339(&member("revoked_at")?).ok_or_else(|| {
                ApiError::invalid(
                    "assertion_json.revoked_at",
                    "must be a time in UTC, as 2026-01-31T00:00:00Z",
                )
            })?,
        })
    }

    fn check_signature(&self, passport: &Passport) -> ApiResult<()> {
        let key = base64::decode_array(&passport.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
        if key.is_some_and(|key| key.verify(self.text.as_bytes(), &self.signature)) {
            return Ok(());
        }
        let message = "the passport's own key has not signed this assertion";
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "signature_invalid", message))
    }

    fn check_content(&self, passport_id: &str, now: i64) -> ApiResult<()> {
        let mismatch = |member: &str, problem: &str| {
            let mut error = ApiError::invalid(format!("assertion_json.{member}"), problem);
            error.code = "assertion_mismatch";
            Err(error)
        };
        if self.passport_id != passport_id {
            return mismatch("passport_id", "is another passport's");
        }
        if self.action != "revoke" {
            return mismatch("action", "must be revoke");
        }
        let distance = now.saturating_sub(self.revoked_at.as_millis()).saturating_abs();
        if distance > ASSERTION_WINDOW_MS {
            return mismatch("revoked_at", "must be within 300 seconds of now");
        }
        Ok(())
    }

    async fn use_up(&self, tx: &mut crate::db::Tx, passport_id: &str) -> ApiResult<()> {
        let now = now_ms();
        // One that is dated ahead is good for twice the window; older ones are refused.
        let forgotten = now.saturating_sub(ASSERTION_WINDOW_MS.saturating_mul(2)).saturating_sub(1000);
        sqlx::query("DELETE FROM used_assertions WHERE used_at < $1")
            .bind(forgotten)
            .execute(&mut **tx)
            .await?;
        let inserted = sqlx::query(
            "INSERT INTO used_assertions (passport_id, nonce, used_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(passport_id)
        .bind(&self.nonce)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() == 0 {
            let message = "the assertion's nonce was used before";
            return Err(ApiError::new(StatusCode::CONFLICT, "nonce_already_used", message));
        }
        Ok(())
    }
}

/// 422 for a passport that no gate would take; 409 for one that is revoked.
fn refused(denial: Denial) -> ApiError {
    let mut error = match denial.reason {
        Reason::PassportRevoked | Reason::AgentDisabled => ApiError::conflict(denial.detail.to_string()),
        Reason::SignatureInvalid | Reason::SignatureMalformed => {
            ApiError::invalid("signature", &denial.detail)
        }
        _ => ApiError::invalid("passport_json", &denial.detail),
    };
    error.code = denial.reason.code();
    error
}

fn to_store(presented: &Presented, signature: String, verified: &modei::Passport) -> ApiResult<Passport> {
    let name = verified.agent_name().filter(|name| !name.is_empty() && name.chars().count() <= 200);
    let name = name.ok_or_else(|| {
        let problem = "must have 1 to 200 characters to be registered: give PassportIssuer an identity_claim";
        ApiError::invalid("passport_json.identity.agent_name", problem)
    })?;
    check_id("passport_json.passport_id", verified.id())?;
    let (now, expires_at) = (now_ms(), verified.expires_at().as_millis());
    if expires_at.saturating_sub(verified.issued_at().as_millis()) > MAX_LIFE_MS {
        let problem = "must be at most 366 days after issued_at";
        return Err(ApiError::invalid("passport_json.provenance.expires_at", problem));
    }
    let root = verified.root();
    let constraints = verified.permissions().iter().filter(|(_, constraints)| !constraints.is_empty());
    let constraints: Result<Map<String, Value>, _> = constraints
        .map(|(key, constraints)| {
            let text = canonical_text(&json::Value::Object(constraints.clone()));
            Ok::<_, serde_json::Error>((key.to_owned(), serde_json::from_str(&text)?))
        })
        .collect();
    Ok(Passport {
        passport_id: verified.id().to_owned(),
        issuer_id: root.issuer().to_owned(),
        gate_id: (root.kind() == RootKind::Gate).then(|| root.issuer().to_owned()),
        agent_id: verified.agent_id().to_owned(),
        agent_name: Some(name.to_owned()),
        public_key: base64::encode(verified.public_key()),
        signed_by: presented.signed_by(verified)?,
        permissions: verified.permissions().iter().map(|(name, _)| name.to_owned()).collect(),
        constraints: constraints.context("constraints are unreadable")?,
        passport_json: presented.canonical().context("a verified passport is unreadable")?,
        signature,
        metadata: Map::new(),
        catalog_version: verified.catalog_pin().map(|pin| pin.version),
        catalog_content_hash: verified.catalog_pin().map(|pin| pin.content_hash.clone()),
        created_at: now,
        expires_at,
        revoked_at: None,
    })
}
