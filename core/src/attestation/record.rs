//! A record as it is read.

use super::draft::{
    AccessMode, Agent, AttestedRequest, Decision, Draft, Dropped, Evaluation, Hold, Outcome, ReceiptName,
};
use super::error::record;
use super::unsigned::{Placed, chain_member, signature_member};
use super::{AttestationError, Hash, LaneId, MAX_RECORD, leaf};
use crate::base64;
use crate::config::Mode;
use crate::ed25519::{Hasher, PublicKey, sha256};
use crate::json::{self, Limits, Value, canonical_text};
use crate::live::{LiveError, Members, read_hex};
use crate::time::UnixTime;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A record that is of its form. Neither its signature nor its chain is checked by that.
#[derive(Clone, Debug)]
pub struct Record {
    draft: Draft,
    lane: LaneId,
    number: u64,
    chain_hash: Hash,
    key_id: Hash,
    signature: [u8; 64],
    /// The text in three: up to the chain hash, up to the signature, the rest.
    parts: [String; 3],
}

/// 64 evaluations of three members, and what else a record has.
const LIMITS: Limits = Limits { bytes: MAX_RECORD, depth: 3, values: 320 };

impl Record {
    /// Reads a record. Its text must be the one that its maker would write for what it says.
    ///
    /// # Errors
    /// [`AttestationError::RecordMalformed`], [`AttestationError::RecordNotCanonical`].
    pub fn read(text: &[u8]) -> Result<Self, AttestationError> {
        let value = json::parse(text, LIMITS)
            .map_err(|_| AttestationError::RecordMalformed("strict JSON of at most 4096 bytes"))?;
        let read = Record::of(&value).map_err(record)?;
        if read.text().as_bytes() != text {
            return Err(if canonical_text(&value).as_bytes() == text {
                AttestationError::RecordMalformed("a part that is longer or other than a maker writes it")
            } else {
                AttestationError::RecordNotCanonical
            });
        }
        Ok(read)
    }

    fn of(value: &Value<'_>) -> Result<Self, LiveError> {
        let members = Members::of(value, &MEMBERS)?;
        let draft = draft(&members)?;
        let lane = members.base64url("lane")?;
        let number = members.number("sequence_number")?;
        if number == 0 {
            return Err(LiveError::Member("sequence_number"));
        }
        let chain_hash = members.hex("chain_hash")?;
        let named = Members::of(members.required("signature")?, &["algorithm", "key_id", "value"])?;
        if named.text("algorithm")? != "EdDSA" || members.text("version")? != "1.0" {
            return Err(LiveError::Member("signature.algorithm or version"));
        }
        let (key_id, signature) = (named.base64url("key_id")?, named.base64url("value")?);
        let unsigned = draft.unsigned();
        let placed = Placed::new(&lane, number);
        let [first, second, third, fourth] = unsigned.pieces().unwrap_or_default();
        let chain = chain_member(&chain_hash);
        let signed_by = signature_member(&base64::encode_url(&key_id), &signature);
        let parts = [
            first.to_string(),
            [&chain, second, &placed.lane, third, &placed.number].concat(),
            [&signed_by, fourth].concat(),
        ];
        Ok(Record { draft, lane, number, chain_hash, key_id, signature, parts })
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.parts.concat()
    }

    /// The text that is signed: the whole without `signature`.
    pub fn signed_text(&self) -> String {
        let [first, second, _] = &self.parts;
        [first, second, self.after_signature()].concat()
    }

    /// What it says.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// `att_` and 32 hex digits.
    pub fn id(&self) -> String {
        ["att_", &crate::live::hex(&self.draft.id)].concat()
    }

    /// The gate's id.
    pub fn gate(&self) -> &str {
        &self.draft.gate_id
    }

    /// Its lane.
    pub fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// Its number in its lane, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What was decided.
    pub fn decision(&self) -> Decision {
        self.draft.decision
    }

    /// When.
    pub fn timestamp(&self) -> UnixTime {
        self.draft.time
    }

    /// The SHA-256 of the public key that it names.
    pub fn key_id(&self) -> &Hash {
        &self.key_id
    }

    /// Its chain hash.
    pub fn chain_hash(&self) -> &Hash {
        &self.chain_hash
    }

    /// Its signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Its Merkle leaf.
    pub fn leaf(&self) -> Hash {
        leaf(&self.chain_hash, &self.signature)
    }

    /// Whether its chain hash is that of a record which follows on this one.
    pub fn previous_fits(&self, previous: &Hash) -> bool {
        let [first, second, _] = &self.parts;
        let mut hasher = Hasher::default();
        hasher.update(previous);
        hasher.update(first.as_bytes());
        // The member has always the same length.
        hasher.update(second.as_bytes().get(CHAIN_MEMBER..).unwrap_or_default());
        hasher.update(self.after_signature().as_bytes());
        hasher.digest() == self.chain_hash
    }

    /// Checks its signature.
    ///
    /// # Errors
    /// [`AttestationError::KeyUnknown`] where it names another key,
    /// [`AttestationError::SignatureInvalid`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), AttestationError> {
        if sha256(key.as_bytes()) != self.key_id {
            return Err(AttestationError::KeyUnknown);
        }
        if !key.verify(self.signed_text().as_bytes(), &self.signature) {
            return Err(AttestationError::SignatureInvalid);
        }
        Ok(())
    }

    fn after_signature(&self) -> &str {
        let [_, _, third] = &self.parts;
        third.get(SIGNATURE_MEMBER..).unwrap_or_default()
    }
}

/// The length of `,"chain_hash":"…"`.
const CHAIN_MEMBER: usize = 15 + 64 + 1;

/// The length of `,"signature":{…}`.
const SIGNATURE_MEMBER: usize = 44 + 43 + 11 + 86 + 2;

const MEMBERS: [&str; 20] = [
    "access_mode",
    "agent",
    "approval_request_id",
    "attestation_id",
    "chain_hash",
    "decision",
    "detail",
    "dropped",
    "gate",
    "guardrails_evaluated",
    "hold",
    "lane",
    "mode",
    "reason_code",
    "receipt",
    "request",
    "sequence_number",
    "signature",
    "timestamp",
    "version",
];

fn draft(members: &Members<'_>) -> Result<Draft, LiveError> {
    let gate = Members::of(members.required("gate")?, &["gate_id", "gate_name"])?;
    let id = members.text("attestation_id")?.strip_prefix("att_").unwrap_or_default();
    let mut id_bytes = [0; 16];
    read_hex(id, &mut id_bytes).ok_or(LiveError::Member("attestation_id"))?;
    let decision = members.text("decision")?;
    let decision = Decision::from_name(decision).ok_or(LiveError::Member("decision"))?;
    let draft = Draft {
        access_mode: AccessMode::from_name(members.text("access_mode")?)
            .ok_or(LiveError::Member("access_mode"))?,
        agent: nullable(members, "agent", agent)?,
        approval_request_id: members
            .optional("approval_request_id")
            .map(|_| members.text("approval_request_id").map(ToString::to_string))
            .transpose()?,
        id: id_bytes,
        decision,
        detail: words(members, "detail")?,
        dropped: members.optional("dropped").map(dropped).transpose()?,
        gate_id: gate.text("gate_id")?.to_string(),
        gate_name: words(&gate, "gate_name")?,
        guardrails: guardrails(members.required("guardrails_evaluated")?)?,
        hold: members.optional("hold").map(hold).transpose()?,
        mode: match members.text("mode")? {
            "enforce" => Mode::Enforce,
            "report" => Mode::Report,
            _ => return Err(LiveError::Member("mode")),
        },
        reason_code: words(members, "reason_code")?,
        receipt: members.optional("receipt").map(receipt).transpose()?,
        request: nullable(members, "request", request)?,
        time: members.time("timestamp")?,
    };
    let is_gap = decision == Decision::Gap;
    if draft.dropped.is_some() != is_gap || draft.request.is_none() != is_gap {
        return Err(LiveError::Member("dropped or request"));
    }
    if draft.hold.is_some() != (decision == Decision::RequestHold) {
        return Err(LiveError::Member("hold"));
    }
    if draft.receipt.is_some() != (decision == Decision::Consumption) {
        return Err(LiveError::Member("receipt"));
    }
    Ok(draft)
}

fn agent(value: &Value<'_>) -> Result<Agent, LiveError> {
    let members = Members::of(value, &["agent_id", "agent_name", "issuer_id", "passport_id", "trust_tier"])?;
    Ok(Agent {
        agent_id: members.text("agent_id")?.to_string(),
        agent_name: words(&members, "agent_name")?,
        issuer_id: members.text("issuer_id")?.to_string(),
        passport_id: members.text("passport_id")?.to_string(),
        tier: match members.text("trust_tier")? {
            "L1" => 1,
            "L2" => 2,
            "L3" => 3,
            _ => return Err(LiveError::Member("trust_tier")),
        },
    })
}

fn request(value: &Value<'_>) -> Result<AttestedRequest, LiveError> {
    const KNOWN: [&str; 6] =
        ["action", "cost_cents", "estimated_cost_usd", "method", "path", "target_domain"];
    let members = Members::of(value, &KNOWN)?;
    Ok(AttestedRequest {
        action: words(&members, "action")?,
        cost_cents: members.number("cost_cents")?,
        method: members.text("method")?.to_string(),
        path: members.text("path")?.to_string(),
        target_domain: words(&members, "target_domain")?,
    })
}

fn dropped(value: &Value<'_>) -> Result<Dropped, LiveError> {
    let members = Members::of(value, &["count", "first_at", "last_at"])?;
    Ok(Dropped {
        count: members.number("count")?,
        first_at: members.time("first_at")?,
        last_at: members.time("last_at")?,
    })
}

fn hold(value: &Value<'_>) -> Result<Hold, LiveError> {
    let members = Members::of(value, &["agent_key", "binding", "expires_at", "summary"])?;
    Ok(Hold {
        agent_key: members.text("agent_key")?.to_string(),
        binding: members.hex("binding")?,
        expires_at: members.time("expires_at")?,
        summary: members.text("summary")?.to_string(),
    })
}

fn receipt(value: &Value<'_>) -> Result<ReceiptName, LiveError> {
    let members = Members::of(value, &["receipt_id", "sha256"])?;
    let mut id = [0; 16];
    let named = members.text("receipt_id")?.strip_prefix("rcpt_").unwrap_or_default();
    read_hex(named, &mut id).ok_or(LiveError::Member("receipt_id"))?;
    Ok(ReceiptName { id, sha256: members.hex("sha256")? })
}

fn guardrails(value: &Value<'_>) -> Result<Vec<Evaluation>, LiveError> {
    let elements = value.as_array().ok_or(LiveError::Member("guardrails_evaluated"))?;
    let read = |value| {
        let members = Members::of(value, &["detail", "name", "result"])?;
        Ok(Evaluation {
            name: members.text("name")?.to_string(),
            result: Outcome::from_name(members.text("result")?).ok_or(LiveError::Member("result"))?,
            detail: members.text("detail")?.to_string(),
        })
    };
    elements.iter().map(read).collect()
}

/// A member that must be there and may be null.
fn nullable<T>(
    members: &Members<'_>,
    name: &'static str,
    read: impl Fn(&Value<'_>) -> Result<T, LiveError>,
) -> Result<Option<T>, LiveError> {
    match members.required(name)? {
        Value::Null => Ok(None),
        value => read(value).map(Some),
    }
}

fn words(members: &Members<'_>, name: &'static str) -> Result<Option<String>, LiveError> {
    nullable(members, name, |value| value.as_str().map(ToString::to_string).ok_or(LiveError::Member(name)))
}
