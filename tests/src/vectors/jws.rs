//! Compact JWS for vectors, made by hand: what is tested should not also make the input.

use super::make::key;
use portcullis_core::base64;
use serde_json::Value;

/// What a token says, and whose key signs it; the name is the seed of the key.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: Value,
    pub(super) claims: Value,
    pub(super) signer: &'static str,
}

impl Token {
    pub(super) fn signed(&self) -> String {
        signed(self)
    }
}

pub(super) fn signed(token: &Token) -> String {
    of_texts(&token.header.to_string(), &token.claims.to_string(), token.signer)
}

/// A token of a header and a payload as they are written.
pub(super) fn of_texts(header: &str, payload: &str, signer: &str) -> String {
    let input =
        format!("{}.{}", base64::encode_url(header.as_bytes()), base64::encode_url(payload.as_bytes()));
    let signature = key(signer).sign(input.as_bytes());
    format!("{input}.{}", base64::encode_url(&signature))
}

/// The same token with its signature's `S` grown by the group's order: what verifiers
/// took that did not bound it (RFC 8032 section 8.4).
pub(super) fn grown(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let mut bytes = base64::decode_url(signature).expect("base64url");
    let mut carry = 0_u16;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    format!("{input}.{}", base64::encode_url(&bytes))
}
