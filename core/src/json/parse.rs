//! The strict parser.

use super::{MAX_SAFE_INTEGER, Number, Object, Value, canonical, double};
use crate::ordered::Names;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Parses one JSON text. Beyond RFC 8259 it refuses what readers disagree on:
/// two members of one name, or of names that differ only in case; integers beyond
/// ±2^53, also those that only RFC 8785 writes as such; numbers too large for a double;
/// lone surrogates; anything after the value.
///
/// # Errors
/// [`ParseError`] says what was wrong and at which byte.
pub fn parse(input: &[u8], limits: Limits) -> Result<Value<'_>, ParseError> {
    let fail = |fault, at| Err(ParseError { fault, at });
    if input.len() > limits.bytes {
        return fail(Fault::TooLong, limits.bytes);
    }
    let text = match core::str::from_utf8(input) {
        Ok(text) => text,
        Err(error) => return fail(Fault::NotUtf8, error.valid_up_to()),
    };
    let mut parser = Parser { text, at: 0, depth: limits.depth, values: limits.values };
    let parsed = parser.value().and_then(|value| {
        parser.skip_whitespace();
        if parser.at == text.len() { Ok(value) } else { Err(Fault::TrailingBytes) }
    });
    parsed.map_err(|fault| ParseError { fault, at: parser.at })
}

/// What one text may cost before it is refused.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of input.
    pub bytes: usize,
    /// Arrays and objects within each other.
    pub depth: usize,
    /// Values in all.
    pub values: usize,
}

/// Why a text was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What was wrong.
    pub fault: Fault,
    /// The byte at which it showed.
    pub at: usize,
}

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two members of one object have names that differ at most in case.
    AmbiguousMember,
    /// A number that no finite double holds, or one that is an integer beyond ±2^53 here
    /// or in its canonical text.
    InexactNumber,
    /// A `\u` escape that is half of a surrogate pair.
    LoneSurrogate,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Not JSON.
    Syntax,
    /// Nested deeper than the limit.
    TooDeep,
    /// Longer than the limit.
    TooLong,
    /// More values than the limit.
    TooManyValues,
    /// Something follows the value.
    TrailingBytes,
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::AmbiguousMember => "two members have the same name, apart from case",
            Fault::InexactNumber => "a number is too large to be exact",
            Fault::LoneSurrogate => "a string holds half of a surrogate pair",
            Fault::NotUtf8 => "the text is not UTF-8",
            Fault::Syntax => "the text is not JSON",
            Fault::TooDeep => "values are nested too deep",
            Fault::TooLong => "the text is too long",
            Fault::TooManyValues => "there are too many values",
            Fault::TrailingBytes => "something follows the value",
        };
        write!(formatter, "{what}, at byte {}", self.at)
    }
}

impl core::error::Error for ParseError {}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value<'a>, Fault> {
        self.values = self.values.checked_sub(1).ok_or(Fault::TooManyValues)?;
        self.skip_whitespace();
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.nested(Self::object).map(Value::Object),
            Some(b'[') => self.nested(Self::array).map(Value::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(Fault::Syntax),
        }
    }

    fn nested<T>(&mut self, read: fn(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let depth = self.depth;
        self.depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        let result = read(self);
        self.depth = depth;
        result
    }

    fn array(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        self.expect(b'[')?;
        let mut elements = Vec::new();
        self.skip_whitespace();
        if self.take(b']') {
            return Ok(elements);
        }
        loop {
            elements.push(self.value()?);
            self.skip_whitespace();
            if self.take(b']') {
                return Ok(elements);
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self) -> Result<Object<'a>, Fault> {
        self.expect(b'{')?;
        let mut members = Vec::new();
        self.skip_whitespace();
        if self.take(b'}') {
            return Ok(Object { members });
        }
        loop {
            self.skip_whitespace();
            let name = self.string()?;
            self.skip_whitespace();
            self.expect(b':')?;
            members.push((name, self.value()?));
            self.skip_whitespace();
            if self.take(b'}') {
                break;
            }
            self.expect(b',')?;
        }
        sort(&mut members);
        if has_ambiguous_names(&members) {
            return Err(Fault::AmbiguousMember);
        }
        Ok(Object { members })
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"')?;
        let plain = self.plain_run()?;
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut owned = String::from(plain);
        loop {
            if self.take(b'"') {
                return Ok(Cow::Owned(owned));
            }
            self.expect(b'\\')?;
            owned.push(self.escape()?);
            owned.push_str(self.plain_run()?);
        }
    }

    /// The run of characters up to the next quote or backslash.
    fn plain_run(&mut self) -> Result<&'a str, Fault> {
        let rest = self.text.get(self.at..).ok_or(Fault::Syntax)?;
        let length = rest
            .bytes()
            .position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')
            .ok_or(Fault::Syntax)?;
        self.advance(length);
        // A control character ends the run too, and is then neither quote nor backslash.
        rest.get(..length).ok_or(Fault::Syntax)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let escape = self.peek().ok_or(Fault::Syntax)?;
        self.advance(1);
        Ok(match escape {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                let second = match first {
                    0xd800..=0xdbff if self.take(b'\\') && self.take(b'u') => Some(self.code_unit()?),
                    _ => None,
                };
                let units = core::iter::once(first).chain(second);
                let mut characters = char::decode_utf16(units);
                let character = characters.next().ok_or(Fault::LoneSurrogate)?;
                let character = character.map_err(|_| Fault::LoneSurrogate)?;
                if characters.next().is_some() {
                    return Err(Fault::LoneSurrogate);
                }
                character
            }
            _ => return Err(Fault::Syntax),
        })
    }

    fn code_unit(&mut self) -> Result<u16, Fault> {
        let end = self.at.saturating_add(4);
        let digits = self.text.get(self.at..end).ok_or(Fault::Syntax)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::Syntax);
        }
        self.at = end;
        u16::from_str_radix(digits, 16).map_err(|_| Fault::Syntax)
    }

    /// RFC 8259 section 6.
    fn number(&mut self) -> Result<Number, Fault> {
        let start = self.at;
        self.take(b'-');
        if self.take(b'0') {
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(Fault::Syntax);
            }
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integer = false;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).ok_or(Fault::Syntax)?;
        if integer {
            // Compared before rounding: 2^53 + 1 would round to 2^53.
            let exact: i64 = text.parse().map_err(|_| Fault::InexactNumber)?;
            if exact.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() {
                return Err(Fault::InexactNumber);
            }
        }
        let value = double::nearest(text);
        // However it is written here, RFC 8785 writes a double in this range as an
        // integer, and readers of the canonical text are to read it, us among them.
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let is_canonical_integer = value.abs() > MAX_SAFE_INTEGER as f64 && value.abs() < 1e21;
        if value.is_finite() && !is_canonical_integer {
            Ok(Number { value, integer })
        } else {
            Err(Fault::InexactNumber)
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(count);
        if count == 0 { Err(Fault::Syntax) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(literal) {
            return Err(Fault::Syntax);
        }
        self.advance(literal.len());
        Ok(value)
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance(1);
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }
}

type Member<'a> = (Cow<'a, str>, Value<'a>);

fn is_before(left: &Member<'_>, right: &Member<'_>) -> bool {
    canonical::order(&left.0, &right.0).is_lt()
}

/// Puts members in order by a heap: whatever their order is, it takes no more than `n log n`
/// steps. The library's sorts are 3 KB of the plugin's file; most objects come in order.
fn sort(members: &mut [Member<'_>]) {
    if members.is_sorted_by(|left, right| !is_before(right, left)) {
        return;
    }
    for root in (0..members.len() / 2).rev() {
        sink(members, root);
    }
    for end in (1..members.len()).rev() {
        members.swap(0, end);
        sink(members.get_mut(..end).unwrap_or_default(), 0);
    }
}

/// Lets the member at `at` sink until none below it comes after it.
fn sink(heap: &mut [Member<'_>], mut at: usize) {
    while let Some(parent) = heap.get(at) {
        let left = at.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let Some(mut child) = heap.get(left) else { return };
        let mut below = left;
        if let Some(other) = heap.get(right)
            && is_before(child, other)
        {
            (child, below) = (other, right);
        }
        if !is_before(parent, child) {
            return;
        }
        heap.swap(at, below);
        at = below;
    }
}

/// Whether two names are equal once case is folded. Folded as readers that match
/// names without regard to case fold them (Go's encoding/json among them): ASCII,
/// and the two characters outside it that fold into it.
fn has_ambiguous_names(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let folded = |name: &str| -> String {
        name.chars()
            .map(|character| match character {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                other => other.to_ascii_lowercase(),
            })
            .collect()
    };
    // Objects of a few members are the rule: compare these without allocating. A receipt has 17.
    const FEW: usize = 17;
    if members.len() <= FEW && members.iter().all(|(name, _)| name.is_ascii()) {
        return members.iter().enumerate().any(|(index, (name, _))| {
            members.iter().take(index).any(|(other, _)| name.eq_ignore_ascii_case(other))
        });
    }
    !Names::are_distinct(members.iter().map(|(name, _)| folded(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bytes: 1 << 16, depth: 2, values: 1 << 12 };

    proptest! {
        #[test]
        fn members_are_in_order_whatever_order_they_came_in(
            names in prop::collection::btree_set(0_u32..5000, 0..300).prop_map(Vec::from_iter).prop_shuffle(),
        ) {
            let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":{name}")).collect();
            let text = format!("{{{}}}", members.join(","));
            let value = parse(text.as_bytes(), LIMITS).map_err(|error| TestCaseError::fail(format!("{error}")))?;
            let object = value.as_object().into_iter().flat_map(Object::iter);
            let read: Vec<_> = object.map(|(name, value)| (String::from(name), value.as_integer())).collect();
            let wanted: BTreeSet<_> =
                names.iter().map(|name| (format!("{name}"), Some(i64::from(*name)))).collect();
            prop_assert_eq!(read, Vec::from_iter(wanted));
        }
    }
}
