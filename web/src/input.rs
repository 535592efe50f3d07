//! What callers give: text that must be read before anything is asked of the core.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::json::{Limits, Object, ParseError, Value, parse};
use portcullis_core::{Denial, KeyConfig, UnixTime};

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

/// What a verifier would say to something that was to be made.
impl From<Denial> for Unusable {
    fn from(denial: Denial) -> Self {
        Unusable { code: denial.reason.code(), detail: denial.detail.to_string() }
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

    /// A whole number, if it is there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Unusable> {
        let read = |value: &Value<'_>| value.as_integer().ok_or_else(|| self.fault(name, "a whole number"));
        self.optional(name).map(read).transpose()
    }

    /// A number of things.
    pub(crate) fn count(&self, name: &str) -> Result<u64, Unusable> {
        let number = self.number(name)?.and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| self.fault(name, "a whole number, from 0"))
    }

    /// A time: milliseconds since 1970, or RFC 3339 in UTC.
    pub(crate) fn time(&self, name: &str) -> Result<UnixTime, Unusable> {
        self.optional(name)
            .and_then(|value| match value {
                Value::String(text) => UnixTime::from_rfc3339(text),
                value => value.as_integer().map(UnixTime::from_millis),
            })
            .ok_or_else(|| self.fault(name, "a time: RFC 3339 in UTC, or whole milliseconds since 1970"))
    }

    /// A list of strings, if it is there.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Unusable> {
        if self.optional(name).is_none() {
            return Ok(None);
        }
        let read = |value: &Value<'_>| value.as_str().map(Into::into);
        let texts: Option<Vec<String>> = self.list(name)?.iter().map(read).collect();
        texts.map(Some).ok_or_else(|| self.fault(name, "a list of strings"))
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
