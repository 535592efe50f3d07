//! A receipt as it is read, and what can be verified of it.

use super::charge::{MAX_INTEGER, MAX_SUM, Stated};
use super::proof::AgentProof;
use super::reader::{Reader, why};
use super::{Consumer, Outcome, Receipt, ReceiptError, TYP, VERSION, minutes};
use crate::attestation::Hash;
use crate::base64;
use crate::catalog::PricingModel;
use crate::ed25519::{PublicKey, SignatureClaim, sha256};
use crate::json::Limits;
use crate::live::hex;
use crate::modei::CatalogPin;
use crate::time::UnixTime;
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
        let read = match str::from_utf8(text) {
            Ok(text) if text.len() <= MAX_RECEIPT => Self::of(text),
            _ => Err(ReceiptError::Malformed("")),
        };
        read.map_err(|found| why(text, LIMITS, found))
    }

    /// Member for member as [`Receipt::text`](super::Receipt) writes them.
    fn of(text: &str) -> Result<Self, ReceiptError> {
        let whole = text.len();
        let text_of = |reader: &mut Reader<'_>| reader.string();
        let hash = |reader: &mut Reader<'_>| reader.hex::<32>("");
        let mut reader = Reader::new(text, "action");
        let action = reader.member("action", "{\"action\":")?.string()?;
        let agent = Consumer::read(&mut reader)?;
        let attestation_id = reader.member("attestation_id", "},\"attestation_id\":")?.optional(text_of)?;
        let catalog = catalog(&mut reader)?;
        let charge = Stated::read(&mut reader)?;
        let duration_ms =
            reader.member("duration_ms", ",\"duration_ms\":")?.optional(|reader| reader.number(MAX_SUM))?;
        let gate_id = reader.member("gate_id", ",\"gate_id\":")?.string()?;
        let issued_at = reader.member("issued_at", ",\"issued_at\":")?.named(UnixTime::from_iso)?;
        let outcome = reader.member("outcome", ",\"outcome\":")?.named(Outcome::named)?;
        let proof = AgentProof::read(&mut reader)?;
        let id = reader.member("receipt_id", ",\"receipt_id\":")?.hex("rcpt_")?;
        let request_payload_hash =
            reader.member("request_payload_hash", ",\"request_payload_hash\":")?.optional(hash)?;
        let response_payload_hash =
            reader.member("response_payload_hash", ",\"response_payload_hash\":")?.optional(hash)?;
        let seal_at = whole.saturating_sub(reader.left());
        let (key_id, signature) = sealed(&mut reader)?;
        let seal = seal_at..whole.saturating_sub(reader.left());
        let status = reader.member("status", ",\"status\":")?.optional(|reader| reader.number(999))?;
        if status.is_some_and(|status| status < 100) {
            return Err(ReceiptError::Malformed("status"));
        }
        reader
            .member("typ or version", ",\"typ\":\"")?
            .past(TYP)?
            .past("\",\"version\":\"")?
            .past(VERSION)?;
        if reader.past("\"}")?.left() != 0 {
            return Err(ReceiptError::Malformed("the end"));
        }
        let charge = charge.hold(outcome)?;
        if let (Some(duration), PricingModel::PerMinute) = (duration_ms, charge.rate().price.model)
            && charge.quantity() != minutes(duration)
        {
            return Err(ReceiptError::ChargeWrong);
        }
        let receipt = Receipt {
            action,
            agent,
            attestation_id,
            catalog,
            charge,
            duration_ms,
            gate_id,
            issued_at,
            outcome,
            proof,
            id,
            request_payload_hash,
            response_payload_hash,
            status: status.and_then(|status| u16::try_from(status).ok()),
        };
        Ok(SignedReceipt { receipt, key_id, signature, text: text.to_string(), seal })
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

/// The member `signature`: the id of its key, and what it is.
fn sealed(reader: &mut Reader<'_>) -> Result<(Hash, [u8; 64]), ReceiptError> {
    fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
        base64::decode_url(text)?.try_into().ok()
    }
    reader.member("signature.algorithm", ",\"signature\":{\"algorithm\":\"EdDSA\"")?;
    let key_id = reader.member("signature.key_id", ",\"key_id\":")?.named(bytes)?;
    let signature = reader.member("signature.value", ",\"value\":")?.named(bytes)?;
    reader.past("}")?;
    Ok((key_id, signature))
}

impl Consumer {
    /// Reads the member `agent`, but for its last brace.
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReceiptError> {
        Ok(Consumer {
            agent_id: reader.member("agent.agent_id", ",\"agent\":{\"agent_id\":")?.string()?,
            issuer_id: reader.member("agent.issuer_id", ",\"issuer_id\":")?.string()?,
            passport_id: reader.member("agent.passport_id", ",\"passport_id\":")?.string()?,
            public_key: reader.member("agent.public_key", ",\"public_key\":")?.named(base64::decode_array)?,
        })
    }
}

fn catalog(reader: &mut Reader<'_>) -> Result<CatalogPin, ReceiptError> {
    let hash: Hash = reader.member("catalog.content_hash", ",\"catalog\":{\"content_hash\":")?.hex("")?;
    let version = reader.member("catalog.version", ",\"version\":")?.number(MAX_INTEGER)?;
    let version = i64::try_from(version).ok().filter(|version| *version > 0);
    let version = version.ok_or(ReceiptError::Malformed("catalog.version"))?;
    reader.past("}")?;
    Ok(CatalogPin { version, content_hash: hex(&hash) })
}
