//! What an agent signs for a use outside a gate.

use crate::error::{ApiError, ApiResult};
use portcullis_core::attestation::Hash;
use portcullis_core::live::hex;
use portcullis_core::receipt::{AgentProof, PopDraft, ProofForm};
use portcullis_core::{PublicKey, UnixTime, base64, sha256};
use serde::Deserialize;
use utoipa::ToSchema;

/// The agent's word for one use. Its signature is over the text
/// `{timestamp}:{nonce}:{action}:{passport_id}`; or over the canonical JSON (RFC 8785) of
/// `action`, `catalog_content_hash`, `gate_id`, `nonce`, `outcome`, `passport_id`, `quantity`,
/// `request_payload_hash`, `response_payload_hash` and `timestamp`, which leaves nothing unsigned.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct AgentPop {
    /// Ed25519, standard base64 of 64 bytes.
    pub signature: String,
    /// The agent's key, standard base64 of 32 bytes: the one that its passport names.
    pub public_key: String,
    /// When it was signed, in milliseconds since 1970; good for 300 s.
    #[schema(minimum = 0, maximum = 9007199254740991_u64)]
    pub timestamp: i64,
    /// Used once with the passport at the gate: printable ASCII characters, without spaces and
    /// colons.
    #[schema(min_length = 1, max_length = 128)]
    pub nonce: String,
    /// The hash of the catalog that the passport is pinned to, hexadecimal.
    pub catalog_content_hash: String,
    /// SHA-256 of what was sent, hexadecimal: the same as beside it.
    pub request_payload_hash: Option<String>,
}

/// How far from now its time may be.
const WINDOW_MS: i64 = 300_000;

impl AgentPop {
    /// What can be judged of it alone: its form, and its time.
    ///
    /// # Errors
    /// 422.
    pub fn check(&self, now: UnixTime) -> ApiResult<()> {
        // A colon would let one signature be read in two ways: the text has no other borders.
        let is_part = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if !(1..=128).contains(&self.nonce.len()) || !self.nonce.bytes().all(is_part) {
            let problem = "must be 1 to 128 printable ASCII characters without spaces and colons";
            return Err(ApiError::invalid("agent_pop.nonce", problem));
        }
        let apart = now.as_millis().saturating_sub(self.timestamp).saturating_abs();
        if apart > WINDOW_MS || self.timestamp < 0 {
            let problem = "must be milliseconds since 1970, within 300 s of now";
            return Err(ApiError::invalid("agent_pop.timestamp", problem));
        }
        Ok(())
    }

    /// Verifies it for a use that is described by `draft`, by the key that the passport names.
    /// Answers the proof, and the text that was signed.
    ///
    /// # Errors
    /// 422 for another key, another catalog, or a signature that is none of either text.
    pub fn verify(&self, draft: &PopDraft<'_>, passport_key: &str) -> ApiResult<(AgentProof, String)> {
        let invalid = |member: &str, problem| ApiError::invalid(format!("agent_pop.{member}"), problem);
        let named = self.public_key.strip_prefix("ed25519:").unwrap_or(&self.public_key);
        if named != passport_key {
            return Err(invalid("public_key", "is not the key that the passport names"));
        }
        let key = base64::decode_array(named).and_then(|bytes| PublicKey::from_bytes(&bytes));
        let key = key.ok_or_else(|| invalid("public_key", "must be standard base64 of an Ed25519 key"))?;
        let catalog = &self.catalog_content_hash;
        if catalog.strip_prefix("sha256:").unwrap_or(catalog) != draft.catalog_content_hash {
            let problem = "is not the hash of the catalog that the passport is pinned to";
            return Err(invalid("catalog_content_hash", problem));
        }
        let signature = base64::decode_array(&self.signature);
        let signature =
            signature.ok_or_else(|| invalid("signature", "must be standard base64 of 64 bytes"))?;
        let forms = [(ProofForm::AgentPop, draft.plain()), (ProofForm::AgentPopJcs, draft.canonical())];
        for (form, base) in forms {
            if key.verify(base.as_bytes(), &signature) {
                let proof = AgentProof {
                    base_sha256: sha256(base.as_bytes()),
                    created: draft.created,
                    form,
                    nonce: draft.nonce.to_owned(),
                    signature,
                };
                return Ok((proof, base));
            }
        }
        let problem = "is neither of {timestamp}:{nonce}:{action}:{passport_id} nor of the canonical JSON, \
                       by the agent's key";
        Err(invalid("signature", problem))
    }
}

/// A SHA-256 in hexadecimal; `sha256:` may stand before it.
///
/// # Errors
/// 422.
pub(super) fn payload_hash(field: &str, text: &str) -> ApiResult<Hash> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = str::from_utf8(pair).ok();
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    }
    if hex(&hash) == digits {
        Ok(hash)
    } else {
        Err(ApiError::invalid(field, "must be a SHA-256 as 64 lower-case hexadecimal digits"))
    }
}
