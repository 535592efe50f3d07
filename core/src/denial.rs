//! A refusal.

use crate::reason::Reason;
use alloc::borrow::Cow;
use core::fmt;

/// Why something was refused, and what about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason, from a closed set.
    pub reason: Reason,
    /// What was found, for the person who has to mend it. Holds no secrets and never a
    /// whole credential.
    pub detail: Cow<'static, str>,
}

impl Denial {
    /// A refusal for `reason`.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Denial { reason, detail: detail.into() }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.code(), self.detail)
    }
}

impl core::error::Error for Denial {}
