//! One thing that a catalog offers.

use super::terms::Terms;
use crate::config::Place;
use crate::json::{Object, Value};
use crate::live::{owned, whole};
use crate::ordered::Names;
use crate::trust::is_action;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The most permissions of a catalog, as of a passport.
pub const MAX_PERMISSIONS: usize = 256;

/// A permission that a gate offers, and its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Permission {
    /// The action, as passports name it.
    pub key: String,
    /// Its name, for people.
    pub display_name: String,
    /// What it is, for people.
    pub description: String,
    /// How much can go wrong.
    pub risk_level: RiskLevel,
    /// The tier that the issuer of a passport should have, 1 to 3. What a gate asks is its
    /// profile's.
    pub min_trust_level: u8,
    /// Price and service level.
    pub terms: Terms,
}

/// How much can go wrong.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RiskLevel {
    #[default]
    Low,
    Medium,
    High,
    Critical,
}

const RISK_LEVELS: [(&str, RiskLevel); 4] = [
    ("low", RiskLevel::Low),
    ("medium", RiskLevel::Medium),
    ("high", RiskLevel::High),
    ("critical", RiskLevel::Critical),
];

/// Reads a list of permissions.
pub(super) fn permissions(place: &Place<'_>) -> Vec<Permission> {
    let permissions = place.list(permission);
    if permissions.len() > MAX_PERMISSIONS {
        place.wrong(&format!("must be at most {MAX_PERMISSIONS}"));
    }
    if !Names::are_distinct(permissions.iter().map(|permission| &permission.key)) {
        place.wrong("has a permission_key twice");
    }
    permissions
}

fn permission(place: Place<'_>) -> Permission {
    let members = place.members(&[
        "constraints",
        "description",
        "display_name",
        "min_trust_level",
        "permission_key",
        "risk_level",
    ]);
    let key = members.required("permission_key").read_text(
        |text| is_action(text).then(|| text.to_owned()),
        "must be 1 to 256 printable ASCII characters without spaces and *",
    );
    let level = members.optional("min_trust_level");
    let level = level.map(|place| place.number_within(1, 3, "must be 1, 2 or 3"));
    Permission {
        key: key.unwrap_or_default(),
        display_name: text(&members.required("display_name"), 1, 200),
        description: text(&members.required("description"), 0, 2000),
        risk_level: members
            .optional("risk_level")
            .and_then(|place| place.one_of(&RISK_LEVELS))
            .unwrap_or_default(),
        min_trust_level: level.and_then(|level| level.try_into().ok()).unwrap_or(1),
        terms: members.optional("constraints").map(Terms::read).unwrap_or_default(),
    }
}

/// A text of so many characters.
pub(super) fn text(place: &Place<'_>, min: usize, max: usize) -> String {
    let read = |text: &str| (min..=max).contains(&text.chars().count()).then(|| text.to_owned());
    place.read_text(read, &format!("must be a text of {min} to {max} characters")).unwrap_or_default()
}

impl Permission {
    pub(super) fn to_value(&self) -> Value<'static> {
        let risk = RISK_LEVELS.iter().find(|(_, level)| *level == self.risk_level);
        Object::from([
            ("constraints", self.terms.to_value()),
            ("description", owned(&self.description)),
            ("display_name", owned(&self.display_name)),
            ("min_trust_level", whole(self.min_trust_level.into())),
            ("permission_key", owned(&self.key)),
            ("risk_level", owned(risk.map_or("low", |(name, _)| name))),
        ])
        .into()
    }
}
