//! Proof that a request comes from the holder of its credential's key: an HTTP Message
//! Signature (RFC 9421) labelled `agent` and tagged `agent-proof`.
//!
//! It covers method, authority, path, query, the credential's header, and the body by its
//! digest (RFC 9530), and nothing else, as a gate could not tell what else it says.

mod base;
mod digest;
mod draft;
mod fields;

use crate::base64;
use crate::denial::Denial;
use crate::ed25519::PublicKey;
use crate::reason::Reason;
use crate::request::RequestHead;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fields::{Fault, Item, Member, Value, dictionary};

pub(crate) use base::Base;
pub(crate) use digest::content_digest;
pub use digest::{BodyDigest, ContentDigest};
pub use draft::{ProofDraft, nonce_wanted};

const LABEL: &str = "agent";
const TAG: &str = "agent-proof";

/// Whose proof it must be.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'h> {
    /// The agent's key, which the credential names.
    pub key: &'h PublicKey,
    /// What `keyid` must be: the agent's id or DID.
    pub id: &'h str,
}

/// How old a proof may be.
#[derive(Clone, Copy, Debug)]
pub struct ProofWindows {
    /// How far apart the clocks of agent and gate may be, in milliseconds.
    pub skew_ms: i64,
    /// How long after `created` a proof is good, in milliseconds.
    pub life_ms: i64,
}

/// A proof that holds.
#[derive(Clone, Debug)]
pub struct Proof {
    created: UnixTime,
    nonce: String,
    base: Vec<u8>,
    signature: [u8; 64],
    digest: Option<ContentDigest>,
    skew_ms: i64,
    last_moment: UnixTime,
}

/// A proof as it stands in a request, not judged yet.
#[derive(Debug)]
pub(crate) struct Presented<'r> {
    components: Vec<Option<&'r str>>,
    parameters: Vec<(&'r str, Item<'r>)>,
    /// In base64.
    signature: &'r str,
}

/// Verifies the proof that a request carries: what a gate does for each request, on its
/// own. `credential_header` is the name, in lower case, of the header that the proof must
/// cover; that it stands there once is for the caller to see to. `None` if the request
/// carries no proof.
///
/// # Errors
/// `proof_…`, `digest_malformed`, `digest_algorithm_unsupported`. Whether the body fits is
/// for [`BodyDigest`] to say; if the proof has no digest, there may be no body.
pub fn verify_proof(
    head: &RequestHead<'_>,
    credential_header: &str,
    holder: &Holder<'_>,
    windows: &ProofWindows,
    now: UnixTime,
) -> Result<Option<Proof>, Denial> {
    match find(head)? {
        Some(presented) => presented.verify(head, credential_header, holder, windows, now).map(Some),
        None => Ok(None),
    }
}

/// The proof that a request carries, or `None` if no signature has the label or the tag of
/// one. Signatures of others are let be, but must be readable. A `Signature` without any
/// `Signature-Input` is none of RFC 9421, and let be too.
///
/// # Errors
/// `proof_malformed`, `proof_ambiguous`.
pub(crate) fn find<'r>(head: &RequestHead<'r>) -> Result<Option<Presented<'r>>, Denial> {
    let inputs = read(head, "signature-input")?;
    if inputs.is_empty() {
        return Ok(None);
    }
    let signatures = read(head, "signature")?;
    if inputs.len() != signatures.len() {
        return Err(malformed(PAIRS));
    }
    let mut found = None;
    for Member { key, value, parameters } in inputs {
        let Value::List(components) = value else {
            return Err(malformed("a member of Signature-Input is no list of components"));
        };
        let signature = signatures.iter().find(|signature| signature.key == key);
        let signature = match signature.ok_or_else(|| malformed(PAIRS))?.value {
            Value::Item(Item::Bytes(text)) => text,
            _ => return Err(malformed("a member of Signature is no byte sequence")),
        };
        let is_tagged = matches!(parameter(&parameters, "tag"), Some(Item::Text(TAG)));
        if (key == LABEL) != is_tagged {
            let problem =
                "the label `agent` and the tag `agent-proof` belong to one signature, and to no other";
            return Err(Denial::new(Reason::ProofAmbiguous, problem));
        }
        if is_tagged {
            found = Some(Presented { components, parameters, signature });
        }
    }
    Ok(found)
}

const PAIRS: &str = "Signature-Input and Signature do not have the same labels";

impl Presented<'_> {
    /// Judges the proof, the signature last: components, parameters, window, key.
    ///
    /// # Errors
    /// As [`verify_proof`].
    pub(crate) fn verify(
        &self,
        head: &RequestHead<'_>,
        credential_header: &str,
        holder: &Holder<'_>,
        windows: &ProofWindows,
        now: UnixTime,
    ) -> Result<Proof, Denial> {
        let digest = ContentDigest::find(head)?;
        let base = self.cover(head, credential_header, digest.is_some())?;
        let parameters = Parameters::read(&self.parameters)?;
        let mut proof = parameters.proof(digest, windows)?;
        proof.check_window(now)?;
        // An id with a quote or a backslash would stand escaped, and no agent has one.
        if parameters.key_id != holder.id {
            return Err(Denial::new(
                Reason::ProofKeyMismatch,
                "keyid is not the id of the credential's agent",
            ));
        }
        let signature =
            base64::decode_array(self.signature).ok_or_else(|| malformed("the signature is not 64 bytes"))?;
        let (base, _) = base.close(&parameters.text);
        if holder.key.verify(&base, &signature) {
            (proof.base, proof.signature) = (base, signature);
            return Ok(proof);
        }
        let problem = "it is no signature of this request by the credential's agent key";
        Err(Denial::new(Reason::ProofSignatureInvalid, problem))
    }

    /// The signature base, without its last line.
    fn cover(
        &self,
        head: &RequestHead<'_>,
        credential_header: &str,
        has_digest: bool,
    ) -> Result<Base, Denial> {
        let mut missing =
            Vec::from(["@method", "@authority", "@path", "@query", credential_header, "content-digest"]);
        let mut base = Base::default();
        for component in &self.components {
            let place = component.and_then(|name| missing.iter().position(|missing| *missing == name));
            let Some(place) = place else {
                let problem =
                    "it covers a component twice, one with parameters, or one that proofs do not cover";
                return Err(Denial::new(Reason::ProofComponentUnknown, problem));
            };
            let name = missing.swap_remove(place);
            let value = base::value(head, name).ok_or_else(|| {
                let problem = "it covers a header that the request does not have, or not in one line";
                Denial::new(Reason::ProofComponentMissing, problem)
            })?;
            base.add(name, &value);
        }
        match missing.first() {
            None => Ok(base),
            Some(&"content-digest") if missing.len() == 1 && !has_digest => Ok(base),
            Some(name) => {
                Err(Denial::new(Reason::ProofComponentMissing, format!("it does not cover {name}")))
            }
        }
    }
}

impl Proof {
    /// When it was made, to the second.
    pub fn created(&self) -> UnixTime {
        self.created
    }

    /// Its nonce, 22 to 256 characters of base64 or base64url.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What was signed: the signature base (RFC 9421 section 2.5).
    pub fn base(&self) -> &[u8] {
        &self.base
    }

    /// The Ed25519 signature over that.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// What the body must be; `None` if there may be none.
    pub fn digest(&self) -> Option<&ContentDigest> {
        self.digest.as_ref()
    }

    /// The moment from which on it is refused as expired: as long its nonce must be
    /// remembered.
    pub fn last_moment(&self) -> UnixTime {
        self.last_moment
    }

    /// Judges its time, for instance again when a body has come.
    ///
    /// # Errors
    /// `proof_expired`, `proof_not_yet_valid`.
    pub fn check_window(&self, now: UnixTime) -> Result<(), Denial> {
        let reason = if self.last_moment <= now {
            Reason::ProofExpired
        } else if self.created > now.plus_millis(self.skew_ms) {
            Reason::ProofNotYetValid
        } else {
            return Ok(());
        };
        Err(Denial::new(reason, format!("it was made at {}, and now is {now}", self.created)))
    }
}

/// The parameters of a signature (RFC 9421 section 2.3).
struct Parameters<'r> {
    created: UnixTime,
    expires: Option<UnixTime>,
    key_id: &'r str,
    nonce: &'r str,
    /// As section 4.1.1.2 of RFC 9651 writes them.
    text: String,
}

impl<'r> Parameters<'r> {
    /// # Errors
    /// `proof_algorithm_unsupported`, `proof_malformed`, `proof_nonce_missing`,
    /// `proof_nonce_too_short`.
    fn read(all: &[(&'r str, Item<'r>)]) -> Result<Self, Denial> {
        let mut text = String::new();
        for (name, value) in all {
            text.push(';');
            text.push_str(name);
            match (*name, value) {
                ("created" | "expires", Item::Integer(seconds)) => {
                    text.push('=');
                    text.push_str(&seconds.to_string());
                }
                ("alg" | "keyid" | "nonce" | "tag", Item::Text(value)) => {
                    for part in ["=\"", value, "\""] {
                        text.push_str(part);
                    }
                }
                _ => return Err(malformed("it has a parameter that proofs do not have, or of another type")),
            }
        }
        let string = |name| match parameter(all, name) {
            Some(Item::Text(text)) => Some(*text),
            _ => None,
        };
        let time = |name| match parameter(all, name) {
            Some(Item::Integer(seconds)) => Some(UnixTime::from_millis(seconds.saturating_mul(1000))),
            _ => None,
        };
        if string("alg").ok_or_else(|| malformed("alg is missing"))? != "ed25519" {
            return Err(Denial::new(Reason::ProofAlgorithmUnsupported, "alg is not ed25519"));
        }
        let nonce =
            string("nonce").ok_or_else(|| Denial::new(Reason::ProofNonceMissing, "nonce is missing"))?;
        check_nonce(nonce)?;
        Ok(Parameters {
            created: time("created").ok_or_else(|| malformed("created is missing"))?,
            expires: time("expires"),
            key_id: string("keyid").ok_or_else(|| malformed("keyid is missing"))?,
            nonce,
            text,
        })
    }

    /// What they make a proof, if its signature holds.
    fn proof(&self, digest: Option<ContentDigest>, windows: &ProofWindows) -> Result<Proof, Denial> {
        let Parameters { created, expires, nonce, .. } = *self;
        let mut last_moment = created.plus_millis(windows.life_ms);
        if let Some(expires) = expires {
            if expires < created {
                return Err(malformed("it expires before it is created"));
            }
            last_moment = last_moment.min(expires);
        }
        let last_moment = last_moment.plus_millis(windows.skew_ms);
        let (base, signature, skew_ms) = (Vec::new(), [0; 64], windows.skew_ms);
        Ok(Proof { created, nonce: nonce.into(), base, signature, digest, skew_ms, last_moment })
    }
}

/// 128 bits are 22 characters of base64, and nobody needs more than twelve times as many.
const NONCE_CHARACTERS: core::ops::RangeInclusive<usize> = 22..=256;

fn check_nonce(nonce: &str) -> Result<(), Denial> {
    let digits = nonce.strip_suffix("==").or_else(|| nonce.strip_suffix('=')).unwrap_or(nonce);
    let is_base64 = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte));
    if !is_base64 || nonce.len() > *NONCE_CHARACTERS.end() {
        return Err(malformed("nonce is not at most 256 characters of base64 or base64url"));
    }
    if digits.len() < *NONCE_CHARACTERS.start() {
        return Err(Denial::new(Reason::ProofNonceTooShort, "nonce has less than 22 characters"));
    }
    Ok(())
}

fn parameter<'p, 'r>(all: &'p [(&'r str, Item<'r>)], name: &str) -> Option<&'p Item<'r>> {
    all.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
}

fn read<'r>(head: &RequestHead<'r>, name: &str) -> Result<Vec<Member<'r>>, Denial> {
    dictionary(&mut head.values(name)).map_err(|fault| match fault {
        Fault::Doubled => Denial::new(Reason::ProofAmbiguous, "it has a label twice"),
        Fault::Malformed => malformed("Signature-Input or Signature is no dictionary"),
        Fault::TooLong => malformed("Signature-Input or Signature is longer than any that is needed"),
    })
}

fn malformed(problem: &'static str) -> Denial {
    Denial::new(Reason::ProofMalformed, problem)
}
