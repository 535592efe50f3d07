//! What a request that has a price owes, from its admission until its receipt is made.

use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level, Map};
use crate::metrics::ReceiptEvent;
use crate::pairs::{self, Pair};
use crate::prepare::malformed;
use crate::records::Target;
use crate::root::Gate;
use alloc::boxed::Box;
use alloc::string::String;
use portcullis_core::catalog::PricingModel;
use portcullis_core::receipt::{AgentProof, Charge, Consumer, Outcome, ProofForm, Rate, Receipt, minutes};
use portcullis_core::{Identity, Metered, Permit, UnixTime, base64, sha256};

/// How an upstream says how much was used, and what came of it.
const QUANTITY: &str = "x-gate-quantity";
const OUTCOME: &str = "x-gate-outcome";

/// How the agent gets its receipt, or that's name.
const RECEIPT: &str = "agent-receipt";

/// A request that has gone on, and whose receipt is not made yet.
#[derive(Debug)]
pub(crate) struct Meter {
    permit: Permit,
    /// Of the record of the permit.
    attestation_id: String,
    target: Target,
    since: UnixTime,
    /// The receipt's, however often it is tried to make it.
    id: [u8; 16],
    answer: Answer,
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
struct Answer {
    status: Option<u16>,
    outcome: Outcome,
    quantity: u64,
}

impl Meter {
    /// Of a permit that is used from now on; `None` where that costs nothing. `id` is random.
    pub(crate) fn start(
        permit: Permit,
        attestation_id: String,
        target: Target,
        id: [u8; 16],
        since: UnixTime,
    ) -> Option<Box<Self>> {
        permit.metered()?;
        // Until an answer comes: who leaves before it may have had what it came for.
        let answer = Answer { status: None, outcome: Outcome::Partial, quantity: 1 };
        Some(Box::new(Meter { permit, attestation_id, target, since, id, answer }))
    }

    fn owed(&self) -> Option<(&Metered, &Identity)> {
        self.permit.metered().zip(self.permit.identity())
    }

    /// Whether the answer's headers say all that it costs.
    fn is_told_at_once(&self) -> bool {
        self.owed().is_some_and(|(metered, _)| {
            matches!(metered.rate().price.model, PricingModel::PerCall | PricingModel::Subscription)
        })
    }

    /// Takes note of the answer, makes the receipt if it can be made now, and tells the agent.
    /// Whether it was made.
    fn answer(&mut self, gate: &Gate) -> Result<bool, HostFault> {
        // The first answer is the upstream's.
        if self.answer.status.is_none() {
            // What cannot be read is not charged.
            self.answer.outcome = Outcome::Error;
            let mut map = host::headers(Map::ResponseHeaders)?;
            let headers = pairs::decode(&mut map).map_err(malformed)?;
            let rate = self.owed().map(|(metered, _)| metered.rate());
            self.answer = Answer::of(&headers, rate);
        }
        // The upstream does not speak for the gate.
        host::remove_header(Map::ResponseHeaders, RECEIPT.as_bytes())?;
        if !self.is_told_at_once() {
            let id = portcullis_core::live::hex(&self.id);
            host::add_response_header(RECEIPT, &["\"rcpt_", &id, "\""].concat())?;
            return Ok(false);
        }
        let text = self.make(gate)?;
        // Made, it is not made again, whether the agent hears of it or not.
        let value = [":", &base64::encode(text.as_bytes()), ":"].concat();
        if let Err(fault) = host::add_response_header(RECEIPT, &value) {
            failed(gate, fault);
        }
        Ok(true)
    }

    /// Makes the receipt and queues it with its record; its text.
    fn make(&self, gate: &Gate) -> Result<String, HostFault> {
        let (metered, identity) = self.owed().ok_or(LOST)?;
        let (rate, proof) = (metered.rate(), metered.proof());
        let now = host::now()?;
        let lasted = now.as_millis().saturating_sub(self.since.as_millis());
        let lasted = u64::try_from(lasted).unwrap_or_default();
        let Answer { status, outcome, quantity } = self.answer;
        let (quantity, duration_ms) = match rate.price.model {
            PricingModel::PerMinute => (minutes(lasted), Some(lasted)),
            PricingModel::PerCall | PricingModel::Subscription | PricingModel::Usage => (quantity, None),
        };
        let receipt = Receipt {
            action: identity.action().into(),
            agent: Consumer::new(identity, *metered.agent_key()),
            attestation_id: Some(self.attestation_id.clone()),
            catalog: metered.pin().clone(),
            charge: Charge::of(rate, outcome, quantity).ok_or(TOO_MUCH)?,
            duration_ms,
            gate_id: gate.snapshot.gate().into(),
            issued_at: now,
            outcome,
            proof: AgentProof {
                base_sha256: sha256(proof.base()),
                created: proof.created(),
                form: ProofForm::Rfc9421,
                nonce: proof.nonce().into(),
                signature: *proof.signature(),
            },
            id: self.id,
            request_payload_hash: None,
            response_payload_hash: None,
            status,
        };
        let base = core::str::from_utf8(proof.base()).map_err(|_| LOST)?;
        let text = gate.record_use(&receipt, base, identity, &self.target)?;
        gate.works.metrics.count_receipt(ReceiptEvent::Made);
        Ok(text)
    }
}

/// Acts on the headers of an answer. Nothing that fails here changes it.
pub(crate) fn answered(meter: &mut Option<Box<Meter>>, gate: &Gate) {
    if let Some(metered) = meter {
        match metered.answer(gate) {
            Ok(true) => *meter = None,
            Ok(false) => {}
            Err(fault) => failed(gate, fault),
        }
    }
    for name in [QUANTITY, OUTCOME] {
        if let Err(fault) = host::remove_header(Map::ResponseHeaders, name.as_bytes()) {
            failed(gate, fault);
        }
    }
}

/// Makes a receipt that was not made at the answer: nothing more comes of the request.
pub(crate) fn ended(meter: &mut Option<Box<Meter>>, gate: &Gate) {
    let Some(meter) = meter.take() else { return };
    if let Err(fault) = meter.make(gate) {
        failed(gate, fault);
        gate.works.metrics.count_receipt(ReceiptEvent::Lost);
        gate.lose_record();
    }
}

fn failed(gate: &Gate, fault: HostFault) {
    gate.works.metrics.count_receipt(ReceiptEvent::Failed);
    host::log(Level::Warn, &alloc::format!("a receipt is not as it should be: {fault}"));
}

impl Answer {
    fn of(headers: &[Pair<'_>], rate: Option<Rate>) -> Self {
        let (status, outcome) = outcome(headers);
        let used = headers.iter().any(|(name, _)| *name == QUANTITY.as_bytes());
        let is_usage = rate.is_some_and(|rate| rate.price.model == PricingModel::Usage);
        let mut quantity = 1;
        if used && is_usage {
            let told = text(headers, QUANTITY).and_then(|told| told.parse().ok()).filter(|told| *told > 0);
            let fits =
                |told: &u64| rate.is_some_and(|rate| Charge::of(rate, Outcome::Success, *told).is_some());
            match told.filter(fits) {
                Some(told) => quantity = told,
                None => host::log(Level::Warn, "an upstream's x-gate-quantity is none, and counts as 1"),
            }
        }
        Answer { status, outcome, quantity }
    }
}

/// The status of an answer, if it has one that a receipt can have, and what came of the request.
fn outcome(headers: &[Pair<'_>]) -> (Option<u16>, Outcome) {
    let status = text(headers, ":status").and_then(|status| status.parse().ok());
    let status = status.filter(|status| (100..1000).contains(status));
    let of_grpc = headers.iter().find(|(name, _)| *name == b"grpc-status").map(|(_, value)| *value);
    let outcome = text(headers, OUTCOME).and_then(Outcome::named).unwrap_or(match (status, of_grpc) {
        (Some(408 | 504), _) | (Some(..400), Some(b"4")) => Outcome::Timeout,
        (Some(..400), None | Some(b"0")) => Outcome::Success,
        _ => Outcome::Error,
    });
    (status, outcome)
}

/// The value of a header that is there once.
fn text<'h>(headers: &[Pair<'h>], name: &str) -> Option<&'h str> {
    let mut values = headers.iter().filter(|(one, _)| *one == name.as_bytes()).map(|(_, value)| *value);
    let value = values.next()?;
    if values.next().is_some() { None } else { core::str::from_utf8(value).ok() }
}

/// Cannot occur: what is metered has an identity, and what was signed is text.
const LOST: HostFault = HostFault::new(Place::Gate, Problem::LostRequest);

/// After some sixty days at the highest price there is.
const TOO_MUCH: HostFault = HostFault::new(Place::Gate, Problem::TooMuch);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_statuses_a_receipt_has_only_those_that_are_read_back() {
        for status in 0..=u16::MAX {
            let text = alloc::string::ToString::to_string(&status);
            let (told, outcome) = outcome(&[(b":status", text.as_bytes())]);
            assert_eq!(told, Some(status).filter(|status| (100..1000).contains(status)));
            assert_eq!(outcome.is_charged(), (100..400).contains(&status), "{status}");
        }
        assert_eq!(outcome(&[]), (None, Outcome::Error));
    }
}
