//! What gate and control service tell each other about records.

use super::error::document;
use super::log::{Frontier, verify_consistency};
use super::{AttestationError, Checkpoint, Hash, LaneId};
use crate::base64;
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::live::{Members, ServiceKeys, hex, owned, whole};
use crate::receipt::Attachment;
use crate::time::UnixTime;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The most records of a batch.
pub const MAX_BATCH_RECORDS: usize = 256;

/// The most bytes of a batch, its head and all newlines counted.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// A gate opens a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneQuestion {
    /// The lane.
    pub lane: LaneId,
    /// The key that signs its records.
    pub attestation_key_id: String,
}

/// Where it begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneAnswer {
    /// The chain hash that its first record follows on: the last of the gate's log, or zeros.
    pub previous: Hash,
    /// The number that the service expects next.
    pub next: u64,
    /// The log's checkpoint.
    pub checkpoint: String,
}

/// A batch's first line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchHead {
    /// How many decisions this lane could not record so far.
    pub dropped: u64,
    /// What the gate knows of the log.
    pub known: Option<Known>,
    /// The lane.
    pub lane: LaneId,
    /// The highest number that waits.
    pub waiting: u64,
}

/// Records on their way to the log.
#[derive(Clone, Debug)]
pub struct Batch<'b> {
    /// Its first line.
    pub head: BatchHead,
    /// The records.
    pub records: Vec<BatchRecord<'b>>,
}

/// A record in a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'b> {
    /// Its text.
    pub text: &'b [u8],
    /// The line after it, where that is the [`Attachment`] of a receipt.
    pub attachment: Option<&'b [u8]>,
}

/// What the service answers to a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchAnswer {
    /// The checkpoint of the log that ends with the batch.
    pub checkpoint: String,
    /// That what the gate knew is the beginning of it.
    pub consistency: Vec<Hash>,
    /// The index of the batch's first record in the log.
    pub first_index: u64,
    /// The right edge of the log before the batch.
    pub frontier: Vec<Hash>,
}

/// What is known of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Two short members, or five.
const SMALL: Limits = Limits { bytes: 1024, depth: 1, values: 6 };

/// A checkpoint, and two lists of at most 64 hashes.
const ANSWER: Limits = Limits { bytes: 32 * 1024, depth: 2, values: 140 };

impl LaneQuestion {
    /// The call's body.
    pub fn to_json(&self) -> String {
        let members = [
            ("attestation_key_id", owned(&self.attestation_key_id)),
            ("lane", owned(&base64::encode_url(&self.lane))),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(body: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(body, SMALL)?;
        let members = Members::of(&value, &["attestation_key_id", "lane"]).map_err(document)?;
        Ok(LaneQuestion {
            lane: members.base64url("lane").map_err(document)?,
            attestation_key_id: members.text("attestation_key_id").map_err(document)?.to_string(),
        })
    }
}

impl LaneAnswer {
    /// The answer's body.
    pub fn to_json(&self) -> String {
        let members = [
            ("checkpoint", owned(&self.checkpoint)),
            ("next", whole(self.next)),
            ("previous", owned(&hex(&self.previous))),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it. Its checkpoint is not judged by that.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(body: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(body, ANSWER)?;
        let members = Members::of(&value, &["checkpoint", "next", "previous"]).map_err(document)?;
        Ok(LaneAnswer {
            previous: members.hex("previous").map_err(document)?,
            next: members.number("next").map_err(document)?,
            checkpoint: members.text("checkpoint").map_err(document)?.to_string(),
        })
    }
}

impl BatchHead {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        let root = self.known.map_or(Value::Null, |known| owned(&hex(&known.root)));
        let members = [
            ("dropped", whole(self.dropped)),
            ("known_root", root),
            ("known_size", whole(self.known.map_or(0, |known| known.size))),
            ("lane", owned(&base64::encode_url(&self.lane))),
            ("waiting", whole(self.waiting)),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(line: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(line, SMALL)?;
        let known = ["dropped", "known_root", "known_size", "lane", "waiting"];
        let members = Members::of(&value, &known).map_err(document)?;
        let size = members.number("known_size").map_err(document)?;
        let root = members.required("known_root").map_err(document)?;
        let known = match root {
            Value::Null if size == 0 => None,
            Value::Null => return Err(AttestationError::DocumentMalformed("known_root")),
            _ => Some(Known { size, root: members.hex("known_root").map_err(document)? }),
        };
        Ok(BatchHead {
            dropped: members.number("dropped").map_err(document)?,
            known,
            lane: members.base64url("lane").map_err(document)?,
            waiting: members.number("waiting").map_err(document)?,
        })
    }
}

impl<'b> Batch<'b> {
    /// Takes a batch apart into its lines. The records are not read by that.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(body: &'b [u8]) -> Result<Self, AttestationError> {
        let malformed = AttestationError::DocumentMalformed;
        if body.len() > MAX_BATCH_BYTES {
            return Err(malformed("a batch of at most 512 KiB"));
        }
        let lines = body.strip_suffix(b"\n").ok_or(malformed("the newline after each record"))?;
        let mut lines = lines.split(|byte| *byte == b'\n');
        let head = BatchHead::read(lines.next().unwrap_or_default())?;
        let mut lines = lines.peekable();
        let mut records = Vec::new();
        while records.len() <= MAX_BATCH_RECORDS
            && let Some(text) = lines.next()
        {
            let attachment = lines.next_if(|line| Attachment::is_one(line));
            records.push(BatchRecord { text, attachment });
        }
        if records.is_empty() || records.len() > MAX_BATCH_RECORDS {
            return Err(malformed("1 to 256 records"));
        }
        Ok(Batch { head, records })
    }
}

impl BatchAnswer {
    /// The answer's body.
    pub fn to_json(&self) -> String {
        let list = |hashes: &[Hash]| {
            Value::Array(hashes.iter().map(|hash| owned(&base64::encode_url(hash))).collect())
        };
        let members = [
            ("checkpoint", owned(&self.checkpoint)),
            ("consistency", list(&self.consistency)),
            ("first_index", whole(self.first_index)),
            ("frontier", list(&self.frontier)),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it. Nothing of it is to be believed before [`verify_batch_answer`].
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(body: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(body, ANSWER)?;
        let known = ["checkpoint", "consistency", "first_index", "frontier"];
        let members = Members::of(&value, &known).map_err(document)?;
        Ok(BatchAnswer {
            checkpoint: members.text("checkpoint").map_err(document)?.to_string(),
            consistency: hashes(&members, "consistency")?,
            first_index: members.number("first_index").map_err(document)?,
            frontier: hashes(&members, "frontier")?,
        })
    }
}

/// Whether the log has taken these leaves, in this order, and is what it was before: the
/// checkpoint is of this gate and signed by a key that is valid now, its tree ends with
/// them, and what the gate knew is its beginning. Answers what the gate knows from then on.
///
/// # Errors
/// [`AttestationError::CheckpointInvalid`]; [`AttestationError::LeafMismatch`] where other
/// records than these stand there; [`AttestationError::CheckpointInconsistent`].
pub fn verify_batch_answer(
    answer: &BatchAnswer,
    gate: &str,
    keys: &ServiceKeys,
    now: UnixTime,
    leaves: &[Hash],
    known: Option<&Known>,
) -> Result<Known, AttestationError> {
    let checkpoint = Checkpoint::read(&answer.checkpoint, gate, keys, Some(now))?;
    let frontier = Frontier::new(answer.first_index, answer.frontier.clone());
    let mut frontier = frontier.ok_or(AttestationError::LeafMismatch)?;
    for leaf in leaves {
        frontier.push(*leaf);
    }
    if frontier.size() != checkpoint.size || frontier.root() != checkpoint.root {
        return Err(AttestationError::LeafMismatch);
    }
    if let Some(known) = known
        && !verify_consistency(
            known.size,
            &known.root,
            checkpoint.size,
            &checkpoint.root,
            &answer.consistency,
        )
    {
        return Err(AttestationError::CheckpointInconsistent);
    }
    Ok(Known { size: checkpoint.size, root: checkpoint.root })
}

fn parse(body: &[u8], limits: Limits) -> Result<Value<'_>, AttestationError> {
    json::parse(body, limits)
        .map_err(|_| AttestationError::DocumentMalformed("strict JSON of its kind's size"))
}

fn hashes(members: &Members<'_>, name: &'static str) -> Result<Vec<Hash>, AttestationError> {
    let malformed = AttestationError::DocumentMalformed(name);
    let elements = members.required(name).map_err(document)?.as_array().ok_or(malformed)?;
    let mut hashes = Vec::with_capacity(elements.len());
    for element in elements {
        let hash = element.as_str().and_then(base64::decode_url).and_then(|bytes| bytes.try_into().ok());
        hashes.push(hash.ok_or(malformed)?);
    }
    Ok(hashes)
}
