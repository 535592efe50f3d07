//! What a verifier judges by, beside its snapshot.

use super::head::Head;
use super::set::Revocations;
use crate::denial::Denial;
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::format;

/// Live trust material as it stands: what is revoked, and until when that can be relied
/// on. [`LiveTrust`](super::LiveTrust) alone makes one.
#[derive(Clone, Copy, Debug)]
pub struct LiveView<'t> {
    pub(super) head: &'t Head,
    pub(super) revocations: &'t Revocations,
    pub(super) max_age_ms: i64,
}

impl<'t> LiveView<'t> {
    /// What is revoked.
    pub fn revocations(&self) -> &'t Revocations {
        self.revocations
    }

    /// The head by whose word this is in force.
    pub fn head(&self) -> &'t Head {
        self.head
    }

    /// The same view, where the material may be no older than `millis` either.
    pub(crate) fn within(self, millis: i64) -> Self {
        LiveView { max_age_ms: self.max_age_ms.min(millis), ..self }
    }

    /// How old the material may be, in milliseconds.
    pub(crate) fn max_age_ms(self) -> i64 {
        self.max_age_ms
    }

    /// Whether the material is recent enough to judge by at `now`. Both clocks are trusted
    /// here, without allowance: whoever sets the greatest age can add one to it.
    ///
    /// # Errors
    /// `trust_material_stale`.
    pub fn check_age(&self, now: UnixTime) -> Result<(), Denial> {
        if self.head.time.plus_millis(self.max_age_ms) >= now {
            return Ok(());
        }
        let detail = format!(
            "it is of {}, and now is {now}: more than the allowed {} s later",
            self.head.time,
            self.max_age_ms.div_euclid(1000)
        );
        Err(Denial::new(Reason::TrustMaterialStale, detail))
    }

    /// When the revocations of this issuer of badges were last known to be complete, if
    /// the control service follows them: not later than the head that says so.
    pub(crate) fn followed(&self, issuer: &str) -> Option<UnixTime> {
        self.head.followed(issuer).map(|time| time.min(self.head.time))
    }
}
