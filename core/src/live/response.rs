//! The service's answer to a gate that asks for what is new.

use super::document::{Members, owned};
use super::error::LiveError;
use crate::json::{self, Limits, Object, Value, canonical_text};
use alloc::string::{String, ToString};

/// The answer: documents, none of them verified yet. It is not signed itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustResponse {
    /// The head that is in force.
    pub head: String,
    /// The snapshot that the head names, where the gate has an older one.
    pub snapshot: Option<String>,
    /// What was revoked, or is no longer, since what the gate has.
    pub delta: Option<String>,
    /// Whether there is no such delta, so that all pages must be fetched.
    pub reload: bool,
}

/// A snapshot of the largest size in base64url, a head and a delta.
const LIMITS: Limits = Limits { bytes: 88 * 1024 * 1024, depth: 1, values: 5 };

impl TrustResponse {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`LiveError::Unreadable`], [`LiveError::Member`].
    pub fn read(body: &[u8]) -> Result<Self, LiveError> {
        let value =
            json::parse(body, LIMITS).map_err(|_| LiveError::Unreadable("the answer is not strict JSON"))?;
        let members = Members::of(&value, &["delta", "head", "reload", "snapshot"])?;
        let optional = |name| match members.optional(name) {
            None => Ok(None),
            Some(_) => members.text(name).map(|text| Some(text.to_string())),
        };
        let response = TrustResponse {
            head: members.text("head")?.to_string(),
            snapshot: optional("snapshot")?,
            delta: optional("delta")?,
            reload: match members.optional("reload") {
                None => false,
                Some(Value::Bool(true)) => true,
                Some(_) => return Err(LiveError::Member("reload")),
            },
        };
        if response.reload && response.delta.is_some() {
            return Err(LiveError::Unreadable("the answer has a delta and asks for all pages"));
        }
        Ok(response)
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> String {
        let mut object = Object::from([("head", owned(&self.head))]);
        for (name, token) in [("snapshot", &self.snapshot), ("delta", &self.delta)] {
            if let Some(token) = token {
                object.set(name, owned(token));
            }
        }
        if self.reload {
            object.set("reload", Value::Bool(true));
        }
        canonical_text(&object.into())
    }
}
