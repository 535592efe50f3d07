//! What goes back: JSON, also where something cannot be done.

use crate::input::Unusable;
use alloc::borrow::Cow;
use alloc::string::String;
use portcullis_core::json::{Object, Value, canonical_text};
use portcullis_core::{Denial, UnixTime, base64};

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

/// What a refusal means, who mends it and how; null where nothing was refused.
pub(crate) fn explained(denial: Option<&Denial>) -> Value<'static> {
    let Some(denial) = denial else { return Value::Null };
    let told = denial.reason.explanation();
    Object::from([
        ("code", Value::from(told.code)),
        ("meaning", Value::from(told.meaning)),
        ("remedy", Value::from(told.remedy)),
        ("who", Value::from(told.who)),
    ])
    .into()
}

/// A count; those beyond 2^53, which no log reaches, are cut to it.
pub(crate) fn count<'a>(number: u64) -> Value<'a> {
    Value::integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A time, as RFC 3339 in UTC with milliseconds.
pub(crate) fn time<'a>(time: UnixTime) -> Value<'a> {
    owned(time.to_iso())
}

/// A public key as a JWK (RFC 8037).
pub(crate) fn public_jwk<'a>(key: &[u8; 32]) -> Value<'a> {
    let members =
        [("crv", Value::from("Ed25519")), ("kty", Value::from("OKP")), ("x", owned(base64::encode_url(key)))];
    Object::from(members).into()
}

/// A text of its own.
pub(crate) fn owned<'a>(text: impl Into<String>) -> Value<'a> {
    Value::String(Cow::Owned(text.into()))
}

/// A text of its own, or null.
pub(crate) fn optional<'a>(text: Option<impl Into<String>>) -> Value<'a> {
    text.map_or(Value::Null, owned)
}
