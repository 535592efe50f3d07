//! Where a part of a configuration stands that is checked, and what is wrong with it.

use super::ConfigError;
use alloc::format;
use alloc::string::String;
use core::cell::OnceCell;

/// A part of a configuration that is checked.
///
/// As in reading, a fault is noted, and checking goes on with something in its stead, which
/// nobody gets to see: to stop at each of a hundred checks is as much code again.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'s> {
    within: Option<&'s Spot<'s>>,
    name: &'s str,
    index: Option<usize>,
    fault: &'s OnceCell<ConfigError>,
}

/// What `check` makes of a part of a configuration, unless it notes a fault. `path` is that of
/// the part, empty for the whole.
pub(crate) fn checked<T>(path: &str, check: impl FnOnce(&Spot<'_>) -> T) -> Result<T, ConfigError> {
    let fault = OnceCell::new();
    let checked = check(&Spot { within: None, name: path, index: None, fault: &fault });
    fault.into_inner().map_or(Ok(checked), Err)
}

impl Spot<'_> {
    /// A member of it.
    #[inline(never)]
    pub(crate) fn member<'m>(&'m self, name: &'m str) -> Spot<'m> {
        Spot { within: Some(self), name, index: None, fault: self.fault }
    }

    /// An element of it.
    #[inline(never)]
    pub(crate) fn element(&self, index: usize) -> Spot<'_> {
        Spot { within: Some(self), name: "", index: Some(index), fault: self.fault }
    }

    /// Says what is wrong with a member, or with the part itself where that is empty, unless
    /// the check `holds`. The first fault is told.
    #[inline(never)]
    pub(crate) fn check(&self, holds: bool, member: &str, problem: &str) {
        if !holds {
            self.fault.get_or_init(|| ConfigError::new(self.member(member).path(), problem));
        }
    }

    /// What was read, or what is wrong with the member that it was read from.
    pub(crate) fn known<T>(&self, read: Option<T>, member: &str, problem: &str) -> Option<T> {
        self.check(read.is_some(), member, problem);
        read
    }

    fn path(&self) -> String {
        let mut path = self.within.map(Spot::path).unwrap_or_default();
        if !path.is_empty() && !self.name.is_empty() {
            path.push('.');
        }
        path.push_str(self.name);
        if let Some(index) = self.index {
            path.push_str(&format!("[{index}]"));
        }
        path
    }
}
