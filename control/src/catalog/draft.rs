//! A catalog that is not published yet.

use crate::api::gates::no_gate;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Context;
use portcullis_core::ConfigError;
use portcullis_core::catalog::{self, Permission};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::Row;

/// A draft, as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Draft {
    /// What the operator calls this state of it.
    pub version: Option<String>,
    /// The catalog's name, for people.
    pub catalog_name: Option<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// What is to be offered, as it was given.
    pub permissions: Box<RawValue>,
    /// Whether it may be published.
    pub is_active: bool,
    /// When it was set, in milliseconds since 1970.
    pub updated_at: i64,
}

impl Draft {
    /// The gate's draft, if it has one.
    ///
    /// # Errors
    /// 404 for no gate.
    pub async fn read(tx: &mut Tx, gate: &str) -> ApiResult<Option<Self>> {
        let row = sqlx::query("SELECT catalog_draft FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate)
            .fetch_optional(&mut **tx)
            .await?
            .ok_or_else(|| no_gate(gate))?;
        let stored: Option<String> = row.try_get("catalog_draft")?;
        let draft = stored.map(|text| serde_json::from_str::<Draft>(&text)).transpose();
        Ok(draft.context("a catalog's draft is unreadable")?)
    }

    /// Sets it in place of the one before, at this time.
    ///
    /// # Errors
    /// 404 for no gate, 422 with the member at fault.
    pub async fn store(&mut self, tx: &mut Tx, gate: &str) -> ApiResult<()> {
        self.permissions()?;
        self.updated_at = now_ms();
        let text = serde_json::to_string(self).context("a catalog's draft cannot be written")?;
        let stored =
            sqlx::query("UPDATE gates SET catalog_draft = $1 WHERE gate_id = $2 AND deleted_at IS NULL")
                .bind(text)
                .bind(gate)
                .execute(&mut **tx)
                .await?;
        if stored.rows_affected() == 0 { Err(no_gate(gate)) } else { Ok(()) }
    }

    /// What it offers.
    ///
    /// # Errors
    /// 422 with the member at fault.
    pub fn permissions(&self) -> ApiResult<Vec<Permission>> {
        let text = format!("{{\"permissions\":{}}}", self.permissions.get());
        catalog::draft(text.as_bytes()).map_err(invalid)
    }
}

/// 422 for a member of a catalog.
pub(super) fn invalid(error: ConfigError) -> ApiError {
    let field = if error.path.is_empty() { "permissions".to_owned() } else { error.path };
    ApiError::invalid(field, error.problem)
}
