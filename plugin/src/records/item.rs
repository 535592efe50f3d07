//! A record as it waits in the queue, and what is sent with it.

use alloc::vec::Vec;
use portcullis_core::attestation::Unsigned;

/// A record, and the line of a batch that follows it: a receipt's attachment, or nothing.
pub(super) struct Item<'i> {
    pub(super) record: Unsigned,
    pub(super) attachment: &'i str,
}

/// How it stands in a queue: the record, and after a newline, which no record has, what follows it.
pub(super) fn pack(record: &Unsigned, attachment: &str) -> Vec<u8> {
    let mut bytes = record.to_bytes();
    if !attachment.is_empty() {
        bytes.push(b'\n');
        bytes.extend_from_slice(attachment.as_bytes());
    }
    bytes
}

/// Reads it.
pub(super) fn unpack(bytes: &[u8]) -> Option<Item<'_>> {
    // Before the text stand lengths, of which a byte may be any.
    const LENGTHS: usize = 6;
    let text = bytes.get(LENGTHS..)?;
    let end = text.iter().position(|byte| *byte == b'\n');
    let (record, attachment) = match end.and_then(|end| end.checked_add(LENGTHS)) {
        Some(end) => (bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?),
        None => (bytes, [].as_slice()),
    };
    Some(Item { record: Unsigned::from_bytes(record)?, attachment: core::str::from_utf8(attachment).ok()? })
}
