//! A record as it waits in the queue, and what is sent with it.

use alloc::vec::Vec;
use portcullis_core::attestation::Unsigned;

/// A record, and the line of a batch that follows it: a receipt's attachment, or nothing.
pub(super) struct Item<'i> {
    pub(super) record: Unsigned,
    pub(super) attachment: &'i str,
}

/// How it stands in a queue: the record's length in two bytes, little endian, the record, and
/// what follows it.
pub(super) fn pack(record: &Unsigned, attachment: &str) -> Vec<u8> {
    let record = record.to_bytes();
    // A record has 4 KiB at most.
    let length = u16::try_from(record.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes(), record.as_slice(), attachment.as_bytes()].concat()
}

/// Reads it.
pub(super) fn unpack(bytes: &[u8]) -> Option<Item<'_>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (record, attachment) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let attachment = core::str::from_utf8(attachment).ok()?;
    Some(Item { record: Unsigned::from_bytes(record)?, attachment })
}
