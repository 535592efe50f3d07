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

pub use attachment::{Attachment, MAX_ATTACHMENT};
pub use charge::{Charge, MAX_QUANTITY, Rate, minutes};
pub(crate) use proof::check_request;
pub use proof::{AgentProof, PopDraft, ProofForm};
pub use read::{MAX_RECEIPT, SignedReceipt};

use crate::attestation::{Hash, Signer};
use crate::base64;
use crate::json::{Object, Value, canonical_text};
use crate::live::{hex, owned, whole};
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
        let mut object = self.to_object();
        let signature = signer.sign(canonical_text(&object.clone().into()).as_bytes());
        object.set("signature", seal(signer.key_id(), &signature));
        canonical_text(&object.into())
    }

    /// `rcpt_` and 32 hex digits.
    pub fn receipt_id(&self) -> String {
        ["rcpt_", &hex(&self.id)].concat()
    }

    fn to_object(&self) -> Object<'static> {
        let optional = |text: Option<&str>| text.map_or(Value::Null, owned);
        let hash = |hash: &Option<Hash>| optional(hash.as_ref().map(|hash| hex(hash)).as_deref());
        let Consumer { agent_id, issuer_id, passport_id, public_key } = &self.agent;
        let agent = Object::from([
            ("agent_id", owned(agent_id)),
            ("issuer_id", owned(issuer_id)),
            ("passport_id", owned(passport_id)),
            ("public_key", owned(&base64::encode(public_key))),
        ]);
        let catalog = Object::from([
            ("content_hash", owned(&self.catalog.content_hash)),
            ("version", Value::integer(self.catalog.version)),
        ]);
        Object::from([
            ("action", owned(&self.action)),
            ("agent", agent.into()),
            ("attestation_id", optional(self.attestation_id.as_deref())),
            ("catalog", catalog.into()),
            ("charge", self.charge.to_value()),
            ("duration_ms", self.duration_ms.map_or(Value::Null, whole)),
            ("gate_id", owned(&self.gate_id)),
            ("issued_at", owned(&self.issued_at.to_iso())),
            ("outcome", owned(self.outcome.name())),
            ("proof", self.proof.to_value()),
            ("receipt_id", owned(&self.receipt_id())),
            ("request_payload_hash", hash(&self.request_payload_hash)),
            ("response_payload_hash", hash(&self.response_payload_hash)),
            ("status", self.status.map_or(Value::Null, |status| whole(status.into()))),
            // It keeps whatever else the key signs from being taken for a receipt.
            ("typ", owned(TYP)),
            ("version", owned(VERSION)),
        ])
    }
}

const TYP: &str = "consumption-attestation";
const VERSION: &str = "1.0";

/// The member `signature`.
fn seal(key_id: &str, signature: &[u8; 64]) -> Value<'static> {
    Object::from([
        ("algorithm", owned("EdDSA")),
        ("key_id", owned(key_id)),
        ("value", owned(&base64::encode_url(signature))),
    ])
    .into()
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
