//! How long things are good for, as far as a profile bounds them.

use super::read::Place;
use super::{ConfigError, Profile};
use crate::denial::Denial;
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::format;
use serde::{Deserialize, Serialize};

/// `windows`: in seconds. What is left out has the profile's default; a window that the
/// profile does not ask for may not be there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WindowsConfig {
    /// How long after it was made a proof of a request may come, 1 to 3600. Left out: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_seconds: Option<u32>,
    /// How long a challenge may be answered, 1 to 300; L3 only. Left out: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge_seconds: Option<u32>,
    /// How old trust material may be, 1 to 3600; L2 and L3 only. Left out: 300 at L2, 10 at
    /// L3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_age_seconds: Option<u32>,
    /// The longest life that a credential may have from its issuing on, 60 to 86,400; L3
    /// only. Left out: 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_seconds: Option<u32>,
}

/// The windows of a gate, in milliseconds. What its profile leaves unbounded is
/// [`UNBOUNDED`](Windows::UNBOUNDED).
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    proof_ms: i64,
    challenge_ms: i64,
    trust_age_ms: i64,
    credential_ms: i64,
}

impl Windows {
    /// No bound at all.
    pub const UNBOUNDED: i64 = i64::MAX;

    /// Checks windows and fills in what `profile` has for those left out.
    ///
    /// # Errors
    /// The first [`ConfigError`]: a window that is out of its range, or that the profile does
    /// not ask for.
    pub fn new(config: &WindowsConfig, profile: Profile) -> Result<Self, ConfigError> {
        let default = |default: u32, least: Profile| (profile >= least).then_some(default);
        let trust_age = if profile == Profile::L3 { 10 } else { 300 };
        Ok(Windows {
            proof_ms: window(
                "windows.proof_seconds",
                config.proof_seconds,
                (1, 3600),
                default(300, Profile::L1),
            )?,
            challenge_ms: window(
                "windows.challenge_seconds",
                config.challenge_seconds,
                (1, 300),
                default(60, Profile::L3),
            )?,
            trust_age_ms: window(
                "windows.trust_age_seconds",
                config.trust_age_seconds,
                (1, 3600),
                default(trust_age, Profile::L2),
            )?,
            credential_ms: window(
                "windows.credential_seconds",
                config.credential_seconds,
                (60, 86_400),
                default(3600, Profile::L3),
            )?,
        })
    }

    /// How long after it was made a proof may come.
    pub fn proof_ms(&self) -> i64 {
        self.proof_ms
    }

    /// How long a challenge may be answered.
    pub fn challenge_ms(&self) -> i64 {
        self.challenge_ms
    }

    /// How old trust material may be.
    pub fn trust_age_ms(&self) -> i64 {
        self.trust_age_ms
    }

    /// The longest life of a credential.
    pub fn credential_ms(&self) -> i64 {
        self.credential_ms
    }

    /// Whether a credential, or one that it was delegated from, lives no longer than it may.
    /// Its whole life counts, not what is left of it.
    ///
    /// # Errors
    /// `credential_lifetime_exceeded`.
    pub fn check_life(&self, issued_at: UnixTime, expires_at: UnixTime) -> Result<(), Denial> {
        let life = expires_at.as_millis().saturating_sub(issued_at.as_millis());
        if life <= self.credential_ms {
            return Ok(());
        }
        let allowed = self.credential_ms.div_euclid(1000);
        let detail = format!("it is of {issued_at} and ends {expires_at}, and {allowed} s are allowed");
        Err(Denial::new(Reason::CredentialLifetimeExceeded, detail))
    }
}

fn window(
    path: &str,
    written: Option<u32>,
    (least, most): (u32, u32),
    default: Option<u32>,
) -> Result<i64, ConfigError> {
    let Some(default) = default else {
        return match written {
            None => Ok(Windows::UNBOUNDED),
            Some(_) => Err(ConfigError::new(path, "is for a stricter profile than the gate's")),
        };
    };
    let seconds = written.unwrap_or(default);
    if !(least..=most).contains(&seconds) {
        return Err(ConfigError::new(path, format!("must be {least} to {most}")));
    }
    Ok(i64::from(seconds).saturating_mul(1000))
}

pub(super) fn windows(place: Place<'_>) -> Result<WindowsConfig, ConfigError> {
    let members =
        place.members(&["challenge_seconds", "credential_seconds", "proof_seconds", "trust_age_seconds"])?;
    let seconds = |name| members.optional(name, |place| place.whole_number());
    Ok(WindowsConfig {
        proof_seconds: seconds("proof_seconds")?,
        challenge_seconds: seconds("challenge_seconds")?,
        trust_age_seconds: seconds("trust_age_seconds")?,
        credential_seconds: seconds("credential_seconds")?,
    })
}
