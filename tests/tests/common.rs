//! What the service of tests is made with.

use portcullis_core::{SecretKey, UnixTime};

pub(crate) const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

pub(crate) fn key(name: u8) -> SecretKey {
    SecretKey::from_seed([name; 32])
}
