//! What callers have done wrong, as it crosses the boundary.

use alloc::string::{String, ToString};
use portcullis_core::json::{Object, Value, canonical_text};

/// Why something cannot be done with what was given. `code` is what programs compare.
pub(crate) struct Unusable {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl Unusable {
    pub(crate) fn new(code: &'static str, detail: &str) -> Self {
        Unusable { code, detail: detail.to_string() }
    }

    /// Something of the caller's own that is not of its form.
    pub(crate) fn argument(name: &str, expected: &str) -> Self {
        Unusable { code: "INVALID_ARGUMENT", detail: [name, " must be ", expected].concat() }
    }
}

/// The error that JavaScript throws, as JSON.
pub(crate) fn thrown(unusable: &Unusable) -> String {
    let members = [("code", Value::from(unusable.code)), ("detail", Value::from(unusable.detail.as_str()))];
    canonical_text(&Object::from(members).into())
}

/// A text of its own.
pub(crate) fn owned<'a>(text: impl Into<String>) -> Value<'a> {
    Value::String(text.into().into())
}

/// A text of its own, or null.
pub(crate) fn optional<'a>(text: Option<impl Into<String>>) -> Value<'a> {
    text.map_or(Value::Null, owned)
}
