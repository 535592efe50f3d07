//! Keys of made-up people, so that a fuzzer's inputs can be signed.

use portcullis_core::{SecretKey, base64, sha256};
use std::sync::LazyLock;

/// The key of a made-up person.
pub fn key(owner: &str) -> SecretKey {
    SecretKey::from_seed(sha256(owner.as_bytes()))
}

/// The private key for a public one in base64, if it is of one of ours.
pub(super) fn key_for(public_key: &str) -> Option<&'static SecretKey> {
    KEYS.iter().find(|(text, _)| text == public_key).map(|(_, key)| key)
}

/// Whose passports the vectors and the delegation door make.
const OWNERS: [&str; 9] =
    ["acme", "agent 0", "agent 1", "agent 2", "agent 3", "agent 4", "agent 5", "agent 6", "tower"];

static KEYS: LazyLock<Vec<(String, SecretKey)>> = LazyLock::new(|| {
    OWNERS.iter().map(|owner| (base64::encode(&key(owner).public_key()), key(owner))).collect()
});
