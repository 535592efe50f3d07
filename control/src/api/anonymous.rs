//! What callers without a credential may do at a gate, and what they did.

use super::gates::{full_id, no_gate};
use super::shapes::{Page, check_text};
use crate::auth::{Audit, Caller, GatesRead, GatesWrite};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::records::read::{Stored, Wanted};
use crate::trust::changes;
use crate::trust::snapshot::Content;
use crate::{App, audit};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::Row;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_policy, set_policy)).routes(routes!(log))
}

/// What callers without a credential may do. What is left out has its usual value.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct AnonymousPolicy {
    /// Whether they may do anything; left out: not.
    enabled: bool,
    /// Actions that they may ask for, each one that a route of the gate has.
    #[schema(max_items = 1000)]
    allowed_actions: Vec<String>,
    /// Actions that they may not, whatever is allowed.
    #[schema(max_items = 1000)]
    blocked_actions: Vec<String>,
    /// How often from one address within a minute; left out: 5.
    #[schema(minimum = 0, maximum = 1000000)]
    rate_limit_per_minute: u32,
    /// Within an hour; left out: 50.
    #[schema(minimum = 0, maximum = 1000000)]
    rate_limit_per_hour: u32,
    /// Whether only what reads; left out: yes.
    read_only: bool,
    /// What a refusal says of how to get a credential: one line.
    #[schema(max_length = 500)]
    upgrade_message: Option<String>,
    /// And where.
    #[schema(max_length = 500)]
    upgrade_url: Option<String>,
}

impl Default for AnonymousPolicy {
    fn default() -> Self {
        AnonymousPolicy {
            enabled: false,
            allowed_actions: Vec::new(),
            blocked_actions: Vec::new(),
            rate_limit_per_minute: 5,
            rate_limit_per_hour: 50,
            read_only: true,
            upgrade_message: None,
            upgrade_url: None,
        }
    }
}

/// Above it a rate is none.
const MOST_PER_WINDOW: u32 = 1_000_000;

impl AnonymousPolicy {
    fn check(&self) -> ApiResult<()> {
        for (name, actions) in
            [("allowed_actions", &self.allowed_actions), ("blocked_actions", &self.blocked_actions)]
        {
            if actions.len() > 1000 {
                return Err(ApiError::invalid(name, "must have at most 1000 actions"));
            }
            for (index, action) in actions.iter().enumerate() {
                check_text(&format!("{name}[{index}]"), action, 1, 256)?;
            }
        }
        for (name, rate) in [
            ("rate_limit_per_minute", self.rate_limit_per_minute),
            ("rate_limit_per_hour", self.rate_limit_per_hour),
        ] {
            if rate > MOST_PER_WINDOW {
                return Err(ApiError::invalid(name, format!("must be 0 to {MOST_PER_WINDOW}")));
            }
        }
        for (name, text) in [("upgrade_message", &self.upgrade_message), ("upgrade_url", &self.upgrade_url)] {
            let text = text.as_deref().unwrap_or_default();
            check_text(name, text, 0, 500)?;
            if text.contains(char::is_control) {
                return Err(ApiError::invalid(name, "must be one line"));
            }
        }
        Ok(())
    }

    async fn read(tx: &mut Tx, gate: &str) -> ApiResult<Self> {
        let row = sqlx::query("SELECT anonymous_policy FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate)
            .fetch_optional(&mut **tx)
            .await?
            .ok_or_else(|| no_gate(gate))?;
        let Some(stored) = row.try_get::<Option<String>, _>("anonymous_policy")? else {
            return Ok(AnonymousPolicy::default());
        };
        Ok(serde_json::from_str(&stored).context("a gate's policy is unreadable")?)
    }
}

/// What callers without a credential may do.
#[utoipa::path(get, path = "/api/gates/{gate_id}/anonymous-policy", tag = "gates", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The policy", body = AnonymousPolicy),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_policy(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<AnonymousPolicy>> {
    AnonymousPolicy::read(&mut app.db.read().await?, &full_id(&gate_id)).await.map(Json)
}

/// Says what callers without a credential may do, in place of what was said before. It is
/// on its way to the gate with the answer.
#[utoipa::path(put, path = "/api/gates/{gate_id}/anonymous-policy", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = AnonymousPolicy, responses(
    (status = 200, description = "The policy", body = AnonymousPolicy),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "No gate can decide by it", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn set_policy(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(policy): Body<AnonymousPolicy>,
) -> ApiResult<Json<AnonymousPolicy>> {
    policy.check()?;
    let gate = full_id(&gate_id);
    let mut tx = app.db.write().await?;
    // The clock first, then the row: everyone takes them in this order.
    let number = changes::renew_gate(&mut tx, &gate).await?;
    let stored =
        sqlx::query("UPDATE gates SET anonymous_policy = $1 WHERE gate_id = $2 AND deleted_at IS NULL")
            .bind(json!(policy).to_string())
            .bind(&gate)
            .execute(&mut *tx)
            .await?;
    if stored.rows_affected() == 0 {
        return Err(no_gate(&gate));
    }
    if let Some(content) = Content::read(&mut tx, &app.settings, &gate).await? {
        content.check().map_err(of_policy)?;
    }
    let detail = json!({"enabled": policy.enabled, "number": number});
    audit::record(&mut tx, &caller.key_id, "gate.anonymous_policy", &gate, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(policy))
}

/// The member at fault as it is named in the policy.
fn of_policy(mut error: ApiError) -> ApiError {
    error.field = error.field.map(|field| field.strip_prefix("anonymous.").unwrap_or(&field).to_owned());
    error
}

/// Which part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// How many, at most; left out: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// What callers without a credential did, or were refused: records, the newest first.
#[utoipa::path(get, path = "/api/gates/{gate_id}/anonymous-log", tag = "gates", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id"), Part), responses(
    (status = 200, description = "The records", body = [Value]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn log(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(part): Query<Part>,
) -> ApiResult<Json<Vec<Map<String, Value>>>> {
    let page = Page::new(part.limit.or(Some(100)), part.offset)?;
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    // 404 for no gate.
    AnonymousPolicy::read(&mut tx, &gate).await?;
    let mut wanted = Wanted { gate_id: Some(gate), ..Wanted::default() }.conditions()?;
    wanted.and_anonymous();
    let records = wanted.newest(&mut tx, page.limit, page.offset).await?;
    Ok(Json(records.iter().map(Stored::row).collect()))
}
