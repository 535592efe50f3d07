//! Checkpoints: what a log is, signed by the control service (C2SP tlog-checkpoint).

use super::note::{self, Note};
use super::{AttestationError, Hash};
use crate::base64;
use crate::ed25519::SecretKey;
use crate::live::ServiceKeys;
use crate::time::UnixTime;
use alloc::string::{String, ToString};

/// The state of one gate's log. As a note it has four lines: origin, size, root in base64,
/// and `time` with the time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// `<authority>/<gate id>`; also the name of the key.
    pub origin: String,
    /// How many leaves the log has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// When this was so.
    pub time: UnixTime,
}

/// The longest checkpoint that is read.
const MAX_CHECKPOINT: usize = 8 * 1024;

impl Checkpoint {
    /// The note, signed by all these keys.
    pub fn sign(&self, keys: &[&SecretKey]) -> String {
        note::sign(&self.text(), &self.origin, keys)
    }

    /// Reads the checkpoint of this gate's log. Keys count as they are valid `at` that time:
    /// a gate's own time, or the checkpoint's where it is `None`, as one of last year is by a
    /// key of last year.
    ///
    /// # Errors
    /// [`AttestationError::CheckpointInvalid`].
    pub fn read(
        signed: &str,
        gate: &str,
        keys: &ServiceKeys,
        at: Option<UnixTime>,
    ) -> Result<Self, AttestationError> {
        Self::read_note(signed, gate, keys, at).ok_or(AttestationError::CheckpointInvalid)
    }

    fn read_note(signed: &str, gate: &str, keys: &ServiceKeys, at: Option<UnixTime>) -> Option<Self> {
        let note = Note::read(signed).filter(|_| signed.len() <= MAX_CHECKPOINT)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        let authority = checkpoint.origin.strip_suffix(gate)?.strip_suffix('/')?;
        let is_of_gate = !authority.is_empty() && !authority.bytes().any(|byte| byte == b'/');
        let keys = keys.at(at.unwrap_or(checkpoint.time));
        (is_of_gate && note.is_signed(&checkpoint.origin, keys)).then_some(checkpoint)
    }

    /// What a note's text says.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let checkpoint = Checkpoint {
            origin: lines.next()?.to_string(),
            size: lines.next()?.parse().ok()?,
            root: base64::decode_array(lines.next()?)?,
            time: UnixTime::from_iso(lines.next()?.strip_prefix("time ")?)?,
        };
        // Also what `parse` lets be: a plus, zeros before the number, lines after these.
        (checkpoint.text() == text).then_some(checkpoint)
    }

    fn text(&self) -> String {
        let (size, root, time) = (self.size.to_string(), base64::encode(&self.root), self.time.to_iso());
        [&self.origin, "\n", &size, "\n", &root, "\ntime ", &time, "\n"].concat()
    }
}
