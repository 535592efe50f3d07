//! Deciding on actions for callers that have no gate in their way. A decision is always 200.

use super::gates::{full_id, hold};
use super::shapes::{check_id, check_metadata, check_text};
use crate::App;
use crate::approvals;
use crate::auth::{Caller, Enforce};
use crate::enforcement::{self, Action, Judged, Target};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Body;
use crate::passports::judge::{Decision as Judgement, GateTrust, Presented, decide, gate_trust};
use crate::passports::{self, Passport};
use crate::records::{self, Reported};
use crate::spend;
use crate::time::now;
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use portcullis_core::attestation::{
    self, AccessMode, Agent, AttestedRequest, Decision, Draft, MAX_COST_CENTS,
};
use portcullis_core::guardrails::Outcome;
use portcullis_core::json::canonical_text;
use portcullis_core::spend::dollars;
use portcullis_core::{BoundRequest, Method, Mode, Reason, base64, modei, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(enforce_action))
}

/// An action that somebody is about to let an agent do.
#[derive(Debug, Deserialize, ToSchema)]
struct EnforceRequest {
    /// The id of a passport that the service knows.
    #[schema(min_length = 1, max_length = 256)]
    passport_id: String,
    /// The action.
    #[schema(min_length = 1, max_length = 256)]
    action: String,
    /// What it is upon: a host, a path, or a URL. No allowlist has what is left out.
    #[schema(max_length = 2000)]
    target: Option<String>,
    /// What it costs, in cents; left out: nothing.
    #[schema(minimum = 0, maximum = 9007199254740991_u64)]
    cost_cents: Option<u64>,
    /// The gate to decide for; left out: the one that issued the passport.
    #[schema(max_length = 256)]
    gate_id: Option<String>,
    /// Kept beside the record. `method` (left out: `GET`) and `model` are what guardrails
    /// look at.
    #[serde(default, alias = "context")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// What was decided. It is counted, spent and recorded.
#[derive(Debug, Serialize, ToSchema)]
struct EnforceResult {
    /// `allow`, `block`, or `request_hold` where a person must approve first.
    decision: &'static str,
    /// Each guardrail that was looked at, in order. One that blocks is the last.
    evaluations: Vec<GuardrailResult>,
    /// The guardrail that blocks, or what of the passport did not hold.
    blocked_by: Option<String>,
    /// What was found.
    block_reason: Option<String>,
    /// The stable code of that.
    reason_code: Option<&'static str>,
    /// What the passport has spent today, this included, in cents.
    cumulative_cost: u64,
    /// The record of it.
    attestation_id: String,
    /// The record's number, among those that the service makes of the gate.
    sequence_number: u64,
    /// The gate.
    gate_id: String,
    /// `enforce`, or `report` where the gate stops nothing: what it would have decided.
    mode: &'static str,
    /// Of a hold: what to ask after at `/api/approvals/{id}`. Of what is allowed as somebody
    /// has approved: that approval, which is used.
    approval_request_id: Option<String>,
    /// In how many seconds it is worth trying again.
    retry_after_seconds: Option<u32>,
}

/// What became of one guardrail.
#[derive(Debug, Serialize, ToSchema)]
struct GuardrailResult {
    /// Its key, `core:<category>:<name>`.
    name: &'static str,
    /// `pass`, `block`, `hold` or `recorded`.
    result: &'static str,
    /// What was found.
    detail: String,
}

/// Decides on an action by what a gate decides by: the passport, what it grants, and all
/// guardrails of passport and gate. What is allowed is counted and spent, under the caps that
/// gates keep; each decision makes a record in the gate's log, signed by the service.
#[utoipa::path(post, path = "/api/enforce", tag = "checks", security(("api_key" = ["enforce"])), request_body = EnforceRequest, responses(
    (status = 200, description = "The decision", body = EnforceResult),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport, or no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn enforce_action(
    caller: Caller<Enforce>,
    State(app): State<App>,
    Body(asked): Body<EnforceRequest>,
) -> ApiResult<Json<EnforceResult>> {
    let action = asked.action()?;
    let mut tx = app.db.write().await?;
    let passport = passports::find(&mut tx, &asked.passport_id).await?;
    let passport = passport.ok_or_else(|| passports::no_passport(&asked.passport_id))?;
    let gate = asked.gate_id.as_deref().map(full_id).or_else(|| passport.gate_id.clone());
    let gate = gate.ok_or_else(|| {
        ApiError::invalid("gate_id", "is needed: no gate has issued the passport, so say for which to decide")
    })?;
    // Until this is recorded nobody else decides for the gate.
    hold(&mut tx, &gate).await?;
    let presented = Presented::stored(&passport)?;
    let gate = gate_trust(&mut tx, &gate, &presented).await?;
    let judgement = decide(&mut tx, &gate, &presented, &action.name).await?;
    let asking = Asking { asked: &asked, action: &action, gate: &gate, caller: &caller.key_id };
    let binding = asking.binding(&passport)?;
    let verified = judgement.passport.as_ref().filter(|_| judgement.denial.is_none());
    let judged = match verified {
        Some(verified) => Some(enforcement::charge(&mut tx, &app, &gate, verified, &action, &binding).await?),
        None => None,
    };
    let cumulative_cost = spend::spent_today(&mut tx, &passport.passport_id, &passport.issuer_id).await?;
    let decided = Decided::of(&judgement, judged);
    let draft = asking.draft(&passport, &judgement, &decided, binding)?;
    let reported = Reported {
        json: asking.report(),
        agent_id: Some(passport.agent_id.clone()),
        passport_id: Some(passport.passport_id.clone()),
    };
    let record = records::record_own(&mut tx, &app, &draft, Some(reported)).await?;
    approvals::on_record(&mut tx, &app, &record).await?;
    tx.commit().await?;
    app.metrics.recorded(decided.decision.name());
    let approval_request_id = draft.approval_request_id;
    Ok(Json(decided.answer(&gate, record.id(), record.number(), cumulative_cost, approval_request_id)))
}

impl EnforceRequest {
    fn action(&self) -> ApiResult<Action> {
        check_id("passport_id", &self.passport_id)?;
        check_id("action", &self.action)?;
        if let Some(gate) = &self.gate_id {
            check_id("gate_id", gate)?;
        }
        let target = self.target.as_deref().unwrap_or_default();
        check_text("target", target, 0, 2000)?;
        let told = |name| self.metadata.as_ref().and_then(|metadata| metadata.get(name));
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata)?;
        }
        Ok(Action {
            name: self.action.clone(),
            target: Target::read(target)?,
            method: method(
                "metadata.method",
                told("method").map(|method| method.as_str().unwrap_or_default()),
            )?,
            model: told("model").and_then(Value::as_str).map(str::to_owned),
            cost_cents: cost("cost_cents", self.cost_cents)?,
        })
    }
}

/// An HTTP method; `GET` where nobody says so.
///
/// # Errors
/// 422 for one that no gate lets through.
pub(super) fn method(field: &str, name: Option<&str>) -> ApiResult<Method> {
    let known = Method::from_name(name.unwrap_or("GET").as_bytes());
    known.ok_or_else(|| {
        ApiError::invalid(field, "must be one of DELETE, GET, HEAD, OPTIONS, PATCH, POST and PUT")
    })
}

/// What something costs, in cents; nothing where nobody says so.
///
/// # Errors
/// 422 for more than a record can say.
pub(super) fn cost(field: &str, cents: Option<u64>) -> ApiResult<u64> {
    let cents = cents.unwrap_or_default();
    let problem = || ApiError::invalid(field, format!("must be at most {MAX_COST_CENTS}"));
    Some(cents).filter(|cents| *cents <= MAX_COST_CENTS).ok_or_else(problem)
}

/// Who asks for what, and where.
struct Asking<'a> {
    asked: &'a EnforceRequest,
    action: &'a Action,
    gate: &'a GateTrust,
    caller: &'a str,
}

impl Asking<'_> {
    /// What an approval must be for: the same members as at a gate, with the metadata in the
    /// body's place.
    fn binding(&self, passport: &Passport) -> ApiResult<[u8; 32]> {
        let metadata = Value::Object(self.asked.metadata.clone().unwrap_or_default());
        let body = canonical_text(&crate::constraints::strict("metadata", &metadata)?.into());
        let bound = BoundRequest {
            action: &self.action.name,
            agent_key: &agent_key(passport)?,
            body: &sha256(body.as_bytes()),
            cost_cents: self.action.cost_cents,
            domain: &self.action.target.host,
            gate: &self.gate.id,
            method: self.action.method.name(),
            target: self.asked.target.as_deref().unwrap_or_default(),
        };
        Ok(bound.binding())
    }

    fn draft(
        &self,
        passport: &Passport,
        judgement: &Judgement,
        decided: &Decided,
        binding: [u8; 32],
    ) -> ApiResult<Draft> {
        let agent = decided.is_credential_good.then(|| agent(judgement)).flatten();
        let is_held = decided.decision == Decision::RequestHold;
        let hold = is_held.then(|| -> ApiResult<_> {
            Ok(attestation::Hold {
                agent_key: base64::encode_url(&agent_key(passport)?),
                binding,
                expires_at: now().plus_millis(approvals::WAIT_MS),
                summary: self.summary(passport, decided.detail.as_deref().unwrap_or_default()),
            })
        });
        let evaluation = |one: &portcullis_core::guardrails::Evaluation| attestation::Evaluation {
            name: one.name.to_owned(),
            result: attestation::Outcome::from_name(one.result).unwrap_or(attestation::Outcome::Recorded),
            detail: one.detail.clone(),
        };
        Ok(Draft {
            access_mode: if agent.is_some() { AccessMode::Credential } else { AccessMode::None },
            agent,
            approval_request_id: match (&decided.approval, is_held) {
                (Some(used), _) => Some(used.clone()),
                (None, true) => Some(format!("appr_{}", base64::encode_url(&records::new_id()?))),
                (None, false) => None,
            },
            id: records::new_id()?,
            decision: decided.decision,
            detail: decided.detail.clone(),
            dropped: None,
            gate_id: self.gate.id.clone(),
            gate_name: Some(self.gate.name.clone()),
            guardrails: decided.evaluations.iter().map(evaluation).collect(),
            hold: hold.transpose()?,
            mode: self.gate.mode,
            reason_code: decided.reason.map(|reason| reason.code().to_owned()),
            receipt: None,
            request: Some(AttestedRequest {
                action: Some(self.action.name.clone()),
                cost_cents: self.action.cost_cents,
                method: self.action.method.name().to_owned(),
                path: self.action.target.path.clone(),
                target_domain: Some(self.action.target.host.clone()).filter(|host| !host.is_empty()),
            }),
            time: now(),
        })
    }

    /// What a person reads who is to decide.
    fn summary(&self, passport: &Passport, detail: &str) -> String {
        let target = self.asked.target.as_deref().unwrap_or_default();
        let cost = dollars(self.action.cost_cents);
        let (agent, action) = (&passport.agent_id, &self.action.name);
        format!("{agent} asks for {action}: {target:.100} for {cost} ({detail})")
    }

    /// What is kept beside the record, unsigned.
    fn report(&self) -> String {
        let EnforceRequest { target, metadata, .. } = self.asked;
        json!({"enforced_for": self.caller, "target": target, "metadata": metadata}).to_string()
    }
}

/// What came of it.
struct Decided {
    decision: Decision,
    reason: Option<Reason>,
    detail: Option<String>,
    blocked_by: Option<String>,
    evaluations: Vec<portcullis_core::guardrails::Evaluation>,
    retry_after_s: Option<u32>,
    approval: Option<String>,
    /// The passport is genuine, valid and not revoked.
    is_credential_good: bool,
}

impl Decided {
    fn of(judgement: &Judgement, judged: Option<Judged>) -> Self {
        let failed = judgement.checks.iter().rev().find(|check| check.holds == Some(false));
        let failed = failed.map(|check| check.name);
        let Some(Judged { evaluations, outcome, approval }) = judged else {
            let denial = judgement.denial.as_ref();
            return Decided {
                decision: Decision::Block,
                reason: denial.map(|denial| denial.reason),
                detail: denial.map(|denial| denial.detail.to_string()),
                blocked_by: failed.map(str::to_owned),
                evaluations: Vec::new(),
                retry_after_s: None,
                approval: None,
                is_credential_good: matches!(
                    failed,
                    Some("lifetime" | "catalog_pin" | "permission" | "ceiling")
                ),
            };
        };
        let blocks =
            evaluations.last().filter(|last| last.result == "block").map(|last| last.name.to_owned());
        let mut decided = Decided {
            decision: Decision::Allow,
            reason: None,
            detail: None,
            blocked_by: None,
            evaluations,
            retry_after_s: None,
            approval,
            is_credential_good: true,
        };
        match outcome {
            Outcome::Allow => {}
            Outcome::Block { reason, detail, retry_after_s } => {
                decided.decision = Decision::Block;
                (decided.reason, decided.detail) = (Some(reason), Some(detail));
                decided.blocked_by = blocks.or_else(|| Some("constraints".to_owned()));
                decided.retry_after_s = retry_after_s;
            }
            Outcome::Hold { detail } => {
                decided.decision = Decision::RequestHold;
                (decided.reason, decided.detail) = (Some(Reason::ApprovalRequired), Some(detail));
            }
        }
        decided
    }

    fn answer(
        self,
        gate: &GateTrust,
        attestation_id: String,
        sequence_number: u64,
        cumulative_cost: u64,
        approval_request_id: Option<String>,
    ) -> EnforceResult {
        let evaluations = self.evaluations.into_iter().map(|one| GuardrailResult {
            name: one.name,
            result: one.result,
            detail: one.detail,
        });
        EnforceResult {
            decision: self.decision.name(),
            evaluations: evaluations.collect(),
            blocked_by: self.blocked_by,
            block_reason: self.detail,
            reason_code: self.reason.map(Reason::code),
            cumulative_cost,
            attestation_id,
            sequence_number,
            gate_id: gate.id.clone(),
            mode: match gate.mode {
                Mode::Enforce => "enforce",
                Mode::Report => "report",
            },
            approval_request_id,
            retry_after_seconds: self.retry_after_s,
        }
    }
}

/// The thumbprint of the key that the passport is about.
fn agent_key(passport: &Passport) -> ApiResult<[u8; 32]> {
    let key = base64::decode_array::<32>(&passport.public_key);
    Ok(sha256(&key.context("the key of a stored passport is unreadable")?))
}

fn agent(judgement: &Judgement) -> Option<Agent> {
    let passport: &modei::Passport = judgement.passport.as_ref()?;
    Some(Agent {
        agent_id: passport.agent_id().to_owned(),
        agent_name: passport.agent_name().map(str::to_owned),
        issuer_id: passport.root().issuer().to_owned(),
        passport_id: passport.id().to_owned(),
        tier: judgement.tier.unwrap_or(1),
    })
}
