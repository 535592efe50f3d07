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

pub(crate) use chain::ChainClaims;
pub use chain::{Admission, Roots, SelfContained, verify};
pub use issue::{
    Draft, Issuer, Sign, Signed, delegate, delegate_with, issue, issue_pinned, self_issue, self_issue_with,
};
pub use passport::{CatalogPin, Form, Hop, Passport, Permissions, Provenance, Root, RootKind};
pub use wire::{LIMITS, MAX_WIRE_BYTES, SignedEnvelope, from_header, from_json, from_jwt, is_jwt};

use crate::base64;
use crate::ed25519::sha256;
use alloc::string::String;

/// `agent_self_` and the first 32 characters of the URL-safe base64 of the SHA-256
/// of the key: the id of an agent that no issuer has named.
pub fn self_agent_id(public_key: &[u8; 32]) -> String {
    SelfIds::of(public_key).agent
}

/// `self:` and the lower-case hexadecimal SHA-256 of the key: the issuer id of an
/// agent that signs its own passport.
pub fn self_issuer_id(public_key: &[u8; 32]) -> String {
    SelfIds::of(public_key).issuer
}

/// Both ids that a key speaks for.
struct SelfIds {
    agent: String,
    issuer: String,
}

impl SelfIds {
    fn of(public_key: &[u8; 32]) -> Self {
        let digest = sha256(public_key);
        let agent = base64::encode_url(&digest);
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
        let hexadecimal = digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]);
        SelfIds {
            agent: [SELF_AGENT_PREFIX, agent.get(..32).unwrap_or_default()].concat(),
            issuer: "self:".chars().chain(hexadecimal).collect(),
        }
    }
}

const SELF_AGENT_PREFIX: &str = "agent_self_";
