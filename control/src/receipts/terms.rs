//! What was agreed: the terms of an action in the catalog that a passport is pinned to.

use crate::catalog;
use crate::db::Tx;
use crate::error::ApiResult;
use portcullis_core::catalog::Permission;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::Rate;
use std::collections::HashMap;

/// The terms of a gate's catalogs, each version read once.
#[derive(Debug)]
pub struct Terms {
    gate: String,
    versions: HashMap<i64, Option<Version>>,
}

#[derive(Debug)]
struct Version {
    content_hash: String,
    permissions: HashMap<String, Permission>,
}

impl Terms {
    /// Of a gate, nothing read yet. A gate has at most
    /// [`MAX_VERSIONS`](portcullis_core::catalog::MAX_VERSIONS), of 64 KiB each.
    pub fn new(gate: &str) -> Self {
        Terms { gate: gate.to_owned(), versions: HashMap::new() }
    }

    /// Reads a version, if it was not read before.
    ///
    /// # Errors
    /// No database.
    pub async fn load(&mut self, tx: &mut Tx, version: i64) -> ApiResult<()> {
        if self.versions.contains_key(&version) {
            return Ok(());
        }
        let found = match catalog::find(tx, &self.gate, version).await? {
            None => None,
            Some(stored) => {
                let permissions = stored.permissions()?;
                let permissions = permissions.into_iter().map(|one| (one.key.clone(), one)).collect();
                Some(Version { content_hash: stored.content_hash, permissions })
            }
        };
        self.versions.insert(version, found);
        Ok(())
    }

    /// What the pinned version, which was read, offers under this name.
    pub fn find(&self, pin: &CatalogPin, action: &str) -> Option<&Permission> {
        let version = self.versions.get(&pin.version)?.as_ref()?;
        if version.content_hash != pin.content_hash {
            return None;
        }
        version.permissions.get(action)
    }

    /// What a use costs by that, if a price is stated.
    pub fn rate(&self, pin: &CatalogPin, action: &str) -> Option<Rate> {
        let terms = &self.find(pin, action)?.terms;
        Some(Rate { price: terms.price?, fee_basis_points: terms.fee_basis_points.unwrap_or(0) })
    }

    /// The uptime that a version, which was read, promises for an action, in basis points.
    pub fn promised_uptime(&self, version: i64, action: &str) -> Option<i64> {
        let version = self.versions.get(&version)?.as_ref()?;
        version.permissions.get(action)?.terms.uptime_basis_points.map(u64::cast_signed)
    }
}
