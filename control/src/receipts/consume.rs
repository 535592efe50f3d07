//! Metering for callers outside a gate: a use that has happened, with the agent's word for it,
//! becomes a receipt that the service signs for the gate.

use super::{AgentPop, Terms, nonces, pop};
use crate::App;
use crate::api::gates::hold;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::passports::judge::{Presented, decide, gate_trust};
use crate::passports::{self, Passport};
use crate::records::{self, Reported};
use crate::time::now;
use anyhow::Context;
use axum::http::StatusCode;
use portcullis_core::attestation::{
    AccessMode, Agent, AttestedRequest, Decision, Draft, Hash, MAX_COST_CENTS,
};
use portcullis_core::catalog::PricingModel;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::{
    Charge, Consumer, MAX_QUANTITY, Outcome, PopDraft, Receipt, SignedReceipt, minutes,
};
use portcullis_core::{Mode, Reason, UnixTime, base64};

/// A use of a priced action.
#[derive(Clone, Debug)]
pub struct Use {
    /// The passport that it was by.
    pub passport_id: String,
    /// The gate whose action it was.
    pub gate_id: String,
    /// The action.
    pub action: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Calls, minutes or units.
    pub quantity: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The agent's word for it.
    pub pop: AgentPop,
    /// SHA-256 of what was sent, hexadecimal.
    pub request_payload_hash: Option<String>,
    /// SHA-256 of what was answered, hexadecimal.
    pub response_payload_hash: Option<String>,
}

/// What was made of it.
#[derive(Debug)]
pub struct Consumed {
    /// The receipt.
    pub receipt: SignedReceipt,
    /// What the agent signed.
    pub base: String,
    /// The id of the record in the gate's log that names the receipt.
    pub attestation_id: String,
}

/// Makes a receipt, in one transaction with its record and the nonce's use.
///
/// # Errors
/// 404 for no passport or gate; 403 for a passport that is not good for it; 422 for what is
/// wrong in the use, with the member; 409 for a nonce that was used. Nothing is stored then.
pub async fn consume(tx: &mut Tx, app: &App, asked: &Use, reported: String) -> ApiResult<Consumed> {
    let at = now();
    asked.pop.check(at)?;
    let passport = passports::find(tx, &asked.passport_id).await?;
    let passport = passport.ok_or_else(|| passports::no_passport(&asked.passport_id))?;
    hold(tx, &asked.gate_id).await?;
    let (agent, name, mode) = judged(tx, asked, &passport).await?;
    // As at a gate: whoever issues a passport writes its pin.
    let pin = passport.pin().filter(|_| passport.gate_id.as_ref() == Some(&asked.gate_id));
    let pin = pin.ok_or_else(|| {
        let message = "passport_id: the passport is pinned to no catalog of this gate by the gate itself, so \
                       nothing says what a use costs: publish one, and have the gate reissue the passport";
        refusal("catalog_pin_missing", "passport_id", message)
    })?;
    let charge = asked.charge(tx, &pin).await?;
    let [request_payload_hash, response_payload_hash] = asked.payload_hashes()?;
    let draft = PopDraft {
        action: &asked.action,
        catalog_content_hash: &pin.content_hash,
        gate_id: &asked.gate_id,
        nonce: &asked.pop.nonce,
        outcome: asked.outcome,
        passport_id: &asked.passport_id,
        quantity: charge.quantity(),
        request_payload_hash: request_payload_hash.as_ref(),
        response_payload_hash: response_payload_hash.as_ref(),
        created: UnixTime::from_millis(asked.pop.timestamp),
    };
    let (proof, base) = asked.pop.verify(&draft, &passport.public_key)?;
    nonces::use_once(tx, &asked.pop.nonce, &asked.passport_id, &asked.gate_id).await?;
    let key = base64::decode_array(&passport.public_key);
    let receipt = Receipt {
        action: asked.action.clone(),
        agent: Consumer {
            agent_id: agent.agent_id.clone(),
            issuer_id: agent.issuer_id.clone(),
            passport_id: agent.passport_id.clone(),
            public_key: key.context("the key of a stored passport is unreadable")?,
        },
        attestation_id: None,
        catalog: pin,
        charge,
        duration_ms: asked.duration_ms.filter(|_| is_per_minute(&charge)),
        gate_id: asked.gate_id.clone(),
        issued_at: at,
        outcome: asked.outcome,
        proof,
        id: records::new_id()?,
        request_payload_hash,
        response_payload_hash,
        status: None,
    };
    let draft = Draft {
        access_mode: AccessMode::Credential,
        agent: Some(agent),
        approval_request_id: None,
        id: records::new_id()?,
        decision: Decision::Consumption,
        detail: None,
        dropped: None,
        gate_id: asked.gate_id.clone(),
        gate_name: Some(name),
        guardrails: Vec::new(),
        hold: None,
        mode,
        reason_code: None,
        receipt: None,
        request: Some(AttestedRequest {
            action: Some(asked.action.clone()),
            cost_cents: charge.total_cents(),
            method: String::new(),
            path: String::new(),
            target_domain: None,
        }),
        time: at,
    };
    let reported = Reported { json: reported, agent_id: None, passport_id: None };
    let (record, receipt) = records::record_receipt(tx, app, draft, (&receipt, &base), reported).await?;
    Ok(Consumed { receipt, base, attestation_id: record.id() })
}

impl Use {
    /// What it costs, by the terms of the catalog that the passport is pinned to.
    async fn charge(&self, tx: &mut Tx, pin: &CatalogPin) -> ApiResult<Charge> {
        let mut terms = Terms::new(&self.gate_id);
        terms.load(tx, pin.version).await?;
        let rate = terms.rate(pin, &self.action).ok_or_else(|| {
            let problem = format!("has no price in version {} of the gate's catalog", pin.version);
            ApiError::invalid("action", problem)
        })?;
        if !(1..=MAX_QUANTITY).contains(&self.quantity) {
            return Err(ApiError::invalid("quantity", format!("must be 1 to {MAX_QUANTITY}")));
        }
        let quantity = match (rate.price.model, self.duration_ms) {
            (PricingModel::PerMinute, Some(duration)) => {
                let begun = minutes(duration);
                if self.quantity != 1 && self.quantity != begun {
                    let problem =
                        format!("must be {begun}, the minutes that duration_ms begins, or be left out");
                    return Err(ApiError::invalid("quantity", problem));
                }
                begun
            }
            _ => self.quantity,
        };
        let charge = Charge::of(rate, self.outcome, quantity);
        charge.filter(|charge| charge.total_cents() <= MAX_COST_CENTS).ok_or_else(|| {
            let problem = format!("comes to more than {MAX_COST_CENTS} cents, which no record can tell");
            ApiError::invalid("quantity", problem)
        })
    }

    /// The hashes of what was sent, and of what was answered.
    fn payload_hashes(&self) -> ApiResult<[Option<Hash>; 2]> {
        let read = |field: &str, text: &Option<String>| {
            text.as_deref().map(|text| pop::payload_hash(field, text)).transpose()
        };
        let beside = read("request_payload_hash", &self.request_payload_hash)?;
        let member = "agent_pop.request_payload_hash";
        let within = read(member, &self.pop.request_payload_hash)?;
        if within.is_some() && beside.is_some() && within != beside {
            return Err(ApiError::invalid(member, "is not the request_payload_hash beside it"));
        }
        Ok([beside.or(within), read("response_payload_hash", &self.response_payload_hash)?])
    }
}

/// That the passport is good for the action at the gate, as a gate judges it. Answers whom
/// it is for, and the gate's name and mode.
async fn judged(tx: &mut Tx, asked: &Use, passport: &Passport) -> ApiResult<(Agent, String, Mode)> {
    let presented = Presented::stored(passport)?;
    let gate = gate_trust(tx, &asked.gate_id, &presented).await?;
    let decision = decide(tx, &gate, &presented, &asked.action).await?;
    // A use without a pin is refused for that by itself, and told what to do.
    if let Some(denial) = decision.denial.filter(|denial| denial.reason != Reason::CatalogPinMissing) {
        let message = format!("passport_id: {}", denial.detail);
        let mut error = ApiError::new(StatusCode::FORBIDDEN, denial.reason.code(), message);
        error.field = Some("passport_id".to_owned());
        return Err(error);
    }
    let verified = decision.passport.context("a passport that is good was verified")?;
    let agent = Agent {
        agent_id: verified.agent_id().to_owned(),
        agent_name: verified.agent_name().map(str::to_owned),
        issuer_id: verified.root().issuer().to_owned(),
        passport_id: verified.id().to_owned(),
        tier: decision.tier.unwrap_or(1),
    };
    Ok((agent, gate.name, gate.mode))
}

fn is_per_minute(charge: &Charge) -> bool {
    charge.rate().price.model == PricingModel::PerMinute
}

fn refusal(code: &'static str, field: &str, message: &str) -> ApiError {
    let mut error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    error.field = Some(field.to_owned());
    error
}
