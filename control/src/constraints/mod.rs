//! Constraints of passports that were set after their issue. A passport is signed and stays
//! as it is; these hold besides, here and, by its snapshot, at each gate that takes passports
//! of its issuer. So they can only narrow what was signed.

pub mod templates;
pub mod types;

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::passports::Passport;
use crate::time::now_ms;
use crate::trust::changes;
use anyhow::Context;
use axum::http::StatusCode;
use portcullis_core::guardrails::{GateRules, MAX_RESTRICTIONS, Restrictions};
use portcullis_core::json::{self, Object};
use portcullis_core::{CLOCK_SKEW_MS, PassportConstraintsConfig, modei};
use serde_json::{Map, Value, json};

/// What is asked of this passport, and of those that it was delegated from, beyond what was
/// signed with them.
///
/// # Errors
/// No database, or what is stored is damaged.
pub async fn restrictions(tx: &mut Tx, passport: &modei::Passport) -> ApiResult<Restrictions> {
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
    // A gate's snapshot is read to a depth of 16, and these stand in its third level; what any
    // guardrail says is no deeper than this.
    const DEPTH: usize = 8;
    let text = value.to_string();
    let value = json::parse(text.as_bytes(), json::Limits { depth: DEPTH, ..modei::LIMITS })
        .map_err(|error| ApiError::invalid(field, format!("cannot be signed: {error}")))?;
    let object = value.as_object().ok_or_else(|| ApiError::invalid(field, "must be an object"))?;
    Ok(object.clone().into_owned())
}

/// Sets what is asked of a passport beyond what was signed with it: `besides` what was set
/// before, or in its place; nothing at all takes that away. Answers all that is set then,
/// and the number of the gates' new snapshots.
///
/// # Errors
/// 422 for what no gate can judge; 409 where as many passports have some as gates take.
pub async fn set(
    tx: &mut Tx,
    passport: &Passport,
    constraints: Map<String, Value>,
    besides: bool,
) -> ApiResult<(Map<String, Value>, i64)> {
    // The clock first, then the rows: everyone takes them in this order.
    let number = changes::renew_all_gates(tx).await?;
    // Now, as it may have been revoked, or issued anew, in the meantime.
    let revoked =
        crate::passports::find(tx, &passport.passport_id).await?.is_none_or(|now| now.revoked_at.is_some());
    if revoked || is_over(passport) {
        return Err(ApiError::conflict("the passport is revoked or over, and nobody takes it any more"));
    }
    let mut all = Map::new();
    if besides {
        all.extend(find(tx, &passport.issuer_id, &passport.passport_id).await?.unwrap_or_default());
    }
    all.extend(constraints);
    check("constraints", &all, |pattern| {
        passport.permissions.iter().any(|permission| GateRules::fits(pattern, permission))
    })?;
    write(tx, passport, &all).await?;
    Ok((all, number))
}

/// Whether no gate takes it any more, however slow its clock.
pub fn is_over(passport: &Passport) -> bool {
    passport.expires_at.saturating_add(CLOCK_SKEW_MS) <= now_ms()
}

/// Takes over what was set for a passport to the one that is issued in its place. Answers
/// the number of the gates' new snapshots, if there was something.
///
/// # Errors
/// No database.
pub async fn carry(tx: &mut Tx, old: &Passport, new: &Passport) -> ApiResult<Option<i64>> {
    let Some(mut constraints) = find(tx, &old.issuer_id, &old.passport_id).await? else { return Ok(None) };
    // What stands under the name of a permission goes with the permission.
    let is_granted = |name: &str| new.permissions.iter().any(|permission| GateRules::fits(name, permission));
    let is_gone =
        |name: &str| old.permissions.iter().any(|one| GateRules::fits(name, one)) && !is_granted(name);
    constraints.retain(|name, value| !value.is_object() || !is_gone(name));
    let number = changes::renew_all_gates(tx).await?;
    write(tx, old, &Map::new()).await?;
    write(tx, new, &constraints).await?;
    Ok(Some(number))
}

async fn write(tx: &mut Tx, passport: &Passport, constraints: &Map<String, Value>) -> ApiResult<()> {
    if constraints.is_empty() {
        sqlx::query("DELETE FROM passport_constraints WHERE passport_id = $1")
            .bind(&passport.passport_id)
            .execute(&mut **tx)
            .await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO passport_constraints (passport_id, issuer_id, constraints, moot_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (passport_id) DO UPDATE SET constraints = excluded.constraints",
    )
    .bind(&passport.passport_id)
    .bind(&passport.issuer_id)
    .bind(Value::Object(constraints.clone()).to_string())
    // They matter for as long as a gate with a slow clock takes the passport.
    .bind(passport.expires_at.saturating_add(CLOCK_SKEW_MS))
    .execute(&mut **tx)
    .await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM passport_constraints WHERE moot_at > $1")
        .bind(now_ms())
        .fetch_one(&mut **tx)
        .await?;
    if usize::try_from(count).unwrap_or(usize::MAX) > MAX_RESTRICTIONS {
        let message = format!(
            "{MAX_RESTRICTIONS} passports have constraints that were set after their issue, and gates take no \
             more: issue this one anew with its constraints"
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "too_many_constraints", message));
    }
    Ok(())
}

/// Whether gates can judge these constraints: at most 4 KiB as JSON, in any vocabulary, of
/// all permissions or under the name of one.
///
/// # Errors
/// 422 with the member at fault.
pub fn check(
    field: &str,
    constraints: &Map<String, Value>,
    is_permission: impl Fn(&str) -> bool,
) -> ApiResult<()> {
    let value = Value::Object(constraints.clone());
    if value.to_string().len() > MAX_BYTES {
        return Err(ApiError::invalid(field, format!("must have at most {MAX_BYTES} bytes as JSON")));
    }
    let rules = GateRules::read(&strict(field, &value)?)
        .map_err(|fault| ApiError::invalid(format!("{field}.{}", fault.member), fault.problem))?;
    for (pattern, _) in rules.iter() {
        if pattern != "*" && !is_permission(pattern) {
            let problem = "is neither a guardrail nor a permission of the passport";
            return Err(ApiError::invalid(format!("{field}.{pattern}"), problem));
        }
    }
    Ok(())
}

/// Those of a thousand passports are in the snapshot of each gate.
const MAX_BYTES: usize = 4096;

/// What a gate's snapshot says at the time `at`: what was set for passports of issuers that
/// it takes.
///
/// # Errors
/// No database, or what is stored is damaged.
pub async fn of_snapshot(tx: &mut Tx, at: i64, is_taken: impl Fn(&str) -> bool) -> ApiResult<Vec<Value>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT issuer_id, passport_id, constraints FROM passport_constraints WHERE moot_at > $1 \
         ORDER BY passport_id",
    )
    .bind(at)
    .fetch_all(&mut **tx)
    .await?;
    let entry = |(issuer, passport_id, text): (String, String, String)| {
        let constraints: Value = serde_json::from_str(&text).context("stored constraints are unreadable")?;
        Ok(json!({"issuer": issuer, "passport_id": passport_id, "constraints": constraints}))
    };
    rows.into_iter().filter(|(issuer, ..)| is_taken(issuer)).map(entry).collect()
}

/// Forgets those of passports that are over.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> anyhow::Result<()> {
    let now = now_ms();
    let over: Option<(String,)> =
        sqlx::query_as("SELECT passport_id FROM passport_constraints WHERE moot_at < $1 LIMIT 1")
            .bind(now)
            .fetch_optional(app.db.pool())
            .await?;
    if over.is_none() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    // What is in a snapshot of one number never changes.
    let number = changes::renew_all_gates(&mut tx).await?;
    sqlx::query("DELETE FROM passport_constraints WHERE moot_at < $1").bind(now).execute(&mut *tx).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(())
}
