//! What callers give: text that must be read before anything is asked of the core.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::KeyConfig;
use portcullis_core::json::{Limits, Object, ParseError, Value, parse};

/// A text of the caller's own: as large as the largest body that a request may have, and no
/// deeper than the core's own documents.
const LIMITS: Limits = Limits { bytes: 16 * 1024 * 1024, depth: 64, values: 1_000_000 };

/// Why something cannot be done with what was given. `code` is what programs compare.
pub(crate) struct Unusable {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl Unusable {
    pub(crate) fn new(code: &'static str, detail: &str) -> Self {
        Unusable { code, detail: detail.to_string() }
    }

    /// A member of the caller's own that is not of its form.
    pub(crate) fn argument(name: &str, expected: &str) -> Self {
        Unusable { code: "INVALID_ARGUMENT", detail: [name, " must be ", expected].concat() }
    }
}

impl From<ParseError> for Unusable {
    fn from(fault: ParseError) -> Self {
        Unusable { code: "INVALID_JSON", detail: fault.to_string() }
    }
}

/// Reads strict JSON.
///
/// # Errors
/// The fault, and the byte where it shows.
pub(crate) fn json(text: &[u8]) -> Result<Value<'_>, Unusable> {
    Ok(parse(text, LIMITS)?)
}

/// Members of an object that a caller gives. A name that is not known is a mistake, and must
/// not seem to have been heeded.
pub(crate) struct Given<'v, 'a> {
    name: &'static str,
    object: &'v Object<'a>,
}

impl<'v, 'a> Given<'v, 'a> {
    /// The members of `value`, which the caller knows as `name`.
    pub(crate) fn of(name: &'static str, value: &'v Value<'a>, known: &[&str]) -> Result<Self, Unusable> {
        let object = value.as_object().ok_or_else(|| Unusable::argument(name, "an object"))?;
        match object.iter().find(|(member, _)| !known.contains(member)) {
            Some((member, _)) => {
                let detail = [name, " has no member ", member].concat();
                Err(Unusable { code: "INVALID_ARGUMENT", detail })
            }
            None => Ok(Given { name, object }),
        }
    }

    /// A member that is there, and not null.
    pub(crate) fn optional(&self, name: &str) -> Option<&'v Value<'a>> {
        self.object.get(name).filter(|value| **value != Value::Null)
    }

    /// A string, if it is there.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'v str>, Unusable> {
        let read = |value: &'v Value<'a>| value.as_str().ok_or_else(|| self.fault(name, "a string"));
        self.optional(name).map(read).transpose()
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Result<&'v str, Unusable> {
        self.optional_text(name)?.ok_or_else(|| self.fault(name, "a string"))
    }

    /// The elements of a list.
    pub(crate) fn list(&self, name: &str) -> Result<&'v [Value<'a>], Unusable> {
        let list = self.optional(name).and_then(Value::as_array);
        list.ok_or_else(|| self.fault(name, "a list"))
    }

    /// An error about a member.
    pub(crate) fn fault(&self, name: &str, expected: &str) -> Unusable {
        Unusable::argument(&[self.name, ".", name].concat(), expected)
    }
}

/// Public keys with their ids and times, as the control service serves them.
pub(crate) fn keys(list: &[Value<'_>]) -> Result<Vec<KeyConfig>, Unusable> {
    let read = |key| {
        // `of` says whose key it is, which no audit goes by.
        let known = ["key_id", "not_after", "not_before", "of", "public_key"];
        let given = Given::of("key", key, &known)?;
        Ok(KeyConfig {
            key_id: given.text("key_id")?.into(),
            public_key: given.text("public_key")?.into(),
            not_before: given.optional_text("not_before")?.map(Into::into),
            not_after: given.optional_text("not_after")?.map(Into::into),
        })
    };
    list.iter().map(read).collect()
}
