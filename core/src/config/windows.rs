//! How long things are good for, as far as a profile bounds them.

use super::read::Place;
use super::{ConfigError, Profile, Spot, checked};
use crate::denial::Denial;
use crate::reason::Reason;
use crate::time::UnixTime;
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
        checked("windows", |spot| Windows::checked(config, profile, spot))
    }

    pub(crate) fn checked(config: &WindowsConfig, profile: Profile, spot: &Spot<'_>) -> Self {
        let age = if profile == Profile::L3 { 10 } else { 300 };
        let read = |bounds: &Bounds, written, default| {
            let asked = (profile >= bounds.profile).then_some(default);
            bounds.window(written, asked, spot)
        };
        Windows {
            proof_ms: read(&PROOF, config.proof_seconds, 300),
            challenge_ms: read(&CHALLENGE, config.challenge_seconds, 60),
            trust_age_ms: read(&TRUST_AGE, config.trust_age_seconds, age),
            credential_ms: read(&CREDENTIAL, config.credential_seconds, 3600),
        }
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
        let detail = "from its issuing to its end it, or one that it was delegated from, lives too long";
        Err(Denial::new(Reason::CredentialLifetimeExceeded, detail))
    }
}

/// What may be written of a window, in seconds, and the least profile that asks for it.
struct Bounds {
    member: &'static str,
    profile: Profile,
    least: u32,
    most: u32,
    problem: &'static str,
}

const PROOF: Bounds = Bounds {
    member: "proof_seconds",
    profile: Profile::L1,
    least: 1,
    most: 3600,
    problem: "must be 1 to 3600",
};
const CHALLENGE: Bounds = Bounds {
    member: "challenge_seconds",
    profile: Profile::L3,
    least: 1,
    most: 300,
    problem: "must be 1 to 300, at profile L3",
};
const TRUST_AGE: Bounds = Bounds {
    member: "trust_age_seconds",
    profile: Profile::L2,
    least: 1,
    most: 3600,
    problem: "must be 1 to 3600, at profile L2 or L3",
};
const CREDENTIAL: Bounds = Bounds {
    member: "credential_seconds",
    profile: Profile::L3,
    least: 60,
    most: 86_400,
    problem: "must be 60 to 86400, at profile L3",
};

impl Bounds {
    /// The window in milliseconds; `default` is that of a profile that asks for it.
    #[inline(never)]
    fn window(&self, written: Option<u32>, default: Option<u32>, spot: &Spot<'_>) -> i64 {
        let Some(seconds) = written.or(default) else { return Windows::UNBOUNDED };
        let is_in_range = default.is_some() && (self.least..=self.most).contains(&seconds);
        spot.check(is_in_range, self.member, self.problem);
        i64::from(seconds).saturating_mul(1000)
    }
}

pub(super) fn windows(place: Place<'_>) -> WindowsConfig {
    let members =
        place.members(&["challenge_seconds", "credential_seconds", "proof_seconds", "trust_age_seconds"]);
    WindowsConfig {
        proof_seconds: members.number("proof_seconds"),
        challenge_seconds: members.number("challenge_seconds"),
        trust_age_seconds: members.number("trust_age_seconds"),
        credential_seconds: members.number("credential_seconds"),
    }
}
