//! Lines judged by all processors, and taken in their order.

use super::export::{Export, Form};
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use portcullis_core::attestation::{AttestationError, Audit, AuditKeys, Broken, Checked, Culprit};
use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// What is wrong, and in which line of the file, from 1.
pub(super) struct Found {
    pub(super) broken: Broken,
    pub(super) line: u64,
}

/// Lines one after the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

type Judged = Vec<Result<Checked, (AttestationError, Option<Culprit>)>>;
type Job = (Chunk, SyncSender<Judged>);

/// Enough that handing over costs nothing beside judging, and so few that little waits.
const LINES_IN_CHUNK: usize = 256;
const BYTES_IN_CHUNK: usize = 1024 * 1024;

/// Takes all lines of an export, up to the first that is wrong.
pub(super) fn judge(
    export: &mut Export,
    keys: &AuditKeys,
    audit: &mut Audit,
    progress: &ProgressBar,
) -> Result<Option<Found>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (gate, form) = (export.header.gate.clone(), export.form);
    thread::scope(|scope| {
        // Dropped at the end of this closure, which ends the workers.
        let (sender, receiver) = sync_channel::<Job>(threads);
        let jobs = std::sync::Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (jobs, gate) = (std::sync::Arc::clone(&jobs), gate.as_str());
            scope.spawn(move || work(&jobs, keys, gate, form));
        }
        let mut order = Order { audit, keys, line: 1, waiting: VecDeque::new() };
        loop {
            let chunk = Chunk::read(export, progress)?;
            let is_last = chunk.ends.is_empty();
            if !is_last {
                let (answer, judged) = sync_channel(1);
                sender.send((chunk, answer)).context("a thread that judges has ended")?;
                order.waiting.push_back(judged);
            }
            // Twice as many as can be worked on, so that nobody waits for the next.
            let most = if is_last { 0 } else { threads.saturating_mul(2) };
            while order.waiting.len() > most {
                if let Some(found) = order.take()? {
                    return Ok(Some(found));
                }
            }
            if is_last {
                return Ok(None);
            }
        }
    })
}

fn work(jobs: &Mutex<Receiver<Job>>, keys: &AuditKeys, gate: &str, form: Form) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((chunk, answer)) = job else { return };
        // Whoever asked may have found something wrong meanwhile, and gone.
        if answer.send(chunk.judge(keys, gate, form)).is_err() {
            return;
        }
    }
}

/// Lines that are being judged, and what takes them in their order.
struct Order<'a> {
    audit: &'a mut Audit,
    keys: &'a AuditKeys,
    line: u64,
    waiting: VecDeque<Receiver<Judged>>,
}

impl Order<'_> {
    /// Takes the first of the chunks.
    fn take(&mut self) -> Result<Option<Found>> {
        let Some(judged) = self.waiting.pop_front() else { return Ok(None) };
        for checked in judged.recv().context("a thread that judges has ended")? {
            self.line = self.line.saturating_add(1);
            let taken = match checked {
                Ok(checked) => self.audit.add(self.keys, checked),
                Err((error, record)) => Err(Broken { error, index: self.audit.index(), record }),
            };
            if let Err(broken) = taken {
                return Ok(Some(Found { broken, line: self.line }));
            }
        }
        Ok(None)
    }
}

impl Chunk {
    fn read(export: &mut Export, progress: &ProgressBar) -> Result<Self> {
        let mut chunk = Chunk::default();
        while chunk.ends.len() < LINES_IN_CHUNK && chunk.bytes.len() < BYTES_IN_CHUNK {
            let read = export.next(&mut chunk.bytes)?;
            if read == 0 {
                break;
            }
            chunk.ends.push(chunk.bytes.len());
            progress.inc(u64::try_from(read)?);
        }
        Ok(chunk)
    }

    fn judge(&self, keys: &AuditKeys, gate: &str, form: Form) -> Judged {
        let mut from = 0;
        let mut judged = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            let line = self.bytes.get(from..*end).unwrap_or_default();
            from = *end;
            judged.push(match form.text(line) {
                Some(text) => keys.check(gate, &text),
                None => Err((AttestationError::DocumentMalformed("a line as the service writes it"), None)),
            });
        }
        judged
    }
}
