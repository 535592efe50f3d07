//! A receipt as it is read, and what can be verified of it.

use super::proof::AgentProof;
use super::{Charge, Consumer, Outcome, Receipt, ReceiptError, TYP, Text, VERSION, minutes, seal};
use crate::attestation::Hash;
use crate::base64;
use crate::catalog::PricingModel;
use crate::ed25519::{PublicKey, SignatureClaim, sha256};
use crate::json::{self, Limits, Value};
use crate::live::{LiveError, Members, read_hex};
use crate::modei::CatalogPin;
use alloc::string::{String, ToString};
use core::ops::Range;

/// The longest receipt, in bytes: four ids and a nonce of 256 characters each, all escaped, and
/// what is always the same.
pub const MAX_RECEIPT: usize = 8192;

const LIMITS: Limits = Limits { bytes: MAX_RECEIPT, depth: 3, values: 64 };

/// A receipt that is of its form and whose sums add up. Neither its signature nor the agent's is
/// checked by that.
#[derive(Clone, Debug)]
pub struct SignedReceipt {
    /// What it says.
    pub receipt: Receipt,
    key_id: Hash,
    signature: [u8; 64],
    text: String,
    /// Where the signature stands in the text.
    seal: Range<usize>,
}

impl SignedReceipt {
    /// Reads a receipt. Its text must be the one that its maker would write for what it says.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`], [`ReceiptError::ChargeWrong`], [`ReceiptError::NotCanonical`].
    pub fn read(text: &[u8]) -> Result<Self, ReceiptError> {
        let value = json::parse(text, LIMITS)
            .map_err(|_| ReceiptError::Malformed("strict JSON of at most 8192 bytes"))?;
        let read = Self::of(&value)?;
        if read.text.as_bytes() != text {
            return Err(ReceiptError::NotCanonical);
        }
        Ok(read)
    }

    fn of(value: &Value<'_>) -> Result<Self, ReceiptError> {
        let members = Members::of(value, &MEMBERS).map_err(malformed)?;
        let receipt = receipt(&members)?;
        let sealed = || -> Result<(Hash, [u8; 64]), LiveError> {
            let named = Members::of(members.required("signature")?, &["algorithm", "key_id", "value"])?;
            if named.text("algorithm")? != "EdDSA" {
                return Err(LiveError::Member("signature.algorithm"));
            }
            Ok((named.base64url("key_id")?, named.base64url("value")?))
        };
        let (key_id, signature) = sealed().map_err(malformed)?;
        let Text { mut text, seal_at } = receipt.text();
        let seal = seal(&base64::encode_url(&key_id), &signature);
        text.insert_str(seal_at, &seal);
        let seal = seal_at..seal_at.saturating_add(seal.len());
        Ok(SignedReceipt { receipt, key_id, signature, text, seal })
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the whole text, by which a gate's log names it.
    pub fn hash(&self) -> Hash {
        sha256(self.text.as_bytes())
    }

    /// The SHA-256 of the public key that it names.
    pub fn key_id(&self) -> &Hash {
        &self.key_id
    }

    /// The gate's signature, over the text without the member `signature`.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Checks the gate's signature.
    ///
    /// # Errors
    /// [`ReceiptError::KeyUnknown`] where it names another key,
    /// [`ReceiptError::SignatureInvalid`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), ReceiptError> {
        let SignatureClaim { message, signature, .. } = self.makers_claim(key)?;
        key.verify(&message, &signature).then_some(()).ok_or(ReceiptError::SignatureInvalid)
    }

    /// That the key, which must be the one that it names, has signed it.
    pub(super) fn makers_claim(&self, key: &PublicKey) -> Result<SignatureClaim<'static>, ReceiptError> {
        if sha256(key.as_bytes()) != self.key_id {
            return Err(ReceiptError::KeyUnknown);
        }
        let mut signed = self.text.clone();
        signed.replace_range(self.seal.clone(), "");
        Ok(SignatureClaim {
            key: *key.as_bytes(),
            message: signed.into_bytes().into(),
            signature: self.signature,
        })
    }
}

const MEMBERS: [&str; 17] = [
    "action",
    "agent",
    "attestation_id",
    "catalog",
    "charge",
    "duration_ms",
    "gate_id",
    "issued_at",
    "outcome",
    "proof",
    "receipt_id",
    "request_payload_hash",
    "response_payload_hash",
    "signature",
    "status",
    "typ",
    "version",
];

fn receipt(members: &Members<'_>) -> Result<Receipt, ReceiptError> {
    let wrong = |name| ReceiptError::Malformed(name);
    let words = |name| members.text(name).map_err(malformed);
    if words("typ")? != TYP || words("version")? != VERSION {
        return Err(wrong("typ or version"));
    }
    let outcome = Outcome::named(words("outcome")?).ok_or(wrong("outcome"))?;
    let mut id = [0; 16];
    let named = words("receipt_id")?.strip_prefix("rcpt_").unwrap_or_default();
    read_hex(named, &mut id).ok_or(wrong("receipt_id"))?;
    let charge = Charge::read(members.required("charge").map_err(malformed)?, outcome)?;
    let duration_ms = optional(members, "duration_ms", |value| {
        value.as_integer().and_then(|number| u64::try_from(number).ok())
    })?;
    if let (Some(duration), PricingModel::PerMinute) = (duration_ms, charge.rate().price.model)
        && charge.quantity() != minutes(duration)
    {
        return Err(ReceiptError::ChargeWrong);
    }
    let hash = |name| {
        optional(members, name, |value| {
            let mut hash = [0; 32];
            read_hex(value.as_str()?, &mut hash).map(|()| hash)
        })
    };
    Ok(Receipt {
        action: words("action")?.to_string(),
        agent: agent(members.required("agent").map_err(malformed)?).map_err(malformed)?,
        attestation_id: optional(members, "attestation_id", |value| value.as_str().map(ToString::to_string))?,
        catalog: catalog(members.required("catalog").map_err(malformed)?).map_err(malformed)?,
        charge,
        duration_ms,
        gate_id: words("gate_id")?.to_string(),
        issued_at: members.time("issued_at").map_err(malformed)?,
        outcome,
        proof: AgentProof::read(members.required("proof").map_err(malformed)?).map_err(malformed)?,
        id,
        request_payload_hash: hash("request_payload_hash")?,
        response_payload_hash: hash("response_payload_hash")?,
        status: optional(members, "status", |value| {
            let status = value.as_integer().and_then(|number| u16::try_from(number).ok());
            status.filter(|status| (100..1000).contains(status))
        })?,
    })
}

fn agent(value: &Value<'_>) -> Result<Consumer, LiveError> {
    let members = Members::of(value, &["agent_id", "issuer_id", "passport_id", "public_key"])?;
    let key = base64::decode_array(members.text("public_key")?);
    Ok(Consumer {
        agent_id: members.text("agent_id")?.to_string(),
        issuer_id: members.text("issuer_id")?.to_string(),
        passport_id: members.text("passport_id")?.to_string(),
        public_key: key.ok_or(LiveError::Member("agent.public_key"))?,
    })
}

fn catalog(value: &Value<'_>) -> Result<CatalogPin, LiveError> {
    let members = Members::of(value, &["content_hash", "version"])?;
    let hash: Hash = members.hex("content_hash")?;
    let version = members.required("version")?.as_integer().filter(|version| *version > 0);
    Ok(CatalogPin {
        version: version.ok_or(LiveError::Member("catalog.version"))?,
        content_hash: crate::live::hex(&hash),
    })
}

/// A member that must be there and may be null.
fn optional<T>(
    members: &Members<'_>,
    name: &'static str,
    read: impl Fn(&Value<'_>) -> Option<T>,
) -> Result<Option<T>, ReceiptError> {
    match members.required(name).map_err(malformed)? {
        Value::Null => Ok(None),
        value => read(value).map(Some).ok_or(ReceiptError::Malformed(name)),
    }
}

pub(super) fn malformed(error: LiveError) -> ReceiptError {
    match error {
        LiveError::Member(name) => ReceiptError::Malformed(name),
        _ => ReceiptError::Malformed("an object, or a member that receipts do not have,"),
    }
}
