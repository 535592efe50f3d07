//! Gates as they are stored.

use crate::App;
use crate::api::shapes::Page;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::passports::{self, Passport, select_passports};
use crate::time::{iso, now_ms};
use anyhow::Context;
use portcullis_core::CLOCK_SKEW_MS;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// A gate.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Gate {
    /// Its id, `gate_…`.
    pub(super) gate_id: String,
    /// Its name, for people.
    pub(super) name: String,
    /// What it is for.
    pub(super) description: Option<String>,
    /// How strictly it checks.
    pub(super) profile: Profile,
    /// Whether agents may come with passports that they signed for themselves.
    pub(super) allow_self_issued: bool,
    /// Whether it is to be found by its capabilities.
    pub(super) is_discoverable: bool,
    /// The catalog in force; 0 where none was published.
    pub(super) current_catalog_version: i64,
    /// When it was made.
    pub(super) created_at: String,
    /// When it was deleted.
    pub(super) deleted_at: Option<String>,
}

/// How strictly a gate checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub(super) enum Profile {
    /// The credential alone.
    L1,
    /// A proof with each request, fresh revocation.
    L2,
    /// A proof over the gate's own challenge.
    L3,
}

impl Gate {
    fn read(row: &AnyRow) -> ApiResult<Self> {
        Ok(Gate {
            gate_id: row.try_get("gate_id")?,
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            profile: Profile::named(&row.try_get::<String, _>("profile")?)
                .context("a gate's profile is unreadable")?,
            allow_self_issued: row.try_get::<i64, _>("allow_self_issued")? != 0,
            is_discoverable: row.try_get::<i64, _>("is_discoverable")? != 0,
            current_catalog_version: row.try_get::<Option<i64>, _>("current_catalog_version")?.unwrap_or(0),
            created_at: iso(row.try_get("created_at")?),
            deleted_at: row.try_get::<Option<i64>, _>("deleted_at")?.map(iso),
        })
    }
}

impl Profile {
    pub(super) fn name(self) -> &'static str {
        match self {
            Profile::L1 => "L1",
            Profile::L2 => "L2",
            Profile::L3 => "L3",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Profile::L1, Profile::L2, Profile::L3].into_iter().find(|profile| profile.name() == name)
    }

    /// The profile that is asked for under one of its names, by its name or its number.
    ///
    /// # Errors
    /// 422 for what is none, and where two names ask for two.
    pub(super) fn asked(members: [(&str, &Option<Value>); 3]) -> ApiResult<Option<Self>> {
        let mut asked = None;
        for (member, value) in members {
            let Some(value) = value else { continue };
            let by_number = value.as_u64().and_then(|number| Self::named(&format!("L{number}")));
            let profile = value.as_str().and_then(Self::named).or(by_number);
            let profile = profile.ok_or_else(|| ApiError::invalid(member, "must be L1, L2 or L3"))?;
            if asked.is_some_and(|before| before != profile) {
                return Err(ApiError::invalid(member, "asks for another profile than its other name does"));
            }
            asked = Some(profile);
        }
        Ok(asked)
    }
}

/// A gate's id as it is stored: callers may leave `gate_` out.
pub(crate) fn full_id(gate_id: &str) -> String {
    if gate_id.starts_with("gate_") { gate_id.to_owned() } else { format!("gate_{gate_id}") }
}

/// Takes the row of a gate until the transaction ends, so that it is not deleted meanwhile.
///
/// # Errors
/// 404.
pub(crate) async fn hold(tx: &mut Tx, gate_id: &str) -> ApiResult<()> {
    let held = sqlx::query("UPDATE gates SET name = name WHERE gate_id = $1 AND deleted_at IS NULL")
        .bind(gate_id)
        .execute(&mut **tx)
        .await?;
    if held.rows_affected() == 0 { Err(no_gate(gate_id)) } else { Ok(()) }
}

/// 404 for a gate.
pub(crate) fn no_gate(gate_id: &str) -> ApiError {
    ApiError::not_found("gate", gate_id)
}

/// As many passports are revoked while others wait: some tenths of a second.
pub(super) const BATCH: i64 = 100;

pub(super) async fn revoke_batch(tx: &mut Tx, app: &App, gate_id: &str) -> ApiResult<(i64, i64)> {
    let rows = sqlx::query(select_passports!(
        "WHERE gate_id = $1 AND issuer_id = $2 AND revoked_at IS NULL AND expires_at > $3 LIMIT $4"
    ))
    .bind(gate_id)
    .bind(gate_id)
    .bind(now_ms().saturating_sub(CLOCK_SKEW_MS))
    .bind(BATCH)
    .fetch_all(&mut **tx)
    .await?;
    let mut number = 0;
    for row in &rows {
        let revoked =
            passports::revoke(tx, &app.trust, &Passport::read(row)?, Some("the gate is deleted")).await?;
        number = revoked.unwrap_or(number);
    }
    Ok((i64::try_from(rows.len()).unwrap_or(BATCH), number))
}

pub(super) async fn find(tx: &mut Tx, gate_id: &str) -> ApiResult<Gate> {
    let row = sqlx::query(
        "SELECT gate_id, name, description, profile, allow_self_issued, is_discoverable, \
         (SELECT MAX(version) FROM catalogs WHERE catalogs.gate_id = gates.gate_id AND effective_at <= $2) \
         AS current_catalog_version, created_at, deleted_at \
         FROM gates WHERE gate_id = $1 AND deleted_at IS NULL",
    )
    .bind(gate_id)
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| no_gate(gate_id))?;
    Gate::read(&row)
}

pub(super) async fn read_page(app: &App, page: Page) -> ApiResult<Vec<Gate>> {
    let rows = sqlx::query(
        "SELECT gate_id, name, description, profile, allow_self_issued, is_discoverable, \
         (SELECT MAX(version) FROM catalogs WHERE catalogs.gate_id = gates.gate_id AND effective_at <= $3) \
         AS current_catalog_version, created_at, deleted_at \
         FROM gates WHERE deleted_at IS NULL ORDER BY created_at, gate_id LIMIT $1 OFFSET $2",
    )
    .bind(page.limit)
    .bind(page.offset)
    .bind(now_ms())
    .fetch_all(app.db.pool())
    .await?;
    rows.iter().map(Gate::read).collect()
}

pub(super) fn new_id(asked: &str) -> ApiResult<String> {
    let suffix = asked.strip_prefix("gate_").unwrap_or(asked);
    let is_plain = suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if suffix.is_empty() || suffix.len() > 120 || !is_plain {
        let problem = "must have 1 to 120 letters, digits, dots, hyphens and underscores after gate_";
        return Err(ApiError::invalid("gate_id", problem));
    }
    Ok(format!("gate_{suffix}"))
}
