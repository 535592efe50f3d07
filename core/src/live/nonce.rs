//! The nonce authority: whether the nonce of a proof is used for the first time at any of
//! a gate's proxies, which share no memory.

use super::document::{Kind, Members, ServiceKeys, owned, whole};
use super::error::LiveError;
use crate::base64;
use crate::ed25519::SecretKey;
use crate::json::{self, Limits, Object, canonical_text};
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::string::String;

/// What a gate asks its control service. One question is asked once: a second answer to
/// the same would be that the nonce was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NonceQuestion {
    /// The SHA-256 thumbprint of the agent's key.
    pub key: [u8; 32],
    /// The SHA-256 of the nonce, or of what else may be used once.
    pub nonce: [u8; 32],
    /// After this moment the proof is refused anyway. Whole seconds.
    pub until: UnixTime,
    /// Random, and repeated by the answer: one to an earlier question must not serve again.
    pub random: [u8; 16],
}

/// What the service answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NonceDecision {
    /// It was not used before, and is now.
    New,
    /// It was used.
    Seen,
}

/// An object of four short members.
const QUESTION: Limits = Limits { bytes: 512, depth: 1, values: 5 };

const ANSWER: Kind = Kind {
    typ: "portcullis-nonce+jws",
    members: &["decision", "echo", "gate", "key", "nonce", "time"],
    // A gate's id has 256 characters at most.
    limits: Limits { bytes: 1024, depth: 1, values: 7 },
};

impl NonceQuestion {
    /// The question as JSON, the body of the gate's call.
    pub fn to_json(&self) -> String {
        let seconds = u64::try_from(self.until.as_millis().div_euclid(1000)).unwrap_or_default();
        let question = Object::from([
            ("key", owned(&base64::encode_url(&self.key))),
            ("nonce", owned(&base64::encode_url(&self.nonce))),
            ("random", owned(&base64::encode_url(&self.random))),
            ("until", whole(seconds)),
        ]);
        canonical_text(&question.into())
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`LiveError::Unreadable`], [`LiveError::Member`].
    pub fn read(body: &[u8]) -> Result<Self, LiveError> {
        let value = json::parse(body, QUESTION)
            .map_err(|_| LiveError::Unreadable("the question is not strict JSON"))?;
        let members = Members::of(&value, &["key", "nonce", "random", "until"])?;
        let until = i64::try_from(members.number("until")?).map_err(|_| LiveError::Member("until"))?;
        Ok(NonceQuestion {
            key: members.base64url("key")?,
            nonce: members.base64url("nonce")?,
            until: UnixTime::from_millis(until.saturating_mul(1000)),
            random: members.base64url("random")?,
        })
    }

    /// The service's answer to this question of `gate`, signed with the key of this id.
    pub fn answer(
        &self,
        gate: &str,
        decision: NonceDecision,
        now: UnixTime,
        key: &SecretKey,
        key_id: &str,
    ) -> String {
        let payload = Object::from([
            ("decision", owned(decision.name())),
            ("echo", owned(&base64::encode_url(&self.random))),
            ("gate", owned(gate)),
            ("key", owned(&base64::encode_url(&self.key))),
            ("nonce", owned(&base64::encode_url(&self.nonce))),
            ("time", owned(&now.to_iso())),
        ]);
        ANSWER.sign(&canonical_text(&payload.into()), key, key_id)
    }

    /// Reads the answer to this question of `gate`.
    ///
    /// # Errors
    /// What is wrong with the document; [`LiveError::WrongEcho`] for one to another
    /// question; [`LiveError::Mismatch`] where the clocks are more than 60 s apart, as the
    /// service would then forget too early.
    pub fn read_answer(
        &self,
        token: &[u8],
        gate: &str,
        keys: &ServiceKeys,
        now: UnixTime,
    ) -> Result<NonceDecision, LiveError> {
        let payload = ANSWER.open(token, keys, now)?;
        ANSWER.read(&payload, gate, |members| {
            let is_asked = members.base64url("echo")? == self.random
                && members.base64url("key")? == self.key
                && members.base64url("nonce")? == self.nonce;
            if !is_asked {
                return Err(LiveError::WrongEcho);
            }
            let time = members.time("time")?;
            if time > now.plus_millis(CLOCK_SKEW_MS) || time.plus_millis(CLOCK_SKEW_MS) < now {
                return Err(LiveError::Mismatch(
                    "the answer's time is more than 60 s away: compare the clocks",
                ));
            }
            match members.text("decision")? {
                "new" => Ok(NonceDecision::New),
                "seen" => Ok(NonceDecision::Seen),
                _ => Err(LiveError::Member("decision")),
            }
        })
    }
}

impl NonceDecision {
    /// `new` or `seen`.
    pub const fn name(self) -> &'static str {
        match self {
            NonceDecision::New => "new",
            NonceDecision::Seen => "seen",
        }
    }
}
