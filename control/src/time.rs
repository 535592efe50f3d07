//! Times, as the database and the answers have them.

use portcullis_core::UnixTime;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by the machine's clock.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    now().as_millis()
}

/// A time as RFC 3339 in UTC, from milliseconds since 1970.
pub fn iso(millis: i64) -> String {
    UnixTime::from_millis(millis).to_iso()
}
