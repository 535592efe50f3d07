//! Which catalog's terms a passport has.

use super::{Stored, find, in_force};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::passports::Grant;
use portcullis_core::catalog::{Change, Permission, Terms, changes};
use portcullis_core::modei::CatalogPin;
use std::collections::BTreeSet;

/// Pins a passport that is to be issued to the catalog in force at its gate, if there is one.
/// Whoever calls holds the gate's row, so that nothing is published meanwhile.
///
/// # Errors
/// 422 for a permission that the catalog does not offer.
pub async fn pin(tx: &mut Tx, gate: &str, grant: &mut Grant) -> ApiResult<()> {
    let Some(stored) = in_force(tx, gate).await? else { return Ok(()) };
    let permissions = stored.permissions()?;
    for (index, (key, _)) in grant.permissions.iter().enumerate() {
        if !permissions.iter().any(|offered| offered.key == *key) {
            let problem = format!("is not in version {} of the gate's catalog", stored.version);
            return Err(ApiError::invalid(format!("permissions[{index}]"), problem));
        }
    }
    grant.pin = Some(stored.pin());
    Ok(())
}

/// Gives a passport that is issued again the terms of version `accepted`, which must be the one
/// in force, or the one that it has. What that does not offer any more is granted no more.
/// Answers what has changed for it.
///
/// # Errors
/// 422 for another version, 409 where nothing is left.
pub async fn accept(tx: &mut Tx, gate: &str, grant: &mut Grant, accepted: i64) -> ApiResult<Vec<Change>> {
    let invalid = |problem: String| Err(ApiError::invalid("accept_catalog_version", problem));
    if grant.pin.as_ref().is_some_and(|pin| pin.version == accepted) {
        return Ok(Vec::new());
    }
    let Some(stored) = in_force(tx, gate).await? else {
        return invalid("the passport's gate has no catalog in force: leave it out".to_owned());
    };
    if stored.version != accepted {
        return invalid(format!("must be {}, the version that is in force", stored.version));
    }
    let offered = stored.permissions()?;
    let granted: BTreeSet<&str> = grant.permissions.iter().map(|(key, _)| key.as_str()).collect();
    let before = match &grant.pin {
        Some(pin) => find(tx, gate, pin.version).await?.map(|old| old.permissions()).transpose()?,
        None => None,
    };
    let before = before.unwrap_or_else(|| without_terms(&granted, &offered));
    let mut found = changes(&before, &offered);
    found.retain(|change| granted.contains(change.permission_key.as_str()));
    let is_offered = |key: &str| offered.iter().any(|permission| permission.key == key);
    let gone: Vec<String> =
        granted.iter().filter(|key| !is_offered(key)).map(|key| (*key).to_owned()).collect();
    grant.permissions.retain(|(key, _)| is_offered(key));
    grant.constraints.retain(|name, _| !gone.contains(name));
    if grant.permissions.is_empty() {
        let problem = format!("version {accepted} of the catalog has none of the passport's permissions");
        return Err(ApiError::conflict(problem));
    }
    grant.pin = Some(stored.pin());
    Ok(found)
}

/// What a passport without a catalog grants: nothing is promised, and nothing is asked for it.
fn without_terms(granted: &BTreeSet<&str>, offered: &[Permission]) -> Vec<Permission> {
    let bare = |key: &&str| match offered.iter().find(|permission| permission.key == **key) {
        Some(permission) => Permission { terms: Terms::default(), ..permission.clone() },
        None => Permission {
            key: (*key).to_owned(),
            display_name: String::new(),
            description: String::new(),
            risk_level: portcullis_core::catalog::RiskLevel::default(),
            min_trust_level: 1,
            terms: Terms::default(),
        },
    };
    granted.iter().map(bare).collect()
}

impl Stored {
    fn pin(&self) -> CatalogPin {
        CatalogPin { version: self.version, content_hash: self.content_hash.clone() }
    }
}
