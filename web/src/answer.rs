//! What goes back: JSON, also where something cannot be done.

use crate::input::Unusable;
use alloc::string::String;
use portcullis_core::json::{Object, Value, canonical_text};

/// An answer as it crosses the boundary.
pub(crate) type Answer = Result<String, String>;

/// The text of what was answered, or of the error that JavaScript throws.
pub(crate) fn answer<'a>(result: Result<impl Into<Value<'a>>, Unusable>) -> Answer {
    match result {
        Ok(value) => Ok(canonical_text(&value.into())),
        Err(unusable) => Err(thrown(&unusable)),
    }
}

/// An error as it crosses the boundary.
pub(crate) fn thrown(unusable: &Unusable) -> String {
    let members = [("code", Value::from(unusable.code)), ("detail", Value::from(unusable.detail.as_str()))];
    canonical_text(&Object::from(members).into())
}

/// A count; those beyond 2^53, which no log reaches, are cut to it.
pub(crate) fn count<'a>(number: u64) -> Value<'a> {
    Value::integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A text of its own.
pub(crate) fn owned<'a>(text: impl Into<String>) -> Value<'a> {
    Value::String(text.into().into())
}

/// A text of its own, or null.
pub(crate) fn optional<'a>(text: Option<impl Into<String>>) -> Value<'a> {
    text.map_or(Value::Null, owned)
}
