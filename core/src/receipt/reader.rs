//! Going through a receipt's text, which must be canonical (RFC 8785): all members and their order are
//! known, so that it is read as it is written, from its beginning to its end, and not as a tree that is
//! then written again to be compared.

use super::ReceiptError;
use crate::json::{self, Limits, Value, write_string};
use crate::live::read_hex;
use alloc::string::{String, ToString};

/// What is left of a text.
pub(super) struct Reader<'t> {
    rest: &'t str,
    /// Of the member at hand, for whoever is told that it is not of its form.
    name: &'static str,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, name: &'static str) -> Self {
        Reader { rest: text, name }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Goes to the value of a member, past all that stands before it.
    pub(super) fn member(&mut self, name: &'static str, before: &str) -> Result<&mut Self, ReceiptError> {
        // Else it is the value at hand that goes on.
        if self.rest.starts_with([',', '}']) {
            self.name = name;
        }
        self.past(before)?;
        self.name = name;
        Ok(self)
    }

    /// Goes past what must stand here.
    pub(super) fn past(&mut self, expected: &str) -> Result<&mut Self, ReceiptError> {
        self.rest = self.rest.strip_prefix(expected).ok_or(ReceiptError::Malformed(self.name))?;
        Ok(self)
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<String, ReceiptError> {
        let plain = self.plain().map(ToString::to_string);
        plain.or_else(|| self.escaped()).ok_or(ReceiptError::Malformed(self.name))
    }

    /// A string whose text is one of something else, each of which has one text alone, without escapes.
    pub(super) fn named<T>(&mut self, read: impl FnOnce(&'t str) -> Option<T>) -> Result<T, ReceiptError> {
        self.plain().and_then(read).ok_or(ReceiptError::Malformed(self.name))
    }

    /// `N` bytes in lower-case hex.
    pub(super) fn hex<const N: usize>(&mut self, prefix: &str) -> Result<[u8; N], ReceiptError> {
        let mut bytes = [0; N];
        self.named(|text| read_hex(text.strip_prefix(prefix)?, &mut bytes))?;
        Ok(bytes)
    }

    /// A whole number of 0 to `most`, itself at most 2^53.
    pub(super) fn number(&mut self, most: u64) -> Result<u64, ReceiptError> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(count).unwrap_or_default();
        let is_canonical = digits == "0" || !digits.starts_with('0');
        let number = digits.parse().ok().filter(|number| is_canonical && *number <= most);
        self.rest = rest;
        number.ok_or(ReceiptError::Malformed(self.name))
    }

    /// What may be `null`.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ReceiptError>,
    ) -> Result<Option<T>, ReceiptError> {
        match self.rest.strip_prefix("null") {
            Some(rest) => {
                self.rest = rest;
                Ok(None)
            }
            None => read(self).map(Some),
        }
    }

    fn plain(&mut self) -> Option<&'t str> {
        let text = self.rest.strip_prefix('"')?;
        let end = text.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\')?;
        let (plain, rest) = text.split_at_checked(end)?;
        self.rest = rest.strip_prefix('"')?;
        Some(plain)
    }

    /// A string with escapes: each must be the one that RFC 8785 section 3.2.2.2 has for its character.
    fn escaped(&mut self) -> Option<String> {
        let mut is_escaped = false;
        let mut ends = |byte: u8| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        };
        let length = self.rest.strip_prefix('"')?.bytes().position(&mut ends)?;
        let (text, rest) = self.rest.split_at_checked(length.checked_add(2)?)?;
        let limits = Limits { bytes: text.len(), depth: 0, values: 1 };
        let value = json::parse(text.as_bytes(), limits).ok()?;
        let (value, mut again) = (value.as_str()?, String::with_capacity(text.len()));
        write_string(value, &mut again);
        self.rest = rest;
        (again == text).then(|| value.to_string())
    }
}

/// Why a text is no receipt: whether it is JSON at all, and in its canonical form, before what was found.
pub(super) fn why(text: &[u8], limits: Limits, found: ReceiptError) -> ReceiptError {
    match json::parse(text, limits) {
        Err(_) => ReceiptError::Malformed("strict JSON of at most 8192 bytes"),
        Ok(value) if !is_canonical(&value, text) => ReceiptError::NotCanonical,
        Ok(_) => found,
    }
}

fn is_canonical(value: &Value<'_>, text: &[u8]) -> bool {
    json::canonical_text(value).as_bytes() == text
}
