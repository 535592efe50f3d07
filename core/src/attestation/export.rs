//! A log as a file: JSON Lines, in the log's order, for whoever audits it.
//!
//! A header; what retention has removed; before a lane's first record what it follows on;
//! the records' own texts; checkpoints where the log had just so many records; a trailer.

use super::error::document;
use super::log::Frontier;
use super::{AttestationError, Hash, LaneId};
use crate::base64;
use crate::config::KeyConfig;
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::live::{Members, hex, owned, whole};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The first line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExportHeader {
    /// Whether no record is left out: only then can a missing one be found.
    pub complete: bool,
    /// The log's index of the first record, those counted that retention has removed.
    pub first_index: u64,
    /// The gate's id.
    pub gate: String,
}

/// A line between header and trailer that is no record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExportLine {
    /// The checkpoint of the log up to here.
    Checkpoint(String),
    /// What a lane's first record, which comes next, follows on.
    Lane {
        /// The lane.
        lane: LaneId,
        /// The chain hash of an earlier record, or zeros.
        previous: Hash,
    },
    /// All records before here were removed; of them there is the tree's right edge.
    Pruned(Frontier),
}

/// The last line.
#[derive(Clone, Debug)]
pub struct ExportTrailer {
    /// The checkpoint of the log that ends with the export.
    pub checkpoint: String,
    /// How many records stand in it.
    pub count: u64,
    /// The keys by which records are signed, for people: an audit goes by the auditor's own.
    pub keys: Vec<KeyConfig>,
}

/// The longest line that is read: a trailer with some thousand keys.
pub const MAX_LINE: usize = 1024 * 1024;

const LIMITS: Limits = Limits { bytes: MAX_LINE, depth: 4, values: 32 * 1024 };

const KIND: &str = "portcullis-attestations";

impl ExportHeader {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        let members = [
            ("complete", Value::from(self.complete)),
            ("export", Value::from(KIND)),
            ("first_index", whole(self.first_index)),
            ("gate", owned(&self.gate)),
            ("version", Value::from(1)),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(line: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(line)?;
        let known = ["complete", "export", "first_index", "gate", "version"];
        let members = Members::of(&value, &known).map_err(document)?;
        if members.text("export").map_err(document)? != KIND {
            return Err(AttestationError::DocumentMalformed("export"));
        }
        if members.number("version").map_err(document)? != 1 {
            return Err(AttestationError::DocumentMalformed("version"));
        }
        let complete = members.required("complete").map_err(document)?.as_bool();
        Ok(ExportHeader {
            complete: complete.ok_or(AttestationError::DocumentMalformed("complete"))?,
            first_index: members.number("first_index").map_err(document)?,
            gate: members.text("gate").map_err(document)?.to_string(),
        })
    }
}

impl ExportLine {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        let object = match self {
            ExportLine::Checkpoint(note) => Object::from([("checkpoint", owned(note))]),
            ExportLine::Lane { lane, previous } => Object::from([
                ("lane", owned(&base64::encode_url(lane))),
                ("previous", owned(&hex(previous))),
            ]),
            ExportLine::Pruned(frontier) => {
                let pruned = Object::from([
                    ("from", Value::from(0)),
                    ("frontier", owned(&frontier.to_text())),
                    ("to", whole(frontier.size())),
                ]);
                Object::from([("pruned", pruned.into())])
            }
        };
        canonical_text(&object.into())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(line: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(line)?;
        let members = Members::of(&value, &["checkpoint", "lane", "previous", "pruned"]).map_err(document)?;
        let count = value.as_object().map_or(0, Object::len);
        if let (Some(pruned), 1) = (members.optional("pruned"), count) {
            return pruned_line(pruned);
        }
        if members.optional("checkpoint").is_some() && count == 1 {
            return Ok(ExportLine::Checkpoint(members.text("checkpoint").map_err(document)?.to_string()));
        }
        if count != 2 {
            return Err(AttestationError::DocumentMalformed("the line"));
        }
        Ok(ExportLine::Lane {
            lane: members.base64url("lane").map_err(document)?,
            previous: members.hex("previous").map_err(document)?,
        })
    }
}

impl ExportTrailer {
    /// The line, without its newline.
    pub fn to_json(&self) -> String {
        let keys = self.keys.iter().map(|key| {
            let mut object =
                Object::from([("key_id", owned(&key.key_id)), ("public_key", owned(&key.public_key))]);
            for (name, time) in [("not_before", &key.not_before), ("not_after", &key.not_after)] {
                if let Some(time) = time {
                    object.set(name, owned(time));
                }
            }
            object.into()
        });
        let members = [
            ("checkpoint", owned(&self.checkpoint)),
            ("count", whole(self.count)),
            ("keys", Value::Array(keys.collect())),
        ];
        canonical_text(&Object::from(members).into())
    }

    /// Reads it, without the keys, which nobody goes by.
    ///
    /// # Errors
    /// [`AttestationError::DocumentMalformed`].
    pub fn read(line: &[u8]) -> Result<Self, AttestationError> {
        let value = parse(line)?;
        let members = Members::of(&value, &["checkpoint", "count", "keys"]).map_err(document)?;
        if members.required("keys").map_err(document)?.as_array().is_none() {
            return Err(AttestationError::DocumentMalformed("keys"));
        }
        Ok(ExportTrailer {
            checkpoint: members.text("checkpoint").map_err(document)?.to_string(),
            count: members.number("count").map_err(document)?,
            keys: Vec::new(),
        })
    }
}

fn pruned_line(value: &Value<'_>) -> Result<ExportLine, AttestationError> {
    let members = Members::of(value, &["from", "frontier", "to"]).map_err(document)?;
    if members.number("from").map_err(document)? != 0 {
        return Err(AttestationError::DocumentMalformed("pruned.from"));
    }
    let frontier = Frontier::from_text(members.text("frontier").map_err(document)?)
        .ok_or(AttestationError::DocumentMalformed("pruned.frontier"))?;
    if frontier.size() == 0 || members.number("to").map_err(document)? != frontier.size() {
        return Err(AttestationError::DocumentMalformed("pruned.to"));
    }
    Ok(ExportLine::Pruned(frontier))
}

fn parse(line: &[u8]) -> Result<Value<'_>, AttestationError> {
    json::parse(line, LIMITS).map_err(|_| AttestationError::DocumentMalformed("strict JSON of at most 1 MiB"))
}
