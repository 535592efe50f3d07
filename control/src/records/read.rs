//! Finding records.

use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::iso;
use portcullis_core::UnixTime;
use portcullis_core::attestation::Record;
use portcullis_core::base64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use utoipa::IntoParams;

/// A record as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its gate.
    pub gate_id: String,
    /// Its place in the gate's log, from 0.
    pub log_index: i64,
    /// `att_…`
    pub attestation_id: String,
    /// The text that was signed, with its signature.
    pub text: String,
    /// When the service took it.
    pub received_at: i64,
    /// The agent that it is about.
    pub agent_id: Option<String>,
    /// The passport that it is about.
    pub passport_id: Option<String>,
    /// What a caller reported.
    pub reported: Option<String>,
}

/// Which records are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Of this gate.
    #[param(max_length = 256)]
    pub gate_id: Option<String>,
    /// About this agent.
    #[param(max_length = 256)]
    pub agent_id: Option<String>,
    /// About agents of this issuer.
    #[param(max_length = 256)]
    pub issuer_id: Option<String>,
    /// About this passport.
    #[param(max_length = 256)]
    pub passport_id: Option<String>,
    /// With this decision: `allow`, `block`, `request_hold`, `approved`, `denied` or `gap`.
    #[param(max_length = 32)]
    pub decision: Option<String>,
    /// About this action.
    #[param(max_length = 256)]
    pub action: Option<String>,
    /// Decided at this time or later: RFC 3339, or a date.
    #[param(max_length = 64)]
    pub after: Option<String>,
    /// Decided before this time.
    #[param(max_length = 64)]
    pub before: Option<String>,
}

/// The conditions of a statement, and what their places stand for.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    text: String,
    bound: Vec<Bound>,
}

#[derive(Clone, Debug)]
enum Bound {
    Text(String),
    Number(i64),
}

const COLUMNS: &str =
    "gate_id, log_index, attestation_id, text, received_at, agent_id, passport_id, reported";

impl Wanted {
    /// Whether it leaves nothing out.
    pub fn is_any(&self) -> bool {
        self.conditions().is_ok_and(|conditions| conditions.bound.is_empty())
    }

    /// As conditions of a statement.
    ///
    /// # Errors
    /// 422 for a time that is none.
    pub fn conditions(&self) -> ApiResult<Conditions> {
        let mut all = Conditions::default();
        for (column, value) in [
            ("gate_id", &self.gate_id),
            ("agent_id", &self.agent_id),
            ("issuer_id", &self.issuer_id),
            ("passport_id", &self.passport_id),
            ("decision", &self.decision),
            ("action", &self.action),
        ] {
            if let Some(value) = value {
                all.and(&format!("{column} ="), Bound::Text(value.clone()));
            }
        }
        if let Some(after) = &self.after {
            all.and("at >=", Bound::Number(time("after", after)?));
        }
        if let Some(before) = &self.before {
            all.and("at <", Bound::Number(time("before", before)?));
        }
        Ok(all)
    }
}

impl Conditions {
    /// Adds that a column compares so with a number.
    pub fn and_number(&mut self, comparison: &'static str, number: i64) {
        self.and(comparison, Bound::Number(number));
    }

    /// Adds that the request came without a credential. It needs a gate before it: there is
    /// an index of these by gate.
    pub fn and_anonymous(&mut self) {
        let word = if self.text.is_empty() { "WHERE" } else { "AND" };
        self.text.push_str(&format!(r#" {word} substr(text, 1, 26) = '{{"access_mode":"anonymous"'"#));
    }

    fn and(&mut self, comparison: &str, bound: Bound) {
        self.bound.push(bound);
        let word = if self.text.is_empty() { "WHERE" } else { "AND" };
        self.text.push_str(&format!(" {word} {comparison} ${}", self.bound.len()));
    }

    /// How many records meet them.
    ///
    /// # Errors
    /// No database.
    pub async fn count(&self, tx: &mut Tx) -> ApiResult<i64> {
        let text = format!("SELECT COUNT(*) FROM records{}", self.text);
        let mut query = sqlx::query_as(AssertSqlSafe(text));
        for bound in self.bound.clone() {
            query = match bound {
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        let (count,): (i64,) = query.fetch_one(&mut **tx).await?;
        Ok(count)
    }

    /// How many records meet them, by decision, in each step of so many milliseconds: when the
    /// step begins, the decision, and the number. Steps without any are left out.
    ///
    /// # Errors
    /// No database.
    pub async fn counts(&self, tx: &mut Tx, step_ms: i64, limit: i64) -> ApiResult<Vec<(i64, String, i64)>> {
        let text = format!(
            "SELECT at / {step_ms} * {step_ms}, decision, COUNT(*) FROM records{} \
             GROUP BY at / {step_ms} * {step_ms}, decision ORDER BY 1 DESC, 2 LIMIT {limit}",
            self.text
        );
        let mut query = sqlx::query_as(AssertSqlSafe(text));
        for bound in self.bound.clone() {
            query = match bound {
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        Ok(query.fetch_all(&mut **tx).await?)
    }

    /// The records that meet them, the newest first.
    ///
    /// # Errors
    /// No database.
    pub async fn newest(&self, tx: &mut Tx, limit: i64, offset: i64) -> ApiResult<Vec<Stored>> {
        self.ordered(tx, "at DESC, attestation_id, gate_id", limit, offset).await
    }

    /// The records that meet them, in the order of their gate's log.
    ///
    /// # Errors
    /// No database.
    pub async fn in_order(&self, tx: &mut Tx, limit: i64) -> ApiResult<Vec<Stored>> {
        self.ordered(tx, "log_index", limit, 0).await
    }

    async fn ordered(
        &self,
        tx: &mut Tx,
        order: &'static str,
        limit: i64,
        offset: i64,
    ) -> ApiResult<Vec<Stored>> {
        let (rows, skipped) = (self.bound.len().saturating_add(1), self.bound.len().saturating_add(2));
        let text = format!(
            "SELECT {COLUMNS} FROM records{} ORDER BY {order} LIMIT ${rows} OFFSET ${skipped}",
            self.text
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for bound in self.bound.clone() {
            query = match bound {
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        let rows = query.bind(limit).bind(offset).fetch_all(&mut **tx).await?;
        Ok(rows.iter().map(Stored::read).collect::<Result<_, _>>()?)
    }
}

/// The record of this id, `att_…`, of this gate where one is named.
///
/// # Errors
/// 404; 409 where two gates have given it.
pub async fn find(tx: &mut Tx, id: &str, gate: Option<&str>) -> ApiResult<Stored> {
    let text = format!(
        "SELECT {COLUMNS} FROM records WHERE attestation_id = $1 AND ($2 = '' OR gate_id = $3) LIMIT 2"
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(id)
        .bind(gate.unwrap_or_default())
        .bind(gate.unwrap_or_default())
        .fetch_all(&mut **tx)
        .await?;
    match rows.as_slice() {
        [] => Err(ApiError::not_found("record that is kept", id)),
        [row] => Ok(Stored::read(row)?),
        _ => Err(ApiError::two_gates("record_ambiguous")),
    }
}

/// The record at this place of a gate's log, if it is kept.
///
/// # Errors
/// No database.
pub async fn at(tx: &mut Tx, gate: &str, index: i64) -> ApiResult<Option<Stored>> {
    let text = format!("SELECT {COLUMNS} FROM records WHERE gate_id = $1 AND log_index = $2");
    let row = sqlx::query(AssertSqlSafe(text)).bind(gate).bind(index).fetch_optional(&mut **tx).await?;
    Ok(row.as_ref().map(Stored::read).transpose()?)
}

impl Stored {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Stored {
            gate_id: row.try_get("gate_id")?,
            log_index: row.try_get("log_index")?,
            attestation_id: row.try_get("attestation_id")?,
            text: row.try_get("text")?,
            received_at: row.try_get("received_at")?,
            agent_id: row.try_get("agent_id")?,
            passport_id: row.try_get("passport_id")?,
            reported: row.try_get("reported")?,
        })
    }

    /// What it says, and beside that what it is found by: the members of the record, and
    /// `agent_id`, `passport_id`, `issuer_id`, `gate_id`, `action`, `log_index`,
    /// `received_at`, `reported`.
    pub fn item(&self) -> Map<String, Value> {
        let mut item: Map<String, Value> = serde_json::from_str(&self.text).unwrap_or_default();
        let issuer = item.get("agent").and_then(|agent| agent.get("issuer_id")).cloned();
        let action = item.get("request").and_then(|request| request.get("action")).cloned();
        // Of a damaged row this much is there all the same.
        item.insert("attestation_id".to_owned(), json!(self.attestation_id));
        item.insert("gate_id".to_owned(), json!(self.gate_id));
        item.insert("agent_id".to_owned(), json!(self.agent_id));
        item.insert("passport_id".to_owned(), json!(self.passport_id));
        item.insert("issuer_id".to_owned(), issuer.unwrap_or_default());
        item.insert("action".to_owned(), action.unwrap_or_default());
        item.insert("log_index".to_owned(), json!(self.log_index));
        item.insert("received_at".to_owned(), json!(iso(self.received_at)));
        item.insert("reported".to_owned(), self.reported());
        item
    }

    /// As the Modei client has records: its check of a signature takes `attestation_json`
    /// and `signature` as they are here. Both are null where the stored text is damaged.
    pub fn row(&self) -> Map<String, Value> {
        let mut item = self.item();
        let record = Record::read(self.text.as_bytes()).ok();
        let request = item.get("request").cloned().unwrap_or_default();
        let timestamp = item.get("timestamp").cloned().unwrap_or_default();
        let evaluations = item.get("guardrails_evaluated").cloned().unwrap_or_else(|| json!([]));
        let key_id = record.as_ref().map(|record| base64::encode_url(record.key_id()));
        let signature = record.as_ref().map(|record| base64::encode(record.signature()));
        item.insert("id".to_owned(), json!(self.attestation_id));
        item.insert("target".to_owned(), request.get("target_domain").cloned().unwrap_or_default());
        item.insert("created_at".to_owned(), timestamp);
        item.insert("constraint_evaluations".to_owned(), evaluations);
        item.insert("signature".to_owned(), json!(signature));
        item.insert("signing_key_id".to_owned(), json!(key_id));
        item.insert("attestation_json".to_owned(), json!(record.map(|record| record.signed_text())));
        item
    }

    fn reported(&self) -> Value {
        self.reported.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// A time of a query, in milliseconds since 1970: RFC 3339, or a date.
///
/// # Errors
/// 422.
pub fn time(field: &str, text: &str) -> ApiResult<i64> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = UnixTime::from_rfc3339(&whole);
    let form = "must be a time as 2026-01-31T12:00:00Z, or a date as 2026-01-31";
    Ok(time.ok_or_else(|| ApiError::invalid(field, form))?.as_millis())
}
