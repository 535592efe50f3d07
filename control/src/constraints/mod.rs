//! Constraints of passports that were set after their issue. A passport is signed and stays
//! as it is; these hold besides, here and, by its snapshot, at each gate that takes passports
//! of its issuer. So they can only narrow what was signed.

use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Context;
use portcullis_core::PassportConstraintsConfig;
use portcullis_core::guardrails::Restrictions;
use portcullis_core::json::{self, Object};
use portcullis_core::modei::{self, Passport};
use serde_json::{Map, Value};

/// What is asked of this passport, and of those that it was delegated from, beyond what was
/// signed with them.
///
/// # Errors
/// No database, or what is stored is damaged.
pub async fn restrictions(tx: &mut Tx, passport: &Passport) -> ApiResult<Restrictions> {
    let issuer = passport.root().issuer();
    let mut listed = Vec::new();
    // Six hops at most: a leaf, and a chain of five.
    for hop in passport.hops() {
        if let Some(constraints) = find(tx, issuer, hop.passport_id()).await? {
            listed.push(PassportConstraintsConfig {
                issuer: issuer.to_owned(),
                passport_id: hop.passport_id().to_owned(),
                constraints: strict("constraints", &Value::Object(constraints))?,
            });
        }
    }
    Ok(Restrictions::new(&listed).context("stored constraints cannot be judged")?)
}

/// What was set for a passport since its issue.
///
/// # Errors
/// No database, or what is stored is damaged.
pub async fn find(tx: &mut Tx, issuer_id: &str, passport_id: &str) -> ApiResult<Option<Map<String, Value>>> {
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT constraints FROM passport_constraints WHERE passport_id = $1 AND issuer_id = $2",
    )
    .bind(passport_id)
    .bind(issuer_id)
    .fetch_optional(&mut **tx)
    .await?;
    let read = |(text,): (String,)| serde_json::from_str(&text).context("stored constraints are unreadable");
    Ok(row.map(read).transpose()?)
}

/// An object as core has it: as strictly read as one that was signed.
///
/// # Errors
/// 422 for what two readers might read differently.
pub fn strict(field: &str, value: &Value) -> ApiResult<Object<'static>> {
    let text = value.to_string();
    let value = json::parse(text.as_bytes(), modei::LIMITS)
        .map_err(|error| ApiError::invalid(field, format!("cannot be signed: {error}")))?;
    let object = value.as_object().ok_or_else(|| ApiError::invalid(field, "must be an object"))?;
    Ok(object.clone().into_owned())
}

/// Forgets those of passports that are over.
///
/// # Errors
/// No database.
pub async fn forget(app: &crate::App) -> anyhow::Result<()> {
    sqlx::query("DELETE FROM passport_constraints WHERE moot_at < $1")
        .bind(now_ms())
        .execute(app.db.pool())
        .await?;
    Ok(())
}
