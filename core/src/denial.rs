//! A refusal.

use crate::reason::Reason;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::ops::Deref;

/// Why something was refused, and what about it.
///
/// A pointer, as each check hands it on to its caller: in full it would be copied by each, which
/// is some KB of the plugin's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(Box<Told>);

/// What a [`Denial`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// The reason, from a closed set.
    pub reason: Reason,
    /// What was found, for the person who has to mend it. Holds no secrets and never a
    /// whole credential.
    pub detail: Cow<'static, str>,
}

impl Denial {
    /// A refusal for `reason`.
    #[cold]
    #[inline(never)]
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Denial(Box::new(Told { reason, detail: detail.into() }))
    }

    /// What is said, to keep.
    pub fn into_detail(self) -> Cow<'static, str> {
        self.0.detail
    }
}

impl Deref for Denial {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.code(), self.detail)
    }
}

impl core::error::Error for Denial {}
