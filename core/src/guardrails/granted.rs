//! What a passport's permission asks, down its chain.

use super::rules::{Limits, RuleFault, Rules};
use super::spend::Caps;
use crate::json::Object;
use alloc::vec::Vec;

/// What a permission of a passport asks of a request.
#[derive(Clone, Debug)]
pub struct Granted {
    rules: Rules,
    levels: Vec<Level>,
}

/// What one passport of a chain counts for itself. Its own requests count, and those of all
/// that were delegated from it: so delegating to many multiplies no limit, and one that is
/// tighter further down does not count what others do.
#[derive(Clone, Debug)]
pub struct Level {
    /// Which passport of the chain, from the root on.
    pub hop: usize,
    /// How often.
    pub limits: Limits,
    /// How much.
    pub caps: Caps,
}

impl Granted {
    /// Reads what a permission asks: `merged`, what all passports of the chain ask together,
    /// and for each of them, root first, what it says itself.
    ///
    /// # Errors
    /// [`RuleFault`].
    pub(crate) fn read(merged: &Object<'_>, hops: &[Option<&Object<'_>>]) -> Result<Self, RuleFault> {
        let rules = Rules::read(merged)?;
        let (mut limits, mut caps) = (Limits::default(), Caps::default());
        let mut levels = Vec::new();
        for (hop, own) in hops.iter().enumerate() {
            let Some(own) = own.filter(|own| !own.is_empty()) else { continue };
            let own = Rules::read(own)?;
            let level = Level { hop, limits: own.limits.beyond(&limits), caps: own.caps.beyond(&caps) };
            limits.tighten_all(&own.limits);
            for cap in own.caps.iter() {
                caps.tighten(cap);
            }
            if !level.limits.is_empty() || !level.caps.is_empty() {
                levels.push(level);
            }
        }
        Ok(Granted { rules, levels })
    }

    /// What holds for each request by itself.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What is counted, root first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(crate) fn weight(&self) -> usize {
        self.rules.weight().saturating_add(self.levels.len().saturating_mul(size_of::<Level>()))
    }
}
