//! Asking a gate for its decision without passing it. A decision is always 200.

use super::enforce::{cost, method};
use super::gates::{full_id, no_gate};
use super::shapes::{check_id, check_text};
use crate::App;
use crate::anyone::KeyOrNone;
use crate::auth::{Caller, Check as CheckScope};
use crate::db::Tx;
use crate::enforcement::{self, Action, Judged, Target};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::passports;
use crate::passports::judge::{Check, Decision, Presented, decide, gate_trust};
use axum::Json;
use axum::extract::State;
use portcullis_core::guardrails::{Evaluation, Outcome as Verdict};
use portcullis_core::{Method, Reason};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of checks.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(check_gate)).routes(routes!(authorize_dry_run))
}

/// What is asked of a gate.
#[derive(Debug, Deserialize, ToSchema)]
struct CheckRequest {
    /// The action.
    #[schema(min_length = 1, max_length = 256)]
    action: String,
    /// The id of a passport that the service knows.
    #[schema(max_length = 256)]
    passport_id: Option<String>,
    /// A passport's envelope, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    passport_json: Option<Box<RawValue>>,
    /// The signature over its canonical bytes, in standard base64.
    #[schema(max_length = 88)]
    signature: Option<String>,
    /// What the action is upon: a host, a path, or a URL. No allowlist has what is left out.
    #[schema(max_length = 2000)]
    target: Option<String>,
    /// What it costs, in cents; left out: nothing.
    #[schema(minimum = 0, maximum = 9007199254740991_u64)]
    cost_cents: Option<u64>,
}

/// What a gate decides.
#[derive(Debug, Serialize, ToSchema)]
struct CheckResult {
    /// Whether the action is allowed.
    allowed: bool,
    /// `allow`, `block`, or `request_hold` where a person must approve first.
    decision: &'static str,
    /// Why it is not allowed.
    reason_code: Option<&'static str>,
    /// What was found.
    detail: Option<String>,
    /// `passport`, or `anonymous` where there was none.
    access_mode: &'static str,
    /// Null: no record is made of this.
    attestation_id: Option<String>,
    /// What was looked at, in this order, up to the first that failed.
    checks: Vec<CheckStep>,
}

/// One step of a decision.
#[derive(Debug, Serialize, ToSchema)]
struct CheckStep {
    /// What was looked at.
    name: &'static str,
    /// `pass`, `fail`, or `skipped` for what only the gate itself can judge; of guardrails
    /// `pass`, `block`, `hold` or `recorded`.
    result: &'static str,
    /// What was found.
    detail: Option<String>,
}

/// What is asked of a gate, with the passport at hand.
#[derive(Debug, Deserialize, ToSchema)]
struct DryRunRequest {
    /// The gate.
    #[schema(min_length = 1, max_length = 256)]
    gate_id: String,
    /// A passport: its `passport_json` and `signature`, or its `passport_id`.
    passport: DryRunPassport,
    /// The action.
    #[schema(min_length = 1, max_length = 256)]
    requested_permission: String,
    /// What the request would be like.
    #[serde(default)]
    requested_constraints: Requested,
}

/// A request as far as guardrails look at it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Requested {
    /// What it would cost, in cents.
    #[serde(alias = "max_per_action_cost", alias = "core:cost:max_per_action")]
    #[schema(minimum = 0, maximum = 9007199254740991_u64)]
    cost_cents: Option<u64>,
    /// What the action would be upon: a host, a path, or a URL.
    #[schema(max_length = 2000)]
    target: Option<String>,
    /// The HTTP method; left out: `GET`.
    #[schema(max_length = 16)]
    method: Option<String>,
    /// The model that it leads to.
    #[schema(max_length = 256)]
    model: Option<String>,
}

/// A passport, as it was issued, or as far as it is needed.
#[derive(Debug, Deserialize, ToSchema)]
struct DryRunPassport {
    /// Its id.
    #[schema(max_length = 256)]
    passport_id: Option<String>,
    /// Its envelope, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    passport_json: Option<Box<RawValue>>,
    /// The signature over its canonical bytes, in standard base64.
    #[schema(max_length = 88)]
    signature: Option<String>,
    /// There in an envelope by itself, which proves nothing.
    #[schema(ignore)]
    schema_version: Option<Value>,
}

/// What a gate would decide.
#[derive(Debug, Serialize, ToSchema)]
struct DryRunResult {
    /// `allow`, `block`, or `request_hold` where a person must approve first.
    decision: &'static str,
    /// Why it would not be allowed.
    reason_code: Option<&'static str>,
    /// What was found.
    detail: Option<String>,
    /// Whether the permission is granted, and no guardrail of passport or gate blocks.
    constraints_satisfied: bool,
    /// What was looked at, in this order, up to the first that failed.
    evaluations: Vec<CheckStep>,
}

/// What a gate would decide on an action, as far as that can be said without the request.
/// What the service has counted and what is spent is looked at, and nothing of it changes; no
/// record is made. A passport that an agent signed for itself, or one delegated from
/// it, needs no API key once it is registered.
#[utoipa::path(post, path = "/api/gates/{gate_id}/check", tag = "checks", security((), ("api_key" = ["check"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = CheckRequest, responses(
    (status = 200, description = "The decision", body = CheckResult),
    (status = 401, description = "No API key, and no registered passport", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn check_gate(
    caller: KeyOrNone,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<CheckRequest>,
) -> ApiResult<Json<CheckResult>> {
    check_id("action", &asked.action)?;
    check_text("target", asked.target.as_deref().unwrap_or_default(), 0, 2000)?;
    let action = Action {
        name: asked.action,
        target: Target::read(asked.target.as_deref().unwrap_or_default())?,
        method: Method::Get,
        model: None,
        cost_cents: cost("cost_cents", asked.cost_cents)?,
    };
    let mut tx = app.db.read().await?;
    let named = Named::read(
        &mut tx,
        asked.passport_id.as_deref(),
        asked.passport_json.as_deref(),
        asked.signature.as_deref(),
    )
    .await?;
    if !matches!(&named, Named::Passport { needs_no_key: true, .. }) {
        let why = "an API key is needed: only registered passports that agents signed themselves go without";
        caller.require::<CheckScope>(why)?;
    }
    let outcome = named.decide(&mut tx, &app, &full_id(&gate_id), &action).await?;
    Ok(Json(CheckResult {
        allowed: outcome.decision == "allow",
        decision: outcome.decision,
        reason_code: outcome.reason_code,
        detail: outcome.detail,
        access_mode: if matches!(named, Named::Nothing) { "anonymous" } else { "passport" },
        attestation_id: None,
        checks: outcome.steps,
    }))
}

/// What a gate would decide on a permission. Nothing is recorded or changed.
#[utoipa::path(post, path = "/api/authorize/dry-run", tag = "checks", security(("api_key" = ["check"])), request_body = DryRunRequest, responses(
    (status = 200, description = "The decision", body = DryRunResult),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn authorize_dry_run(
    _: Caller<CheckScope>,
    State(app): State<App>,
    Body(asked): Body<DryRunRequest>,
) -> ApiResult<Json<DryRunResult>> {
    check_id("gate_id", &asked.gate_id)?;
    check_id("requested_permission", &asked.requested_permission)?;
    let passport = &asked.passport;
    let signed = (passport.passport_json.as_deref(), passport.signature.as_deref());
    let (id, json, signature) = match signed {
        (Some(json), Some(signature)) => (None, Some(json), Some(signature)),
        _ if passport.schema_version.is_some() || passport.passport_id.is_none() => {
            let problem = "must have passport_json and signature, or the passport_id of one that is known: \
                           an envelope by itself proves nothing";
            return Err(ApiError::invalid("passport", problem));
        }
        _ => (passport.passport_id.as_deref(), None, None),
    };
    let requested = &asked.requested_constraints;
    let field = |name| format!("requested_constraints.{name}");
    check_text(&field("target"), requested.target.as_deref().unwrap_or_default(), 0, 2000)?;
    let action = Action {
        name: asked.requested_permission,
        target: Target::read(requested.target.as_deref().unwrap_or_default())?,
        method: method(&field("method"), requested.method.as_deref())?,
        model: requested.model.clone(),
        cost_cents: cost(&field("cost_cents"), requested.cost_cents)?,
    };
    let mut tx = app.db.read().await?;
    let named = Named::read(&mut tx, id, json, signature).await?;
    let outcome = named.decide(&mut tx, &app, &full_id(&asked.gate_id), &action).await?;
    Ok(Json(DryRunResult {
        decision: outcome.decision,
        reason_code: outcome.reason_code,
        constraints_satisfied: outcome.constraints_hold,
        detail: outcome.detail,
        evaluations: outcome.steps,
    }))
}

/// The passport that a request names.
enum Named {
    Passport { presented: Presented, needs_no_key: bool },
    Unknown(String),
    Nothing,
}

struct Outcome {
    decision: &'static str,
    reason_code: Option<&'static str>,
    detail: Option<String>,
    constraints_hold: bool,
    steps: Vec<CheckStep>,
}

impl Named {
    async fn read(
        tx: &mut Tx,
        id: Option<&str>,
        json: Option<&RawValue>,
        signature: Option<&str>,
    ) -> ApiResult<Self> {
        match (id, json, signature) {
            (None, None, None) => Ok(Named::Nothing),
            (Some(id), None, None) => {
                check_id("passport_id", id)?;
                let Some(known) = passports::find(tx, id).await? else {
                    return Ok(Named::Unknown(id.to_owned()));
                };
                let needs_no_key = known.is_self_issued();
                Ok(Named::Passport { presented: Presented::stored(&known)?, needs_no_key })
            }
            (None, Some(json), Some(signature)) => {
                let presented = Presented::new(json, signature)?;
                let known = match presented.claimed_id() {
                    Some(id) => passports::find(tx, &id).await?,
                    None => None,
                };
                // The very passport, and not only one that claims its id.
                let needs_no_key = known.is_some_and(|known| {
                    known.is_self_issued() && presented.canonical().as_deref() == Some(&known.passport_json)
                });
                Ok(Named::Passport { presented, needs_no_key })
            }
            (None, Some(_), None) => Err(ApiError::invalid("signature", "is needed with passport_json")),
            (None, None, Some(_)) => Err(ApiError::invalid("passport_json", "is needed with signature")),
            (Some(_), _, _) => Err(ApiError::invalid("passport_id", "give it or passport_json, not both")),
        }
    }

    async fn decide(&self, tx: &mut Tx, app: &App, gate_id: &str, action: &Action) -> ApiResult<Outcome> {
        let presented = match self {
            Named::Passport { presented, .. } => presented,
            Named::Unknown(id) => {
                check_gate_exists(tx, gate_id).await?;
                let detail = format!("there is no passport {id}");
                return Ok(Outcome::refused("passport_not_found", detail));
            }
            Named::Nothing => {
                check_gate_exists(tx, gate_id).await?;
                let reason = Reason::CredentialMissing;
                return Ok(Outcome::refused(reason.code(), "no passport was given".to_owned()));
            }
        };
        let gate = gate_trust(tx, gate_id, presented).await?;
        let decision = decide(tx, &gate, presented, &action.name).await?;
        let Some(passport) = decision.passport.as_ref().filter(|_| decision.denial.is_none()) else {
            return Ok(Outcome::of(decision));
        };
        let judged = enforcement::look(tx, app, &gate, passport, action).await?;
        let mut outcome = Outcome::of(decision);
        outcome.add(judged);
        if outcome.constraints_hold {
            outcome.steps.extend(gate.proof().map(CheckStep::from));
        }
        Ok(outcome)
    }
}

impl Outcome {
    fn of(decision: Decision) -> Self {
        let denial = decision.denial;
        Outcome {
            decision: if denial.is_none() { "allow" } else { "block" },
            reason_code: denial.as_ref().map(|denial| denial.reason.code()),
            detail: denial.map(|denial| denial.into_detail().into_owned()),
            constraints_hold: false,
            steps: decision.checks.into_iter().map(CheckStep::from).collect(),
        }
    }

    fn add(&mut self, judged: Judged) {
        self.steps.extend(
            judged.evaluations.into_iter().map(|Evaluation { name, result, detail }| CheckStep {
                name,
                result,
                detail: Some(detail),
            }),
        );
        self.constraints_hold = true;
        match judged.outcome {
            Verdict::Allow => {}
            Verdict::Block { reason, detail, .. } => {
                (self.decision, self.constraints_hold) = ("block", false);
                (self.reason_code, self.detail) = (Some(reason.code()), Some(detail));
            }
            Verdict::Hold { detail } => {
                self.decision = "request_hold";
                (self.reason_code, self.detail) = (Some(Reason::ApprovalRequired.code()), Some(detail));
            }
        }
        let result = if self.constraints_hold { "pass" } else { "fail" };
        self.steps.push(CheckStep { name: "constraints", result, detail: self.detail.clone() });
    }

    fn refused(code: &'static str, detail: String) -> Self {
        let step = CheckStep { name: "passport", result: "fail", detail: Some(detail.clone()) };
        Outcome {
            decision: "block",
            reason_code: Some(code),
            detail: Some(detail),
            constraints_hold: false,
            steps: vec![step],
        }
    }
}

impl From<Check> for CheckStep {
    fn from(check: Check) -> Self {
        let result = match check.holds {
            Some(true) => "pass",
            Some(false) => "fail",
            None => "skipped",
        };
        CheckStep { name: check.name, result, detail: check.detail }
    }
}

async fn check_gate_exists(tx: &mut Tx, gate_id: &str) -> ApiResult<()> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate_id)
            .fetch_optional(&mut **tx)
            .await?;
    known.map(|_| ()).ok_or_else(|| no_gate(gate_id))
}
