//! What is asked of passports beyond what was signed with them.

use super::gate::GateRules;
use crate::config::{ConfigError, PassportConstraintsConfig, Spot, checked};
use crate::ordered::Named;
use crate::trust::{ID_FORM, is_id, scoped_name};

/// Constraints that were set for passports after they were signed, by issuer and passport.
/// They hold besides those of the passport itself, so that they can only narrow it.
#[derive(Clone, Debug, Default)]
pub struct Restrictions {
    of_passports: Named<GateRules>,
}

/// How many passports may have some: more than people set by hand; each is in the snapshot
/// of each gate that takes such passports.
pub const MAX_RESTRICTIONS: usize = 1000;

impl Restrictions {
    /// Checks what a control service has set.
    ///
    /// # Errors
    /// For more than [`MAX_RESTRICTIONS`], an entry that stands twice, and constraints that
    /// no gate can judge.
    pub fn new(listed: &[PassportConstraintsConfig]) -> Result<Self, ConfigError> {
        checked("passport_constraints", |spot| Restrictions::checked(listed, spot))
    }

    pub(crate) fn checked(listed: &[PassportConstraintsConfig], spot: &Spot<'_>) -> Self {
        spot.check(listed.len() <= MAX_RESTRICTIONS, "", "must be at most 1000");
        let mut of_passports = Named::new();
        for (index, config) in listed.iter().enumerate() {
            let spot = spot.element(index);
            spot.check(is_id(&config.issuer), "issuer", ID_FORM);
            spot.check(is_id(&config.passport_id), "passport_id", ID_FORM);
            let rules = GateRules::checked(&config.constraints, &spot.member("constraints"));
            let is_new = of_passports.insert(&scoped_name(&config.issuer, &config.passport_id), rules);
            spot.check(is_new, "passport_id", "stands twice");
        }
        Restrictions { of_passports }
    }

    /// Those of a passport.
    pub(super) fn of(&self, issuer: &str, passport_id: &str) -> Option<&GateRules> {
        // Most gates have none: no pair is built to look one up there.
        if self.of_passports.is_empty() {
            return None;
        }
        self.of_passports.get(&scoped_name(issuer, passport_id))
    }
}
