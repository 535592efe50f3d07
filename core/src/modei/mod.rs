//! Modei agent passports, schema version 2: reading, verifying and making them.
//!
//! A passport is an envelope and a signature over the envelope's RFC 8785 bytes. It
//! may be delegated: the envelope then holds the chain of the passports it came
//! from, root first, each signed by the key of the one before it.

mod chain;
mod envelope;
mod issue;
mod passport;
mod strict;
mod subset;
mod wire;

pub use chain::{Admission, Roots, SelfContained, verify};
pub use issue::{Draft, Issuer, Signed, delegate, issue, self_issue};
pub use passport::{Form, Hop, Passport, Permissions, Provenance, Root, RootKind};
pub use wire::{MAX_WIRE_BYTES, SignedEnvelope, from_header, from_json, from_jwt, is_jwt};

use crate::base64;
use crate::ed25519::sha256;
use alloc::format;
use alloc::string::String;

/// `agent_self_` and the first 32 characters of the URL-safe base64 of the SHA-256
/// of the key: the id of an agent that no issuer has named.
pub fn self_agent_id(public_key: &[u8; 32]) -> String {
    let digest = base64::encode_url(&sha256(public_key));
    format!("{SELF_AGENT_PREFIX}{}", digest.get(..32).unwrap_or_default())
}

/// `self:` and the lower-case hexadecimal SHA-256 of the key: the issuer id of an
/// agent that signs its own passport.
pub fn self_issuer_id(public_key: &[u8; 32]) -> String {
    let mut id = String::from("self:");
    for byte in sha256(public_key) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

const SELF_AGENT_PREFIX: &str = "agent_self_";
