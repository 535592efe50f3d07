//! One thing that a catalog offers.

use super::terms::Terms;
use crate::config::{ConfigError, Place};
use crate::json::{Object, Value};
use crate::live::{owned, whole};
use crate::ordered;
use crate::trust::is_action;
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
pub(super) fn permissions(place: &Place<'_>) -> Result<Vec<Permission>, ConfigError> {
    let permissions = place.list(permission)?;
    if permissions.len() > MAX_PERMISSIONS {
        return Err(place.wrong(format!("must be at most {MAX_PERMISSIONS}")));
    }
    let keys = ordered::set(permissions.iter().map(|permission| permission.key.as_str()));
    if keys.len() < permissions.len() {
        return Err(place.wrong("has a permission_key twice"));
    }
    Ok(permissions)
}

fn permission(place: Place<'_>) -> Result<Permission, ConfigError> {
    let members = place.members(&[
        "constraints",
        "description",
        "display_name",
        "min_trust_level",
        "permission_key",
        "risk_level",
    ])?;
    let key = members.required("permission_key")?;
    let level = members.optional("min_trust_level", |place| {
        let level = place.whole_number::<u8>().ok().filter(|level| (1..=3).contains(level));
        level.ok_or_else(|| place.wrong("must be 1, 2 or 3"))
    })?;
    Ok(Permission {
        key: key.text().and_then(|text| {
            if is_action(&text) {
                Ok(text)
            } else {
                Err(key.wrong("must be 1 to 256 printable ASCII characters without spaces and *"))
            }
        })?,
        display_name: text(&members.required("display_name")?, 1, 200)?,
        description: text(&members.required("description")?, 0, 2000)?,
        risk_level: members.optional("risk_level", |place| place.one_of(&RISK_LEVELS))?.unwrap_or_default(),
        min_trust_level: level.unwrap_or(1),
        terms: members.optional("constraints", Terms::read)?.unwrap_or_default(),
    })
}

/// A text of so many characters.
pub(super) fn text(place: &Place<'_>, min: usize, max: usize) -> Result<String, ConfigError> {
    let text = place.text()?;
    if (min..=max).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(place.wrong(format!("must have {min} to {max} characters")))
    }
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
