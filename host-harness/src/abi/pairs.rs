//! Header maps as the ABI serializes them: a count, the lengths of each name
//! and value, then the names and values, each with a NUL behind it; numbers
//! are little-endian `u32`.

use crate::Headers;
use crate::trace::shown as shown_bytes;

/// Reads a map. No bytes at all are an empty map. `None` if lengths, NULs or
/// the end are not where they have to be.
pub(super) fn parse(bytes: &[u8]) -> Option<Headers> {
    let mut headers = Headers::default();
    if bytes.is_empty() {
        return Some(headers);
    }
    let mut rest = bytes;
    let count = number(&mut rest)?;
    // Eight bytes of lengths each: a count that lies ends here.
    let lengths_size = usize::try_from(count).ok()?.checked_mul(8)?;
    let (mut lengths, mut texts) = rest.split_at_checked(lengths_size)?;
    for _ in 0..count {
        let (name, value) = (number(&mut lengths)?, number(&mut lengths)?);
        let name = text(&mut texts, name)?;
        headers.add(name, text(&mut texts, value)?);
    }
    texts.is_empty().then_some(headers)
}

/// Writes a map; an empty one is no bytes at all, as in Envoy.
pub(super) fn serialize(headers: &Headers) -> Vec<u8> {
    if headers.is_empty() {
        return Vec::new();
    }
    let mut bytes = length(headers.len()).to_vec();
    for (name, value) in headers.iter() {
        bytes.extend_from_slice(&length(name.len()));
        bytes.extend_from_slice(&length(value.len()));
    }
    for (name, value) in headers.iter() {
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

pub(super) fn shown(headers: &Headers) -> String {
    let pairs: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), shown_bytes(value)))
        .collect();
    format!("[{}]", pairs.join(", "))
}

/// A guest's memory ends at 4 GiB, so lengths that matter fit.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*first))
}

fn text<'b>(bytes: &mut &'b [u8], length: u32) -> Option<&'b [u8]> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest.strip_prefix(b"\0")?;
    Some(text)
}
