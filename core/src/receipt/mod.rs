//! Receipts: what one use of a priced action cost, said by the gate and asked for by the agent.
//!
//! A receipt is signed by the gate's attestation key, and names the proof by which the agent
//! asked for the use: its signature, and the hash of the text that it is over, the *base*. Whoever
//! has receipt and base can verify both with nobody's help, so that neither side can charge what
//! was not asked for, or deny what was.

mod attachment;
mod charge;
mod proof;
mod read;
mod reader;
mod verifier;

pub use attachment::{Attachment, MAX_ATTACHMENT};
pub use charge::{Charge, MAX_QUANTITY, Rate, minutes};
pub use proof::{AgentProof, PopDraft, ProofForm};
pub(crate) use proof::{chain_claims_in, check_request};
pub use read::{MAX_RECEIPT, SignedReceipt};
pub use verifier::{ReceiptVerifier, WithBase};

use crate::attestation::write::{number, optional, text, time};
use crate::attestation::{Hash, Signer};
use crate::base64;
use crate::live::hex;
use crate::modei::CatalogPin;
use crate::time::UnixTime;
use crate::verifier::Identity;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// What a receipt says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// What was used.
    pub action: String,
    /// By whom.
    pub agent: Consumer,
    /// The id of the record of the decision that let the request through; `None` where no gate
    /// stood in the way.
    pub attestation_id: Option<String>,
    /// The catalog whose terms count.
    pub catalog: CatalogPin,
    /// What it cost.
    pub charge: Charge,
    /// How long it took, where the price is for that.
    pub duration_ms: Option<u64>,
    /// The gate.
    pub gate_id: String,
    /// When the receipt was made.
    pub issued_at: UnixTime,
    /// What came of it.
    pub outcome: Outcome,
    /// How the agent asked.
    pub proof: AgentProof,
    /// 16 random bytes: `receipt_id` is `rcpt_` and their hex.
    pub id: [u8; 16],
    /// SHA-256 of what the agent sent, where it says so.
    pub request_payload_hash: Option<Hash>,
    /// SHA-256 of what it was answered.
    pub response_payload_hash: Option<Hash>,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
}

/// Who used something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Consumer {
    /// Its id, as its issuer has it.
    pub agent_id: String,
    /// The issuer at the root of its passport.
    pub issuer_id: String,
    /// Its passport's id.
    pub passport_id: String,
    /// Its key.
    pub public_key: [u8; 32],
}

impl Consumer {
    /// Who asks, with this key.
    pub fn new(identity: &Identity, public_key: [u8; 32]) -> Self {
        Consumer {
            agent_id: identity.agent_id().into(),
            issuer_id: identity.issuer().into(),
            passport_id: identity.credential_id().into(),
            public_key,
        }
    }
}

/// What came of a use.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// It failed: nothing is charged.
    Error,
    /// Some of it was done.
    Partial,
    /// It was done.
    Success,
    /// There was no answer in time: nothing is charged.
    Timeout,
}

/// Why something is no receipt, or not one to go by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceiptError {
    /// It is not of its form, at this member.
    Malformed(&'static str),
    /// Its text is not the one that its maker writes for what it says.
    NotCanonical,
    /// Its sums do not follow from price, quantity and outcome.
    ChargeWrong,
    /// It names another key.
    KeyUnknown,
    /// It was not signed by the key that it names.
    SignatureInvalid,
    /// The text beside it is not the one whose hash it has.
    BaseMismatch,
    /// The text that the agent signed says something else than the receipt.
    ProofMismatch(&'static str),
    /// The agent's key has not signed that text.
    ProofInvalid,
}

impl Receipt {
    /// Signs it. The same arguments give the same text: RFC 8785, with the Ed25519 signature over
    /// the text without the member `signature` in it.
    pub fn sign(&self, signer: &Signer) -> String {
        let Text { mut text, seal_at } = self.text();
        let signature = signer.sign(text.as_bytes());
        text.insert_str(seal_at, &seal(signer.key_id(), &signature));
        text
    }

    /// `rcpt_` and 32 hex digits.
    pub fn receipt_id(&self) -> String {
        ["rcpt_", &hex(&self.id)].concat()
    }

    /// What is signed.
    fn text(&self) -> Text {
        let mut text = String::with_capacity(USUAL);
        let out = &mut text;
        string(out, "{\"action\":", &self.action);
        let Consumer { agent_id, issuer_id, passport_id, public_key } = &self.agent;
        string(out, ",\"agent\":{\"agent_id\":", agent_id);
        string(out, ",\"issuer_id\":", issuer_id);
        string(out, ",\"passport_id\":", passport_id);
        string(out, ",\"public_key\":", &base64::encode(public_key));
        optional(out, "},\"attestation_id\":", self.attestation_id.as_deref(), usize::MAX);
        string(out, ",\"catalog\":{\"content_hash\":", &self.catalog.content_hash);
        number(out, ",\"version\":", self.catalog.version.unsigned_abs());
        out.push('}');
        self.charge.write(out);
        out.push_str(",\"duration_ms\":");
        match self.duration_ms {
            Some(duration) => number(out, "", duration.min(charge::MAX_SUM)),
            None => out.push_str("null"),
        }
        string(out, ",\"gate_id\":", &self.gate_id);
        time(out, ",\"issued_at\":", self.issued_at);
        string(out, ",\"outcome\":", self.outcome.name());
        self.proof.write(out);
        string(out, ",\"receipt_id\":", &self.receipt_id());
        hash(out, ",\"request_payload_hash\":", self.request_payload_hash.as_ref());
        hash(out, ",\"response_payload_hash\":", self.response_payload_hash.as_ref());
        let seal_at = out.len();
        out.push_str(",\"status\":");
        match self.status {
            Some(status) => number(out, "", status.into()),
            None => out.push_str("null"),
        }
        // It keeps whatever else the key signs from being taken for a receipt.
        string(out, ",\"typ\":", TYP);
        string(out, ",\"version\":", VERSION);
        out.push('}');
        Text { text, seal_at }
    }
}

/// What is signed, and where the signature stands in the whole text.
struct Text {
    text: String,
    seal_at: usize,
}

/// Room for a receipt whose ids are no longer than most.
const USUAL: usize = 1536;

fn string(out: &mut String, before: &str, value: &str) {
    text(out, before, value, usize::MAX);
}

fn hash(out: &mut String, before: &str, value: Option<&Hash>) {
    optional(out, before, value.map(|hash| hex(hash)).as_deref(), usize::MAX);
}

const TYP: &str = "consumption-attestation";
const VERSION: &str = "1.0";

/// The member `signature`, with its comma.
fn seal(key_id: &str, signature: &[u8; 64]) -> String {
    let value = base64::encode_url(signature);
    [",\"signature\":{\"algorithm\":\"EdDSA\",\"key_id\":\"", key_id, "\",\"value\":\"", &value, "\"}"]
        .concat()
}

impl Outcome {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Outcome); 4] = [
        ("error", Outcome::Error),
        ("partial", Outcome::Partial),
        ("success", Outcome::Success),
        ("timeout", Outcome::Timeout),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Error => "error",
            Outcome::Partial => "partial",
            Outcome::Success => "success",
            Outcome::Timeout => "timeout",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, outcome)| *outcome)
    }

    /// Whether it costs anything.
    pub fn is_charged(self) -> bool {
        matches!(self, Outcome::Success | Outcome::Partial)
    }
}

impl ReceiptError {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            ReceiptError::Malformed(_) => "receipt_malformed",
            ReceiptError::NotCanonical => "receipt_not_canonical",
            ReceiptError::ChargeWrong => "charge_wrong",
            ReceiptError::KeyUnknown => "key_unknown",
            ReceiptError::SignatureInvalid => "signature_invalid",
            ReceiptError::BaseMismatch => "base_mismatch",
            ReceiptError::ProofMismatch(_) => "proof_mismatch",
            ReceiptError::ProofInvalid => "proof_invalid",
        }
    }
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&match self {
            ReceiptError::Malformed(member) => format!("{member} is missing or not of its form"),
            ReceiptError::NotCanonical => "its text is not the canonical one (RFC 8785)".into(),
            ReceiptError::ChargeWrong => {
                "its sums do not follow from its price, its quantity and its outcome".into()
            }
            ReceiptError::KeyUnknown => "no known key has the id that it names".into(),
            ReceiptError::SignatureInvalid => "its signature is not one by the key that it names".into(),
            ReceiptError::BaseMismatch => "the text beside it is not the one whose hash it has".into(),
            ReceiptError::ProofMismatch(what) => {
                format!("what the agent signed has another {what} than the receipt")
            }
            ReceiptError::ProofInvalid => "the agent's key has not signed the text beside it".into(),
        })
    }
}

impl core::error::Error for ReceiptError {}
