//! Structured fields (RFC 9651), strictly, and as far as signatures and digests need them:
//! dictionaries of inner lists and of items, with the types of item that RFC 9421 knows
//! (those of RFC 8941: no dates, no display strings).
//!
//! Stricter than section 4.2: a key that is there twice is refused rather than the last one
//! taken, base64 has one encoding only, and no value goes on from one field line to the next.

use crate::base64;
use alloc::vec::Vec;

/// A member of a dictionary.
#[derive(Debug)]
pub(super) struct Member<'r> {
    pub(super) key: &'r str,
    pub(super) value: Value<'r>,
    pub(super) parameters: Vec<(&'r str, Item<'r>)>,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Value<'r> {
    Item(Item<'r>),
    /// An inner list: its strings that have no parameters, and `None` for all else.
    List(Vec<Option<&'r str>>),
}

/// An item without its parameters.
#[derive(Debug)]
pub(super) enum Item<'r> {
    /// A byte sequence, in base64.
    Bytes(&'r str),
    Integer(i64),
    /// A string as it stands between its quotes, escapes and all.
    Text(&'r str),
    /// A decimal, a token or a boolean, none of which anything here is made of.
    Other,
}

/// Why a field is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It is not what the RFC calls a dictionary.
    Malformed,
    /// It has a key twice.
    Doubled,
    /// It is longer than anyone needs.
    TooLong,
}

/// A signature's input has some 250 bytes, one of Ed25519 a hundred, and a proxy or two on
/// the way may add theirs.
const MAX_BYTES: usize = 8 * 1024;
const MAX_MEMBERS: usize = 8;
/// A proof covers six components and has six parameters; others may cover a few more.
const MAX_ENTRIES: usize = 16;

/// The members of a dictionary, of all its field lines; none if there are no lines.
pub(super) fn dictionary<'r>(lines: &mut dyn Iterator<Item = &'r [u8]>) -> Result<Vec<Member<'r>>, Fault> {
    let mut members: Vec<Member<'r>> = Vec::new();
    let mut bytes = 0_usize;
    for line in lines {
        bytes = bytes.saturating_add(line.len());
        if bytes > MAX_BYTES {
            return Err(Fault::TooLong);
        }
        let mut reader = Reader { rest: trimmed(line) };
        // At most as often as there are members, and each takes a byte at least.
        loop {
            let member = reader.member()?;
            if members.iter().any(|earlier| earlier.key == member.key) {
                return Err(Fault::Doubled);
            }
            if members.len() == MAX_MEMBERS {
                return Err(Fault::TooLong);
            }
            members.push(member);
            reader.skip(b" \t");
            if reader.rest.is_empty() {
                break;
            }
            reader.expect(b',')?;
            reader.skip(b" \t");
        }
    }
    Ok(members)
}

/// Without the white space around it that is no part of a field's value (RFC 9110 section 5.5).
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

struct Reader<'r> {
    rest: &'r [u8],
}

impl<'r> Reader<'r> {
    fn member(&mut self) -> Result<Member<'r>, Fault> {
        let key = self.key()?;
        let value = if !self.take(b'=') {
            Value::Item(Item::Other)
        } else if self.take(b'(') {
            Value::List(self.list()?)
        } else {
            Value::Item(self.item()?)
        };
        Ok(Member { key, value, parameters: self.parameters()? })
    }

    /// The rest of an inner list (section 4.2.1.2).
    fn list(&mut self) -> Result<Vec<Option<&'r str>>, Fault> {
        let mut entries = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Ok(entries);
            }
            if entries.len() == MAX_ENTRIES {
                return Err(Fault::TooLong);
            }
            let item = self.item()?;
            let is_plain = self.parameters()?.is_empty();
            entries.push(match item {
                Item::Text(text) if is_plain => Some(text),
                _ => None,
            });
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return Err(Fault::Malformed);
            }
        }
    }

    /// Section 4.2.3.2.
    fn parameters(&mut self) -> Result<Vec<(&'r str, Item<'r>)>, Fault> {
        let mut parameters: Vec<(&str, Item)> = Vec::new();
        while self.take(b';') {
            self.skip(b" ");
            let key = self.key()?;
            // One that is there twice is no other proof, but one that two readers read apart.
            if parameters.iter().any(|(earlier, _)| *earlier == key) {
                return Err(Fault::Malformed);
            }
            if parameters.len() == MAX_ENTRIES {
                return Err(Fault::TooLong);
            }
            let value = if self.take(b'=') { self.item()? } else { Item::Other };
            parameters.push((key, value));
        }
        Ok(parameters)
    }

    /// Section 4.2.3.3.
    fn key(&mut self) -> Result<&'r str, Fault> {
        match self.rest.first() {
            Some(b'a'..=b'z' | b'*') => {
                Ok(self.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
            }
            _ => Err(Fault::Malformed),
        }
    }

    /// Section 4.2.3.1.
    fn item(&mut self) -> Result<Item<'r>, Fault> {
        match self.rest.first() {
            Some(b'"') => self.text(),
            Some(b':') => {
                self.expect(b':')?;
                let text = self.run(|byte| byte != b':' && byte.is_ascii_graphic());
                self.expect(b':')?;
                base64::decode(text).ok_or(Fault::Malformed)?;
                Ok(Item::Bytes(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'?') => {
                self.expect(b'?')?;
                if self.take(b'0') || self.take(b'1') { Ok(Item::Other) } else { Err(Fault::Malformed) }
            }
            Some(b'*' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Ok(Item::Other)
            }
            _ => Err(Fault::Malformed),
        }
    }

    /// Section 4.2.5.
    fn text(&mut self) -> Result<Item<'r>, Fault> {
        self.expect(b'"')?;
        let start = self.rest;
        while let [first, rest @ ..] = self.rest {
            self.rest = match (*first, rest) {
                (b'"', _) => {
                    let length = start.len().saturating_sub(self.rest.len());
                    self.rest = rest;
                    let text = start.get(..length).and_then(|text| core::str::from_utf8(text).ok());
                    return text.map(Item::Text).ok_or(Fault::Malformed);
                }
                (b'\\', [b'"' | b'\\', rest @ ..]) => rest,
                (b'\\', _) => return Err(Fault::Malformed),
                (b' '..=b'~', rest) => rest,
                _ => return Err(Fault::Malformed),
            };
        }
        Err(Fault::Malformed)
    }

    /// Section 4.2.4.
    fn number(&mut self) -> Result<Item<'r>, Fault> {
        let is_negative = self.take(b'-');
        let digits = self.run(|byte| byte.is_ascii_digit());
        let has_fraction = self.take(b'.');
        if has_fraction {
            let fraction = self.run(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return if fits { Ok(Item::Other) } else { Err(Fault::Malformed) };
        }
        if digits.len() > 15 {
            return Err(Fault::Malformed);
        }
        let number: i64 = digits.parse().map_err(|_| Fault::Malformed)?;
        Ok(Item::Integer(if is_negative { number.saturating_neg() } else { number }))
    }

    fn take(&mut self, byte: u8) -> bool {
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(Fault::Malformed) }
    }

    fn skip(&mut self, space: &[u8]) {
        while let [first, rest @ ..] = self.rest
            && space.contains(first)
        {
            self.rest = rest;
        }
    }

    /// What comes next of such bytes, which are ASCII.
    fn run(&mut self, is_part: fn(u8) -> bool) -> &'r str {
        let length = self.rest.iter().take_while(|byte| is_part(**byte)).count();
        let (run, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        core::str::from_utf8(run).unwrap_or_default()
    }
}
