//! An export of a gate's records, judged as it is read.
//!
//! As `portcullis audit verify`, which this follows word for word; but what comes after the
//! first thing that is wrong is still judged line by line, so that a page can mark all lines
//! that are wrong by themselves.

use crate::answer::{Answer, answer, count, optional, owned, thrown};
use crate::input::{Given, Unusable, json, keys};
use crate::log::facts;
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::attestation::export::{ExportHeader, MAX_LINE};
use portcullis_core::attestation::{AttestationError, Audit, AuditKeys, Broken, Culprit, Verdict};
use portcullis_core::base64;
use portcullis_core::json::{Limits, Object, Value, canonical_text, parse};
use wasm_bindgen::prelude::wasm_bindgen;

/// The longest line of either form: a string's escapes at most double what has no control
/// characters in it.
const LONGEST: usize = 2 * MAX_LINE;

/// An audit under way. Its memory grows with the log: about 50 bytes for each record.
#[wasm_bindgen]
pub struct LogAudit {
    keys: AuditKeys,
    /// A checkpoint kept from an earlier audit.
    older: Option<String>,
    begun: Option<Begun>,
    /// What of a line has come.
    partial: Vec<u8>,
    /// Lines so far.
    line: u64,
}

struct Begun {
    gate: String,
    complete: bool,
    has_older: bool,
    form: Form,
    audit: Audit,
    /// The first thing that is wrong: from there on, no order is judged.
    broken: Option<(Broken, u64)>,
}

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One JSON text each.
    Lines,
    /// One string each, in one JSON object.
    Object,
}

#[wasm_bindgen]
impl LogAudit {
    /// An audit by these keys: JSON of `keys`, those of the gate's records, and
    /// `service_keys`, as the control service serves them. `checkpoint` is one kept from an
    /// earlier audit.
    ///
    /// # Errors
    /// What is wrong with the keys.
    #[wasm_bindgen(constructor)]
    pub fn new(keys: &[u8], checkpoint: Option<String>) -> Result<LogAudit, String> {
        let keys = read_keys(keys).map_err(|unusable| thrown(&unusable))?;
        Ok(LogAudit { keys, older: checkpoint, begun: None, partial: Vec::new(), line: 0 })
    }

    /// Takes the next line, without its newline; gives what is wrong with it, if anything.
    ///
    /// # Errors
    /// The first line is no header of an export, or the checkpoint cannot be compared with.
    pub fn push(&mut self, line: &[u8]) -> Result<Option<String>, String> {
        let found = self.take(line).map_err(|unusable| thrown(&unusable))?;
        Ok(found.map(|found| canonical_text(&found)))
    }

    /// Takes the next bytes of the file, wherever they end; gives a list of what is wrong.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn write(&mut self, bytes: &[u8]) -> Answer {
        answer(self.take_bytes(bytes))
    }

    /// Ends the audit, after the last line: the verdict.
    ///
    /// # Errors
    /// Nothing was read, or the checkpoint cannot be compared with.
    pub fn finish(mut self) -> Answer {
        answer(self.end())
    }

    /// Lines taken.
    #[wasm_bindgen(getter)]
    #[expect(clippy::cast_precision_loss, reason = "no file has 2^53 lines")]
    pub fn lines(&self) -> f64 {
        self.line as f64
    }

    /// Records taken in their order, up to the first thing that was wrong.
    #[wasm_bindgen(getter)]
    #[expect(clippy::cast_precision_loss, reason = "no log has 2^53 records")]
    pub fn records(&self) -> f64 {
        self.begun.as_ref().map_or(0.0, |begun| begun.audit.index() as f64)
    }
}

impl LogAudit {
    fn take(&mut self, line: &[u8]) -> Result<Option<Value<'static>>, Unusable> {
        self.line = self.line.saturating_add(1);
        match &mut self.begun {
            None => {
                let begun = Begun::read(line, &self.keys, self.older.as_deref())?;
                self.begun = Some(begun);
                Ok(None)
            }
            Some(begun) => Ok(begun.take(&self.keys, line, self.line)),
        }
    }

    fn take_bytes(&mut self, bytes: &[u8]) -> Result<Value<'static>, Unusable> {
        let mut found = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // What follows the last newline is not yet a line.
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() {
                found.extend(self.take(piece)?);
                continue;
            }
            self.partial.extend_from_slice(piece);
            let line = core::mem::take(&mut self.partial);
            found.extend(self.take(&line)?);
        }
        self.partial.extend_from_slice(rest);
        // One byte more than any line may have: what it is does not matter, and is not kept.
        self.partial.truncate(LONGEST.saturating_add(1));
        Ok(Value::Array(found))
    }

    fn end(&mut self) -> Result<Object<'static>, Unusable> {
        if !self.partial.is_empty() {
            let line = core::mem::take(&mut self.partial);
            self.take(&line)?;
        }
        let Some(begun) = self.begun.take() else { return Err(no_header()) };
        let (gate, complete) = (begun.gate, begun.complete);
        if let Some((broken, line)) = begun.broken {
            return Ok(wrong(&gate, &broken, Some(line)));
        }
        match begun.audit.finish() {
            Err(broken) => Ok(wrong(&gate, &broken, None)),
            Ok(verdict) if begun.has_older && verdict.extends_older.is_none() => Err(Unusable::new(
                "CHECKPOINT_NOT_COMPARABLE",
                "the checkpoint counts fewer records than retention has removed: keep one of each audit",
            )),
            Ok(verdict) => Ok(whole(gate, complete, &verdict)),
        }
    }
}

impl Begun {
    fn read(line: &[u8], keys: &AuditKeys, older: Option<&str>) -> Result<Self, Unusable> {
        let object = line.strip_prefix(b"{\"header\":").and_then(|rest| rest.strip_suffix(b",\"lines\":["));
        let (header, form) = match object {
            Some(header) => (header, Form::Object),
            None => (line, Form::Lines),
        };
        let header = ExportHeader::read(header).map_err(|_| no_header())?;
        let older = older.map(|note| {
            keys.checkpoint(&header.gate, note)
                .map_err(|error| Unusable::new("CHECKPOINT_INVALID", &error.to_string()))
        });
        let older = older.transpose()?;
        if older.is_some() && !header.complete {
            let detail = "an export that leaves records out cannot be compared with a checkpoint";
            return Err(Unusable::new("CHECKPOINT_NOT_COMPARABLE", detail));
        }
        Ok(Begun {
            gate: header.gate.clone(),
            complete: header.complete,
            has_older: older.is_some(),
            form,
            audit: Audit::new(header, older),
            broken: None,
        })
    }

    /// What is wrong with a line, in its place or, after the first that was wrong, by itself.
    fn take(&mut self, keys: &AuditKeys, line: &[u8], number: u64) -> Option<Value<'static>> {
        // A list without elements is an empty line.
        if line.is_empty() && self.form == Form::Object {
            return None;
        }
        let malformed = AttestationError::DocumentMalformed("a line as the service writes it");
        let checked = match self.form.text(line).filter(|_| line.len() <= LONGEST) {
            Some(text) => keys.check(&self.gate, &text),
            None => Err((malformed, None)),
        };
        let index = self.audit.index();
        if self.broken.is_some() {
            let (error, record) = checked.err()?;
            // Of the log's index nothing is known any more.
            return Some(finding(error, Some(number), None, record.as_ref()).into());
        }
        let broken = match checked {
            Ok(checked) => self.audit.add(keys, checked).err()?,
            Err((error, record)) => Broken { error, index, record },
        };
        let found = finding(broken.error, Some(number), Some(broken.index), broken.record.as_ref());
        self.broken = Some((broken, number));
        Some(found.into())
    }
}

impl Form {
    /// What a line says, or `None` where it is not of this form.
    fn text(self, line: &[u8]) -> Option<Cow<'_, [u8]>> {
        const STRING: Limits = Limits { bytes: LONGEST, depth: 1, values: 1 };
        if self == Form::Lines {
            return Some(Cow::Borrowed(line));
        }
        if let Some(trailer) = line.strip_prefix(b"],\"trailer\":") {
            return trailer.strip_suffix(b"}").map(Cow::Borrowed);
        }
        match parse(line.strip_suffix(b",").unwrap_or(line), STRING).ok()? {
            Value::String(text) => Some(Cow::Owned(text.into_owned().into_bytes())),
            _ => None,
        }
    }
}

fn read_keys(text: &[u8]) -> Result<AuditKeys, Unusable> {
    let value = json(text)?;
    let given = Given::of("keys", &value, &["keys", "service_keys"])?;
    AuditKeys::new(&keys(given.list("keys")?)?, &keys(given.list("service_keys")?)?)
        .map_err(|error| Unusable::new("INVALID_KEYS", &error.to_string()))
}

fn no_header() -> Unusable {
    Unusable::new("NOT_AN_EXPORT", "line 1 is no header of an export of attestations")
}

/// What is wrong, and where.
fn finding(
    error: AttestationError,
    line: Option<u64>,
    index: Option<u64>,
    record: Option<&Culprit>,
) -> Object<'static> {
    let record = record.map(|record| {
        Object::from([
            ("attestation_id", owned(record.id.clone())),
            ("lane", owned(base64::encode_url(&record.lane))),
            ("sequence_number", count(record.number)),
        ])
    });
    Object::from([
        ("detail", owned(error.to_string())),
        ("index", index.map_or(Value::Null, count)),
        ("line", line.map_or(Value::Null, count)),
        ("reason_code", Value::from(error.code())),
        ("record", record.map_or(Value::Null, Value::from)),
    ])
}

/// The verdict on an export in which something is wrong.
fn wrong(gate: &str, broken: &Broken, line: Option<u64>) -> Object<'static> {
    let mut object = finding(broken.error, line, Some(broken.index), broken.record.as_ref());
    object.set("gate", owned(gate));
    object.set("valid", false.into());
    object
}

/// The verdict on an export that is whole.
fn whole(gate: String, complete: bool, verdict: &Verdict) -> Object<'static> {
    let mut decisions = Object::default();
    for (name, number) in &verdict.decisions {
        decisions.set(name, count(*number));
    }
    let checkpoint = verdict.checkpoint.as_ref().map_or(Value::Null, |last| facts(last).into());
    Object::from([
        ("checkpoint", checkpoint),
        ("complete", complete.into()),
        ("decisions", decisions.into()),
        ("dropped", count(verdict.dropped)),
        ("extends_older", verdict.extends_older.map_or(Value::Null, Value::from)),
        ("first_at", optional(verdict.period.map(|(first, _)| first.to_iso()))),
        ("gate", owned(gate)),
        ("lanes", count(verdict.lanes)),
        ("last_at", optional(verdict.period.map(|(_, last)| last.to_iso()))),
        ("pruned", count(verdict.pruned)),
        ("records", count(verdict.records)),
        ("valid", true.into()),
    ])
}
