//! What can be wrong with records, checkpoints and what carries them.

use crate::live::LiveError;
use core::fmt;

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttestationError {
    /// A record's hash does not follow from the record before it in its lane: it, or one
    /// before it, was changed, taken out or moved.
    ChainBroken,
    /// A checkpoint is older than, or contradicts, one that is known.
    CheckpointInconsistent,
    /// A checkpoint is no signed note of this log by a key that is valid.
    CheckpointInvalid,
    /// A document about records is not of its form, at this member.
    DocumentMalformed(&'static str),
    /// The key was not valid when the log took the record.
    KeyRetired,
    /// No known key has the id that the record names.
    KeyUnknown,
    /// A lane begins at a hash that no earlier record of the log has.
    LaneRootUnknown,
    /// An old number stands on another record: the lane began again.
    LaneRestarted,
    /// The records do not make the tree that the checkpoint names.
    LeafMismatch,
    /// There are fewer records than the checkpoint counts.
    LogTruncated,
    /// The same record stands twice.
    RecordDoubled,
    /// The record is not of its form, at this member.
    RecordMalformed(&'static str),
    /// The record's text is not the canonical one of what it says.
    RecordNotCanonical,
    /// Numbers are missing in a lane.
    SequenceGap,
    /// A number of a lane comes again.
    SequenceRepeated,
    /// The signature is not one of this record by the key that it names.
    SignatureInvalid,
}

impl AttestationError {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            AttestationError::ChainBroken => "chain_broken",
            AttestationError::CheckpointInconsistent => "checkpoint_inconsistent",
            AttestationError::CheckpointInvalid => "checkpoint_invalid",
            AttestationError::DocumentMalformed(_) => "document_malformed",
            AttestationError::KeyRetired => "key_retired",
            AttestationError::KeyUnknown => "key_unknown",
            AttestationError::LaneRootUnknown => "lane_root_unknown",
            AttestationError::LaneRestarted => "lane_restarted",
            AttestationError::LeafMismatch => "leaf_mismatch",
            AttestationError::LogTruncated => "log_truncated",
            AttestationError::RecordDoubled => "record_doubled",
            AttestationError::RecordMalformed(_) => "record_malformed",
            AttestationError::RecordNotCanonical => "record_not_canonical",
            AttestationError::SequenceGap => "sequence_gap",
            AttestationError::SequenceRepeated => "sequence_repeated",
            AttestationError::SignatureInvalid => "signature_invalid",
        }
    }
}

impl fmt::Display for AttestationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            AttestationError::DocumentMalformed(member) | AttestationError::RecordMalformed(member) => {
                formatter.write_str(member)?;
                " is missing or not of its form"
            }
            AttestationError::ChainBroken => {
                "its hash does not follow from the record before it: one was changed, taken out or moved"
            }
            AttestationError::CheckpointInconsistent => {
                "the checkpoint contradicts one that was known before"
            }
            AttestationError::CheckpointInvalid => {
                "the checkpoint is no note of this log that a valid key of the service has signed"
            }
            AttestationError::KeyRetired => "its key was not valid when the log took it",
            AttestationError::KeyUnknown => "no known key has the id that it names",
            AttestationError::LaneRootUnknown => "its lane begins at a hash that no earlier record has",
            AttestationError::LaneRestarted => "its lane began again, with another record of an old number",
            AttestationError::LeafMismatch => "the records do not make the tree that the checkpoint names",
            AttestationError::LogTruncated => "there are fewer records than the checkpoint counts",
            AttestationError::RecordDoubled => "the same record stands there twice",
            AttestationError::RecordNotCanonical => "its text is not the canonical one (RFC 8785)",
            AttestationError::SequenceGap => "numbers before it are missing in its lane",
            AttestationError::SequenceRepeated => "its lane has had this number before",
            AttestationError::SignatureInvalid => "its signature is not one by the key that it names",
        };
        formatter.write_str(text)
    }
}

impl core::error::Error for AttestationError {}

/// For the readers that documents share.
pub(super) fn document(error: LiveError) -> AttestationError {
    match error {
        LiveError::Member(name) => AttestationError::DocumentMalformed(name),
        _ => AttestationError::DocumentMalformed("the document"),
    }
}

/// The same, in a record.
pub(super) fn record(error: LiveError) -> AttestationError {
    match error {
        LiveError::Member(name) => AttestationError::RecordMalformed(name),
        _ => AttestationError::RecordMalformed("the record"),
    }
}
