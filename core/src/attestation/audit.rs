//! The judgement of an export: line after line, in one pass.
//!
//! [`AuditKeys::check`] judges a line by itself and is most of the work: any number of
//! threads may do it. [`Audit::add`] then takes what it gave, in the order of the lines.

use super::export::{ExportHeader, ExportLine, ExportTrailer};
use super::log::Frontier;
use super::{AttestationError, Checkpoint, Decision, Hash, LaneId, Record};
use crate::base64;
use crate::config::{ConfigError, KeyConfig};
use crate::ed25519::sha256;
use crate::live::ServiceKeys;
use crate::time::UnixTime;
use crate::trust::Keys;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

/// Whom an auditor believes: keys that he has from elsewhere than the export.
#[derive(Debug)]
pub struct AuditKeys {
    gate: Keys,
    service: ServiceKeys,
}

/// A line that holds by itself.
#[derive(Debug)]
pub struct Checked(Kind);

#[derive(Debug)]
enum Kind {
    Checkpoint(Checkpoint),
    Lane(LaneId, Hash),
    Pruned(Frontier),
    Record(alloc::boxed::Box<Record>),
    Trailer(Checkpoint, u64),
}

/// An export that is being judged. Its memory grows with the log: about 50 bytes for each
/// record, so that a lane may follow on any record.
#[derive(Debug)]
pub struct Audit {
    header: ExportHeader,
    older: Option<Checkpoint>,
    frontier: Frontier,
    pruned: u64,
    /// The first half of each chain hash: nobody finds another text with the same.
    hashes: BTreeSet<[u8; 16]>,
    lanes: BTreeMap<LaneId, Last>,
    /// What the next record's lane begins at.
    root: Option<(LaneId, Hash)>,
    /// The keys of records that no checkpoint has covered, each with its first such record.
    uncovered: BTreeMap<Hash, (u64, Culprit)>,
    last_checkpoint: Option<Checkpoint>,
    verdict: Verdict,
    is_over: bool,
}

#[derive(Debug)]
struct Last {
    number: u64,
    hash: Hash,
}

/// What an audit found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Records in the export.
    pub records: u64,
    /// Records that retention had removed: of them only the tree tells.
    pub pruned: u64,
    /// Lanes.
    pub lanes: u64,
    /// Decisions, by their names.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Decisions that gaps stand for: not recorded, and known to be not.
    pub dropped: u64,
    /// The earliest and the latest record's time.
    pub period: Option<(UnixTime, UnixTime)>,
    /// The log's state at the end.
    pub checkpoint: Option<Checkpoint>,
    /// Whether the log is the older checkpoint's, grown; `None` where it could not be
    /// compared, or none was given.
    pub extends_older: Option<bool>,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// What is wrong.
    pub error: AttestationError,
    /// The index in the log, from 0, of the record where it shows.
    pub index: u64,
    /// That record, where it could be read.
    pub record: Option<Culprit>,
}

/// Which record it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Culprit {
    /// `att_…`
    pub id: String,
    /// Its lane.
    pub lane: LaneId,
    /// Its number there.
    pub number: u64,
}

impl AuditKeys {
    /// The keys of the gate's records, whose ids are the base64url of the public keys'
    /// SHA-256, and those of its control service. Times count: a key is good for what the
    /// log took while it was valid.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn new(gate: &[KeyConfig], service: &[KeyConfig]) -> Result<Self, ConfigError> {
        for (index, key) in gate.iter().enumerate() {
            let bytes = base64::decode_array::<32>(&key.public_key);
            if bytes.is_none_or(|bytes| base64::encode_url(&sha256(&bytes)) != key.key_id) {
                let path = alloc::format!("keys[{index}].key_id");
                return Err(ConfigError::new(path, "must be the base64url of the public key's SHA-256"));
            }
        }
        Ok(AuditKeys { gate: Keys::new(gate, "keys")?, service: ServiceKeys::new(service)? })
    }

    /// Judges a line by itself: records by their form and their signature, checkpoints by
    /// theirs. `gate` is the one that the header names.
    ///
    /// # Errors
    /// What is wrong, and which record it is where that can be read.
    pub fn check(&self, gate: &str, line: &[u8]) -> Result<Checked, (AttestationError, Option<Culprit>)> {
        // No other line has this member, and canonical text has it first.
        if line.starts_with(b"{\"access_mode\"") {
            let record = Record::read(line).map_err(|error| (error, None))?;
            let checked = self.check_record(gate, &record);
            return match checked {
                Ok(()) => Ok(Checked(Kind::Record(record.into()))),
                Err(error) => Err((error, Some(culprit(&record)))),
            };
        }
        self.check_other(gate, line).map(Checked).map_err(|error| (error, None))
    }

    /// Reads the checkpoint that an auditor has kept.
    ///
    /// # Errors
    /// [`AttestationError::CheckpointInvalid`].
    pub fn checkpoint(&self, gate: &str, note: &str) -> Result<Checkpoint, AttestationError> {
        Checkpoint::read(note, gate, &self.service, None)
    }

    fn check_record(&self, gate: &str, record: &Record) -> Result<(), AttestationError> {
        if record.gate() != gate {
            return Err(AttestationError::RecordMalformed("gate.gate_id"));
        }
        let id = base64::encode_url(record.key_id());
        let key = self.gate.whenever(&id).ok_or(AttestationError::KeyUnknown)?;
        record.verify(key)
    }

    fn check_other(&self, gate: &str, line: &[u8]) -> Result<Kind, AttestationError> {
        if let Ok(trailer) = ExportTrailer::read(line) {
            return Ok(Kind::Trailer(self.checkpoint(gate, &trailer.checkpoint)?, trailer.count));
        }
        Ok(match ExportLine::read(line)? {
            ExportLine::Checkpoint(note) => Kind::Checkpoint(self.checkpoint(gate, &note)?),
            ExportLine::Lane { lane, previous } => Kind::Lane(lane, previous),
            ExportLine::Pruned(frontier) => Kind::Pruned(frontier),
        })
    }

    fn is_valid(&self, key: &Hash, at: UnixTime) -> bool {
        self.gate.get(&base64::encode_url(key), at).is_some()
    }
}

impl Audit {
    /// An audit of the export with this header. `older` is a checkpoint that the auditor
    /// has kept: the log must be that one, grown.
    pub fn new(header: ExportHeader, older: Option<Checkpoint>) -> Self {
        Audit {
            header,
            older,
            frontier: Frontier::default(),
            pruned: 0,
            hashes: BTreeSet::new(),
            lanes: BTreeMap::new(),
            root: None,
            uncovered: BTreeMap::new(),
            last_checkpoint: None,
            verdict: Verdict::default(),
            is_over: false,
        }
    }

    /// The log's index of the next record.
    pub fn index(&self) -> u64 {
        self.pruned.saturating_add(self.verdict.records)
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing more can be judged then.
    pub fn add(&mut self, keys: &AuditKeys, line: Checked) -> Result<(), Broken> {
        let index = self.index();
        let broken = |error| Broken { error, index, record: None };
        if self.is_over {
            return Err(broken(AttestationError::DocumentMalformed(
                "the trailer, which must be the last line,",
            )));
        }
        match line.0 {
            Kind::Pruned(frontier) => self.begin_after(frontier).map_err(broken),
            Kind::Lane(lane, previous) => {
                // A lane's line stands before its first record.
                let before = self.root.replace((lane, previous));
                before.map_or(Ok(()), |_| Err(broken(AttestationError::SequenceGap)))
            }
            Kind::Record(record) => {
                let at = |error| Broken { error, index, record: Some(culprit(&record)) };
                self.add_record(keys, &record).map_err(at)
            }
            Kind::Checkpoint(checkpoint) => self.add_checkpoint(keys, checkpoint),
            Kind::Trailer(checkpoint, count) => {
                if count != self.verdict.records {
                    return Err(broken(AttestationError::LogTruncated));
                }
                if self.header.complete && self.header.first_index != self.pruned {
                    return Err(broken(AttestationError::DocumentMalformed("first_index")));
                }
                self.add_checkpoint(keys, checkpoint)?;
                self.is_over = true;
                Ok(())
            }
        }
    }

    /// What was found, once all lines were taken.
    ///
    /// # Errors
    /// [`AttestationError::LogTruncated`] where the trailer is missing;
    /// [`AttestationError::CheckpointInconsistent`] where the older checkpoint has more.
    pub fn finish(mut self) -> Result<Verdict, Broken> {
        let index = self.index();
        let broken = |error| Broken { error, index, record: None };
        let Some(checkpoint) = self.last_checkpoint.take().filter(|_| self.is_over) else {
            return Err(broken(AttestationError::LogTruncated));
        };
        if let Some(older) = &self.older {
            if older.size > checkpoint.size {
                return Err(broken(AttestationError::CheckpointInconsistent));
            }
            // Every log has an empty one as its beginning.
            if older.size == 0 {
                self.verdict.extends_older = Some(true);
            }
        }
        self.verdict.pruned = self.pruned;
        self.verdict.lanes = u64::try_from(self.lanes.len()).unwrap_or(u64::MAX);
        self.verdict.checkpoint = Some(checkpoint);
        Ok(self.verdict)
    }

    fn begin_after(&mut self, frontier: Frontier) -> Result<(), AttestationError> {
        if self.index() != 0 || !self.header.complete {
            return Err(AttestationError::DocumentMalformed("pruned, which must be the first line,"));
        }
        self.pruned = frontier.size();
        self.frontier = frontier;
        self.compare_with_older()
    }

    fn add_record(&mut self, keys: &AuditKeys, record: &Record) -> Result<(), AttestationError> {
        self.follow_lane(record)?;
        let index = self.index();
        self.hashes.insert(half(record.chain_hash()));
        if self.header.complete {
            self.frontier.push(record.leaf());
            self.uncovered.entry(*record.key_id()).or_insert_with(|| (index, culprit(record)));
        } else if !keys.is_valid(record.key_id(), record.timestamp()) {
            return Err(AttestationError::KeyRetired);
        }
        let verdict = &mut self.verdict;
        verdict.records = verdict.records.saturating_add(1);
        let decisions = verdict.decisions.entry(record.decision().name()).or_default();
        *decisions = decisions.saturating_add(1);
        if let (Decision::Gap, Some(dropped)) = (record.decision(), record.draft().dropped) {
            verdict.dropped = verdict.dropped.saturating_add(dropped.count);
        }
        let time = record.timestamp();
        let (first, last) = verdict.period.unwrap_or((time, time));
        verdict.period = Some((first.min(time), last.max(time)));
        self.compare_with_older()
    }

    /// Whether the record is the next of its lane.
    fn follow_lane(&mut self, record: &Record) -> Result<(), AttestationError> {
        let (number, root) = (record.number(), self.root.take());
        let is_partial = !self.header.complete;
        let next = Last { number, hash: *record.chain_hash() };
        if root.is_some_and(|(lane, _)| lane != *record.lane()) {
            return Err(AttestationError::SequenceGap);
        }
        let Some(last) = self.lanes.get(record.lane()) else {
            self.begin_lane(record, root.map(|(_, previous)| previous), is_partial)?;
            self.lanes.insert(*record.lane(), next);
            return Ok(());
        };
        if root.is_some() || number <= last.number {
            return Err(if self.hashes.contains(&half(record.chain_hash())) {
                AttestationError::RecordDoubled
            } else if number == last.number && number != 1 {
                AttestationError::SequenceRepeated
            } else {
                AttestationError::LaneRestarted
            });
        }
        let follows = last.number.checked_add(1) == Some(number);
        if !follows && !is_partial {
            return Err(AttestationError::SequenceGap);
        }
        if follows && !record.previous_fits(&last.hash) {
            return Err(AttestationError::ChainBroken);
        }
        self.lanes.insert(*record.lane(), next);
        Ok(())
    }

    fn begin_lane(
        &self,
        record: &Record,
        root: Option<Hash>,
        is_partial: bool,
    ) -> Result<(), AttestationError> {
        // Its first records may be among those that are not here.
        let may_begin_later = is_partial || self.pruned > 0;
        let Some(previous) = root else {
            return match (record.number(), may_begin_later) {
                (1, false) => Err(AttestationError::LaneRootUnknown),
                (_, false) => Err(AttestationError::SequenceGap),
                (_, true) => Ok(()),
            };
        };
        if record.number() != 1 {
            return Err(AttestationError::SequenceGap);
        }
        if previous != [0; 32] && !may_begin_later && !self.hashes.contains(&half(&previous)) {
            return Err(AttestationError::LaneRootUnknown);
        }
        if record.previous_fits(&previous) { Ok(()) } else { Err(AttestationError::ChainBroken) }
    }

    /// A checkpoint of the log up to here.
    fn add_checkpoint(&mut self, keys: &AuditKeys, checkpoint: Checkpoint) -> Result<(), Broken> {
        let index = self.index();
        let broken = |error| Err(Broken { error, index, record: None });
        if let Some(before) = &self.last_checkpoint
            && before.time > checkpoint.time
        {
            return broken(AttestationError::CheckpointInconsistent);
        }
        if self.header.complete {
            if checkpoint.size > self.frontier.size() {
                return broken(AttestationError::LogTruncated);
            }
            if checkpoint.size < self.frontier.size() || checkpoint.root != self.frontier.root() {
                return broken(AttestationError::LeafMismatch);
            }
            let retired = core::mem::take(&mut self.uncovered)
                .into_iter()
                .filter(|(key, _)| !keys.is_valid(key, checkpoint.time))
                .map(|(_, first)| first)
                .min_by_key(|(index, _)| *index);
            if let Some((index, culprit)) = retired {
                return Err(Broken { error: AttestationError::KeyRetired, index, record: Some(culprit) });
            }
        }
        self.last_checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Where the log has just as many records as the older checkpoint, it must be the same. Of a
    /// part there is no tree, and so nothing but an empty one is compared.
    fn compare_with_older(&mut self) -> Result<(), AttestationError> {
        let Some(older) = self.older.as_ref().filter(|older| older.size == self.frontier.size()) else {
            return Ok(());
        };
        if older.root != self.frontier.root() {
            return Err(AttestationError::CheckpointInconsistent);
        }
        self.verdict.extends_older = Some(true);
        Ok(())
    }
}

fn culprit(record: &Record) -> Culprit {
    Culprit { id: record.id(), lane: *record.lane(), number: record.number() }
}

fn half(hash: &Hash) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}
