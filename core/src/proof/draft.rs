//! Making proofs.

use super::base::{Base, value};
use super::digest::content_digest;
use super::fields::{Item, dictionary};
use super::{LABEL, TAG, parameter};
use crate::ed25519::SecretKey;
use crate::request::RequestHead;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A request of an agent, and what its proof is to say.
#[derive(Clone, Copy, Debug)]
pub struct ProofDraft<'d> {
    /// The method, in capitals.
    pub method: &'d str,
    /// The host, or host:port, that the request is sent to.
    pub authority: &'d str,
    /// The path, percent-encoded as it is sent.
    pub path: &'d str,
    /// What follows the question mark, percent-encoded as it is sent.
    pub query: Option<&'d str>,
    /// The header that carries the credential: its name and its value.
    pub credential: (&'d str, &'d str),
    /// The body; `None` if the request has none.
    pub body: Option<&'d [u8]>,
    /// The agent's id: of a passport `identity.agent_id`, of a badge `sub`. ASCII without
    /// control characters, as header values are.
    pub key_id: &'d str,
    /// Now; whole seconds of it are sent.
    pub created: UnixTime,
    /// Until when the proof is to be good, in whole seconds, if not as long as gates let it.
    pub expires: Option<UnixTime>,
    /// At least 16 random bytes in base64 or base64url, or a gate's challenge. Never twice.
    pub nonce: &'d str,
}

impl ProofDraft<'_> {
    /// The headers to send beside the credential: `content-digest` if there is a body,
    /// `signature-input` and `signature`. Signs whatever it is given: what is malformed,
    /// a gate refuses.
    pub fn sign(&self, key: &SecretKey) -> Vec<(&'static str, String)> {
        self.sign_with(&|base| key.sign(base))
    }

    /// The same, where somebody else holds the key: `with` gives the Ed25519 signature of the
    /// signature base (RFC 9421 section 2.5).
    pub fn sign_with(&self, with: &dyn Fn(&[u8]) -> [u8; 64]) -> Vec<(&'static str, String)> {
        let carrier = self.credential.0.to_ascii_lowercase();
        let target = [self.path, "?", self.query.unwrap_or_default()].concat();
        let digest = self.body.map(content_digest);
        let mut signed = Vec::from([(carrier.as_bytes(), self.credential.1.as_bytes())]);
        let mut names = Vec::from(["@method", "@authority", "@path", "@query", &carrier]);
        if let Some(digest) = &digest {
            signed.push((b"content-digest", digest.as_bytes()));
            names.push("content-digest");
        }
        let head = RequestHead {
            method: self.method.as_bytes(),
            authority: self.authority.as_bytes(),
            path: target.as_bytes(),
            headers: &signed,
            source: None,
        };
        let mut base = Base::default();
        for name in names {
            base.add(name, &value(&head, name).unwrap_or_default());
        }
        let seconds = |time: UnixTime| time.as_millis().div_euclid(1000);
        let expires = self.expires.map(|expires| format!(";expires={}", seconds(expires)));
        let parameters = format!(
            ";created={}{};keyid=\"{}\";alg=\"ed25519\";nonce=\"{}\";tag=\"{TAG}\"",
            seconds(self.created),
            expires.unwrap_or_default(),
            escaped(self.key_id),
            escaped(self.nonce),
        );
        let signature = base.sign(LABEL, &parameters, with);
        digest.map(|digest| ("content-digest", digest)).into_iter().chain(signature).collect()
    }
}

/// The nonce that a gate asks for, in the value of an `Accept-Signature` (RFC 9421 section
/// 5.1), or `None` if that asks for no proof or cannot be read.
pub fn nonce_wanted(accept_signature: &str) -> Option<&str> {
    let members = dictionary(&mut core::iter::once(accept_signature.as_bytes())).ok()?;
    let wanted = members.iter().find(|member| member.key == LABEL)?;
    match parameter(&wanted.parameters, "nonce") {
        Some(Item::Text(nonce)) => Some(*nonce),
        _ => None,
    }
}

/// As a string of RFC 9651 has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
