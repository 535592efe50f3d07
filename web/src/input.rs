//! What callers give: text that must be read before anything is asked of the core.

use alloc::string::{String, ToString};
use portcullis_core::json::{Limits, Object, Value, canonical_text, parse};

/// A text of the caller's own: as large as the largest body that a request may have, and no
/// deeper than the core's own documents.
const LIMITS: Limits = Limits { bytes: 16 * 1024 * 1024, depth: 64, values: 1_000_000 };

/// Reads strict JSON.
///
/// # Errors
/// An error for the caller, with the byte where the fault shows.
pub(crate) fn json(text: &[u8]) -> Result<Value<'_>, String> {
    parse(text, LIMITS).map_err(|fault| error("INVALID_JSON", &fault.to_string()))
}

/// An error as it crosses the boundary; `code` is what programs compare.
pub(crate) fn error(code: &str, detail: &str) -> String {
    let members = [("code", Value::from(code)), ("detail", Value::from(detail))];
    canonical_text(&Object::from(members).into())
}
