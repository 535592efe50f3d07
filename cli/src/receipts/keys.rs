//! By which keys gates sign receipts.

use crate::audit;
use anyhow::{Context, Result, ensure};
use portcullis_core::receipt::{ReceiptError, SignedReceipt};
use portcullis_core::{PublicKey, base64, sha256};
use std::collections::HashMap;
use std::path::Path;

/// Keys of gates' records, by their ids, and whether each is the service's.
pub(crate) struct Keys(HashMap<String, (PublicKey, bool)>);

impl Keys {
    /// Reads them from a file as `audit verify --keys` takes it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut keys = HashMap::new();
        for (config, is_service) in audit::keys::of_records(path)? {
            let key =
                base64::decode_array(&config.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
            let key =
                key.with_context(|| format!("{}: {} is no Ed25519 key", path.display(), config.key_id))?;
            let id = base64::encode_url(&sha256(key.as_bytes()));
            ensure!(id == config.key_id, "{}: {} is the id of another key", path.display(), config.key_id);
            keys.insert(id, (key, is_service));
        }
        Ok(Keys(keys))
    }

    /// The service's key of this id.
    pub(crate) fn of_service(&self, key_id: &str) -> Option<&PublicKey> {
        self.0.get(key_id).filter(|(_, is_service)| *is_service).map(|(key, _)| key)
    }

    /// The key that a receipt names.
    ///
    /// # Errors
    /// [`ReceiptError::KeyUnknown`].
    pub(crate) fn of(&self, signed: &SignedReceipt) -> Result<&PublicKey, ReceiptError> {
        let named = self.0.get(&base64::encode_url(signed.key_id()));
        named.map(|(key, _)| key).ok_or(ReceiptError::KeyUnknown)
    }
}
