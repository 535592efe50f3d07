//! What a request must carry to pass where one like it did not.

use crate::presented::Carrier;
use alloc::string::String;

/// What the proof of a request must be like: what a gate of profile L2 or L3 asks of the
/// holder of a credential that it has found good.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(super) carrier: Carrier,
    pub(super) key_id: String,
    pub(super) agent: [u8; 32],
    pub(super) covers_body: bool,
}

impl Wanted {
    /// The SHA-256 thumbprint of the agent's key, for which a challenge is made.
    pub fn agent(&self) -> &[u8; 32] {
        &self.agent
    }

    /// The value of `Accept-Signature` that asks for it (RFC 9421 section 5.1). With a nonce,
    /// which must be of base64url, for a proof that answers this challenge.
    pub fn accept_signature(&self, nonce: Option<&str>) -> String {
        let mut text = String::from(r#"agent=("@method" "@authority" "@path" "@query" ""#);
        text.push_str(self.carrier.header());
        text.push_str(if self.covers_body {
            r#"" "content-digest");created;keyid=""#
        } else {
            r#"");created;keyid=""#
        });
        for character in self.key_id.chars() {
            // RFC 9651 section 3.3.3.
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push_str(r#"";alg="ed25519""#);
        for part in nonce.map_or([""; 3], |nonce| [r#";nonce=""#, nonce, r#"""#]) {
            text.push_str(part);
        }
        text.push_str(r#";tag="agent-proof""#);
        text
    }
}
