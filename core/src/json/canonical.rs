//! RFC 8785, the JSON Canonicalization Scheme.

use super::{MAX_SAFE_INTEGER, Object, Value};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

/// The canonical text of a value (RFC 8785), as UTF-8.
pub fn canonical_text(value: &Value<'_>) -> String {
    Canonical::of(value, &[]).text
}

/// Canonical text that knows where some of its parts lie.
///
/// Canonical text is compositional: the text of a part stands unchanged within
/// the text of the whole. A delegation chain embeds each of its envelopes, so one
/// pass over the leaf yields the signed bytes of every hop.
pub struct Canonical<'v, 'a> {
    text: String,
    watched: &'v [&'v Value<'a>],
    found: Vec<(usize, Range<usize>)>,
}

impl<'v, 'a> Canonical<'v, 'a> {
    /// Writes `value`, remembering where each of the `watched` arrays and objects,
    /// which must be parts of it, came to lie.
    pub fn of(value: &'v Value<'a>, watched: &'v [&'v Value<'a>]) -> Self {
        // Room for a passport of usual size, so that most are written without moving.
        const USUAL: usize = 1024;
        let mut canonical = Canonical { text: String::with_capacity(USUAL), watched, found: Vec::new() };
        canonical.write(value);
        canonical
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of the watched part, or `None` if it is no part of the whole.
    pub fn part(&self, part: &Value<'a>) -> Option<&str> {
        let index = self.watched.iter().position(|watched| core::ptr::eq(*watched, part))?;
        let (_, range) = self.found.iter().find(|(found, _)| *found == index)?;
        self.text.get(range.clone())
    }

    fn write(&mut self, value: &Value<'a>) {
        let start = self.text.len();
        match value {
            Value::Array(elements) => self.write_array(elements),
            Value::Bool(true) => self.text.push_str("true"),
            Value::Bool(false) => self.text.push_str("false"),
            Value::Null => self.text.push_str("null"),
            Value::Number(number) => write_number(number.as_f64(), &mut self.text),
            Value::Object(object) => self.write_object(object),
            Value::String(text) => write_string(text, &mut self.text),
        }
        if matches!(value, Value::Array(_) | Value::Object(_))
            && let Some(index) = self.watched.iter().position(|watched| core::ptr::eq(*watched, value))
        {
            self.found.push((index, start..self.text.len()));
        }
    }

    fn write_array(&mut self, elements: &[Value<'a>]) {
        self.text.push('[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.write(element);
        }
        self.text.push(']');
    }

    fn write_object(&mut self, object: &Object<'a>) {
        self.text.push('{');
        for (index, (name, value)) in object.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            write_string(name, &mut self.text);
            self.text.push(':');
            self.write(value);
        }
        self.text.push('}');
    }
}

/// The order of member names: by UTF-16 code units (RFC 8785 section 3.2.3).
pub(super) fn order(left: &str, right: &str) -> Ordering {
    // Byte order differs from UTF-16 order only above U+FFFF against U+E000 and up.
    if left.is_ascii() || right.is_ascii() {
        left.cmp(right)
    } else {
        left.encode_utf16().cmp(right.encode_utf16())
    }
}

/// Writes a string as JSON; RFC 8785 section 3.2.2.2: the shortest of the allowed escapes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = escaped.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// RFC 8785 section 3.2.2.3: a number as ECMAScript's `Number::toString` writes it
/// (ECMA-262 section 6.1.6.1.20): the shortest digits that read back as the same
/// double, the closest of those, the even one of two that are equally close. `core`'s
/// own formatting is not that even-handed, so it serves for integers only.
fn write_number(value: f64, out: &mut String) {
    #[expect(clippy::cast_possible_truncation, reason = "checked by converting back")]
    let integer = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "the comparison is what finds a loss")]
    if integer.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() && integer as f64 == value {
        out.push_str(&format!("{integer}"));
    } else {
        out.push_str(ryu_js::Buffer::new().format_finite(value));
    }
}
