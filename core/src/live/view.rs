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
    /// the control service follows them.
    pub(crate) fn followed(&self, issuer: &str) -> Option<UnixTime> {
        self.head.followed(issuer)
    }
}
