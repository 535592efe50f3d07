//! Strict JSON (RFC 8259, RFC 7493) and its canonical bytes (RFC 8785).
//!
//! A credential is signed over the canonical bytes of what it says, so two
//! readers that disagree about what it says are a way past the gate. The parser
//! here refuses whatever another parser might read differently.

mod canonical;
mod double;
mod parse;

pub use canonical::{Canonical, canonical_text, write_string};
pub use parse::{Fault, Limits, ParseError, parse};

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

/// A JSON value. Strings borrow from the input where they hold no escape.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// An ordered list of values.
    Array(Vec<Value<'a>>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An IEEE 754 double; see [`Number`].
    Number(Number),
    /// Named values; see [`Object`].
    Object(Object<'a>),
    /// Unicode text without lone surrogates.
    String(Cow<'a, str>),
}

/// A finite IEEE 754 double that remembers how it was written.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    value: f64,
    integer: bool,
}

/// The members of a JSON object, unique and ordered by UTF-16 code units as RFC
/// 8785 section 3.2.3 orders them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// The largest magnitude below which every integer is its own double: 2^53, the
/// bound of RFC 7493 section 2.2.
pub const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_992;

impl<'a> Value<'a> {
    /// The text of a string, or `None` for any other value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object, or `None` for any other value.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The elements of an array, or `None` for any other value.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// An integer written as one (no fraction, no exponent), or `None`.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Number(number) => number.as_integer(),
            _ => None,
        }
    }

    /// The number, or `None` for any other value.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, or `None` for any other value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An integer, kept within ±2^53.
    pub fn integer(value: i64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "within 2^53, so exact")]
        let value = value.clamp(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) as f64;
        Value::Number(Number { value, integer: true })
    }

    /// About how many bytes the value keeps in memory.
    pub fn weight(&self) -> usize {
        let inner = match self {
            Value::Array(elements) => elements.iter().map(Value::weight).fold(0, usize::saturating_add),
            Value::Bool(_) | Value::Null | Value::Number(_) => 0,
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| name.len().saturating_add(value.weight()))
                .fold(0, usize::saturating_add),
            Value::String(text) => text.len(),
        };
        inner.saturating_add(size_of::<Self>())
    }

    /// The same value, owning all its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Array(elements) => Value::Array(elements.into_iter().map(Value::into_owned).collect()),
            Value::Bool(value) => Value::Bool(value),
            Value::Null => Value::Null,
            Value::Number(number) => Value::Number(number),
            Value::Object(object) => Value::Object(object.into_owned()),
            Value::String(text) => Value::String(Cow::Owned(text.into_owned())),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Cow::Borrowed(text))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Number(Number { value: f64::from(value), integer: true })
    }
}

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Self {
        Value::Object(object)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Value::Null, Value::from)
    }
}

impl Number {
    /// A number that is written as canonical text writes it; `None` for infinities and
    /// what is no number.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Number { value, integer: false })
    }

    /// The number as a double; always finite.
    pub fn as_f64(self) -> f64 {
        self.value
    }

    /// The integer, where the text had neither fraction nor exponent. The parser
    /// keeps such integers within ±2^53, so the conversion is exact.
    pub fn as_integer(self) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "within 2^53, so exact")]
        self.integer.then_some(self.value as i64)
    }
}

/// Numbers are compared by value: `1` and `1.0` are the same number.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'a> Object<'a> {
    /// The value of the member with this exact name.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        // A scan of a few members is faster than a search by UTF-16 order; a scan of
        // many, for each of many names, would let a credential buy quadratic time.
        const FEW: usize = 12;
        let member = if self.members.len() <= FEW {
            self.members.iter().find(|(key, _)| key == name)
        } else {
            let at = self.members.binary_search_by(|(key, _)| canonical::order(key, name)).ok()?;
            self.members.get(at)
        };
        member.map(|(_, value)| value)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sets a member, replacing one of the same name.
    pub fn set(&mut self, name: &str, value: Value<'a>) {
        match self.members.binary_search_by(|(key, _)| canonical::order(key, name)) {
            Ok(at) => {
                if let Some(member) = self.members.get_mut(at) {
                    member.1 = value;
                }
            }
            Err(at) => self.members.insert(at, (Cow::Owned(name.to_string()), value)),
        }
    }

    /// The same members, owning all their text.
    pub fn into_owned(self) -> Object<'static> {
        Object {
            members: self
                .members
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                .collect(),
        }
    }
}

impl<'a, const N: usize> From<[(&str, Value<'a>); N]> for Object<'a> {
    fn from(members: [(&str, Value<'a>); N]) -> Self {
        let mut object = Object::default();
        for (name, value) in members {
            object.set(name, value);
        }
        object
    }
}
