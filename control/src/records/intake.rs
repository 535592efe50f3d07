//! Records that gates bring: a lane is opened, then continued batch by batch. A batch is
//! looked at whole before anything is stored, and repeated as often as its gate likes.

use super::lane;
use super::log::Log;
use super::own::own_lane;
use super::store::{self, Entry};
use crate::App;
use crate::approvals;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::receipts;
use crate::time::{now, now_ms};
use anyhow::{Context, anyhow};
use axum::body::Bytes;
use axum::http::StatusCode;
use portcullis_core::attestation::{
    AttestationError, Batch, BatchAnswer, BatchHead, Hash, LaneAnswer, LaneQuestion, MAX_COST_CENTS, Record,
};
use portcullis_core::receipt::{Attachment, SignedReceipt};
use portcullis_core::{PublicKey, base64};
use sqlx::Row;
use std::collections::HashMap;

/// The keys that may sign a gate's records now, by their ids.
type Keys = HashMap<String, PublicKey>;

/// What a batch has come to.
#[derive(Debug)]
pub struct Taken {
    /// What the gate is told.
    pub answer: BatchAnswer,
    /// What the gate said beside.
    pub head: BatchHead,
    /// What was decided, by record; empty where all were known before.
    pub decisions: Vec<&'static str>,
    /// Decisions that the gate could not record, since it last said so.
    pub dropped: u64,
    /// The number of the last record.
    pub last_number: u64,
}

/// A batch that is good by itself.
struct Checked {
    head: BatchHead,
    entries: Vec<Entry>,
    /// What its place in the lane is still to be judged by.
    first: Record,
    /// Those that hold a request until a person answers.
    held: Vec<Record>,
    /// The receipts that records stand for, by their records' places.
    receipts: Vec<(usize, Brought)>,
    last_number: u64,
}

/// A receipt as it came, with what the agent signed.
struct Brought {
    signed: SignedReceipt,
    base: String,
}

/// Opens a lane, or says how it stands.
///
/// # Errors
/// 409 where the key that is named may sign nothing of this gate.
pub async fn open_lane(app: &App, gate: &str, asked: &LaneQuestion) -> ApiResult<LaneAnswer> {
    if asked.lane == own_lane(gate) {
        return Err(ApiError::invalid("lane", "is the service's own"));
    }
    let lane = base64::encode_url(&asked.lane);
    let mut tx = app.db.write().await?;
    if !keys(&mut tx, gate).await?.contains_key(&asked.attestation_key_id) {
        let message =
            "the key signs no records of this gate: enrol it, or its next key, with attestation_key";
        return Err(ApiError::new(StatusCode::CONFLICT, "key_unknown", message));
    }
    let locked = store::lock(&mut tx, gate).await?;
    let known = match lane::find(&mut tx, gate, &lane).await? {
        Some(known) => known,
        None => lane::make(&mut tx, gate, &lane, &asked.attestation_key_id, &locked).await?,
    };
    let root = Log::new(gate, locked.size).frontier(&mut tx, locked.size).await?.root();
    let checkpoint = store::checkpoint(app, gate, locked.size, root, now())?;
    tx.commit().await?;
    Ok(LaneAnswer { previous: known.last_hash, next: known.next, checkpoint })
}

/// Takes a batch: stores what is new, and answers what the gate can verify it by.
///
/// # Errors
/// 422 for what is no good batch, 409 for one that does not continue its lane or a log of
/// which the gate knows more; nothing is stored then.
pub async fn take(app: &App, gate: &str, body: Bytes) -> ApiResult<Taken> {
    let keys = keys(&mut app.db.read().await?, gate).await?;
    let owner = gate.to_owned();
    // A signature takes some fifty microseconds: a batch is checked where nobody waits.
    let checked = tokio::task::spawn_blocking(move || check(&body, &owner, &keys)).await;
    let Checked { head, entries, first, held, receipts, last_number } =
        checked.map_err(|error| anyhow!(error))??;
    if head.lane == own_lane(gate) {
        return Err(ApiError::invalid("lane", "is the service's own"));
    }
    let lane = base64::encode_url(&head.lane);
    let mut tx = app.db.write().await?;
    let locked = store::lock(&mut tx, gate).await?;
    // Again, as it may have ended meanwhile: the checkpoint's time is what counts later.
    let good = self::keys(&mut tx, gate).await?;
    if let Some(index) = entries.iter().position(|entry| !good.contains_key(&entry.key_id)) {
        return Err(refused(index, AttestationError::KeyRetired));
    }
    let Some(known) = lane::find(&mut tx, gate, &lane).await? else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "lane_unknown",
            "the lane is not open: open it first",
        ));
    };
    let is_new = first.number() == known.next;
    let (mut log, checkpoint, first_index);
    if is_new {
        if !first.previous_fits(&known.last_hash) {
            return Err(refused(0, AttestationError::ChainBroken));
        }
        first_index = locked.size;
        (log, checkpoint) = store::append(&mut tx, app, gate, &locked, &lane, &entries).await?;
    } else if last_number < known.next {
        first_index = repeated(&mut tx, gate, &lane, &entries).await?;
        log = Log::new(gate, locked.size);
        let size = end(first_index, &entries);
        let root = log.frontier(&mut tx, size).await?.root();
        checkpoint = store::checkpoint(app, gate, size, root, now())?;
    } else if first.number() > known.next {
        return Err(out_of_place("lane_gap", known.next, "records before these are missing"));
    } else {
        return Err(out_of_place("lane_overlap", known.next, "some of these are known: send them apart"));
    }
    let size = end(first_index, &entries);
    let consistency = must_continue(&mut tx, &mut log, &head, size).await?;
    let frontier = log.frontier(&mut tx, first_index).await?.hashes().to_vec();
    let dropped = head.dropped.saturating_sub(known.dropped);
    if dropped > 0 {
        sqlx::query("UPDATE record_lanes SET dropped = $1 WHERE gate_id = $2 AND lane = $3")
            .bind(head.dropped.cast_signed())
            .bind(gate)
            .bind(&lane)
            .execute(&mut *tx)
            .await?;
    }
    if is_new {
        for record in &held {
            approvals::on_record(&mut tx, app, record).await?;
        }
        for (place, Brought { signed, base }) in &receipts {
            let log_index = first_index.saturating_add(*place as u64);
            receipts::insert(&mut tx, signed, base, log_index).await?;
        }
    }
    tx.commit().await?;
    if is_new {
        app.metrics.receipts_taken(receipts.len());
    }
    let decisions = entries.iter().filter(|_| is_new).map(|entry| entry.decision.name()).collect();
    let answer = BatchAnswer { checkpoint, consistency, first_index, frontier };
    Ok(Taken { answer, head, decisions, dropped, last_number })
}

/// Everything that a batch shows by itself: its form, that all records are this gate's and
/// of one lane, their signatures, and that each follows on the one before.
fn check(body: &[u8], gate: &str, keys: &Keys) -> ApiResult<Checked> {
    let batch = Batch::read(body).map_err(|error| ApiError::invalid("body", error.to_string()))?;
    let mut records: Vec<Record> = Vec::with_capacity(batch.records.len());
    let mut entries = Vec::with_capacity(batch.records.len());
    let mut receipts = Vec::new();
    for (index, brought) in batch.records.iter().enumerate() {
        let refuse = |error| refused(index, error);
        let record = Record::read(brought.text).map_err(refuse)?;
        if record.gate() != gate {
            return Err(refuse(AttestationError::RecordMalformed("gate.gate_id, which is another gate's,")));
        }
        if *record.lane() != batch.head.lane {
            return Err(refuse(AttestationError::RecordMalformed("lane, which is not the head's,")));
        }
        let key = keys.get(&base64::encode_url(record.key_id()));
        let key = key.ok_or_else(|| refuse(AttestationError::KeyUnknown))?;
        record.verify(key).map_err(refuse)?;
        if let Some(before) = records.last() {
            if record.number() != before.number().saturating_add(1) {
                return Err(refuse(AttestationError::SequenceGap));
            }
            if !record.previous_fits(before.chain_hash()) {
                return Err(refuse(AttestationError::ChainBroken));
            }
        }
        if let Some(brought) = receipt(index, &record, brought.attachment, key)? {
            receipts.push((index, brought));
        }
        entries.push(Entry::new(&record, None));
        records.push(record);
    }
    let last_number = records.last().map_or(0, Record::number);
    let held = records.iter().filter(|record| record.draft().hold.is_some()).cloned().collect();
    let first = records.into_iter().next().context("a batch has a record")?;
    Ok(Checked { head: batch.head, entries, first, held, receipts, last_number })
}

/// The receipt that a record stands for: the one whose hash the record has, of its gate, and
/// signed by its key. Whether the agent's proof holds, a settlement judges: what is refused
/// here stays at the head of its lane, and no gate makes it that means well.
fn receipt(
    index: usize,
    record: &Record,
    attachment: Option<&[u8]>,
    key: &PublicKey,
) -> ApiResult<Option<Brought>> {
    let refuse = |code, problem: &str| {
        let field = format!("records[{index}].receipt");
        let message = format!("{field}: {problem}");
        let mut error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        error.field = Some(field);
        error
    };
    let (named, line) = match (&record.draft().receipt, attachment) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(refuse("receipt_missing", "the line after the record must have the receipt"));
        }
        (None, Some(_)) => return Err(refuse("receipt_unexpected", "the record stands for no receipt")),
        (Some(named), Some(line)) => (named, line),
    };
    let judge = |error: portcullis_core::receipt::ReceiptError| refuse(error.code(), &error.to_string());
    let Attachment { base, receipt } = Attachment::read(line).map_err(judge)?;
    let signed = SignedReceipt::read(receipt.as_bytes()).map_err(judge)?;
    if signed.hash() != named.sha256 || signed.receipt.id != named.id {
        return Err(refuse("receipt_mismatch", "is not the one whose id and hash the record has"));
    }
    if signed.receipt.gate_id != record.gate() {
        return Err(refuse("receipt_mismatch", "is of another gate than its record"));
    }
    let cost = record.draft().request.as_ref().map(|request| request.cost_cents);
    if cost != Some(signed.receipt.charge.total_cents().min(MAX_COST_CENTS)) {
        return Err(refuse("receipt_mismatch", "comes to another sum than its record says"));
    }
    signed.verify(key).map_err(judge)?;
    Ok(Some(Brought { signed, base }))
}

/// Where a batch stands that was taken before. All of it must be the very same.
async fn repeated(tx: &mut Tx, gate: &str, lane: &str, entries: &[Entry]) -> ApiResult<u64> {
    let conflict = |message| Err(ApiError::new(StatusCode::CONFLICT, "lane_conflict", message));
    let ends = entries.first().zip(entries.last()).context("a batch has a record")?;
    let rows = sqlx::query(
        "SELECT log_index, text FROM records WHERE gate_id = $1 AND lane = $2 AND number >= $3 AND number <= $4 \
         ORDER BY number",
    )
    .bind(gate)
    .bind(lane)
    .bind(ends.0.number.cast_signed())
    .bind(ends.1.number.cast_signed())
    .fetch_all(&mut **tx)
    .await?;
    if rows.len() != entries.len() {
        return conflict("the numbers were taken by records that are no longer kept");
    }
    let mut first_index = None;
    let mut next = 0_i64;
    for (row, entry) in rows.iter().zip(entries) {
        let (index, text): (i64, &str) = (row.try_get("log_index")?, row.try_get("text")?);
        if text != entry.text {
            return conflict("a number of the lane is taken by another record");
        }
        if first_index.is_some() && index != next {
            // Two batches, between which the log has records of another lane.
            return conflict("the records were taken in several batches: send each by itself");
        }
        first_index.get_or_insert(index);
        next = index.saturating_add(1);
    }
    Ok(first_index.context("a batch has a record")?.cast_unsigned())
}

/// That what the gate knows of the log is the beginning of it, and the proof of that for
/// the tree of the first `size` leaves.
async fn must_continue(tx: &mut Tx, log: &mut Log, head: &BatchHead, size: u64) -> ApiResult<Vec<Hash>> {
    let Some(known) = head.known else { return Ok(Vec::new()) };
    if known.size <= log.size() && log.frontier(tx, known.size).await?.root() == known.root {
        // A repeated batch may end before what the gate has seen since.
        return Ok(if known.size <= size {
            log.consistency(tx, known.size, size).await?
        } else {
            Vec::new()
        });
    }
    tracing::error!(known = known.size, size = log.size(), "a gate knows another log than is here");
    let message = "the gate knows another log than the service has, as after a restored backup: \
                   its checkpoint is not the beginning of this one";
    Err(ApiError::new(StatusCode::CONFLICT, "log_forked", message))
}

/// The keys of a gate that sign its records, as far as its own keys with which they came
/// are good now.
async fn keys(tx: &mut Tx, gate: &str) -> ApiResult<Keys> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT attestation_keys.key_id, attestation_keys.public_key FROM attestation_keys \
         JOIN gate_keys ON gate_keys.gate_id = attestation_keys.gate_id AND gate_keys.key_id = gate_key_id \
         WHERE attestation_keys.gate_id = $1 AND (not_after IS NULL OR not_after > $2)",
    )
    .bind(gate)
    .bind(now_ms())
    .fetch_all(&mut **tx)
    .await?;
    let read = |text: &str| PublicKey::from_bytes(&base64::decode_array(text)?);
    let keys = rows.into_iter().map(|(id, text)| Some((id, read(&text)?)));
    Ok(keys.collect::<Option<_>>().context("a gate's attestation key is unreadable")?)
}

fn end(first_index: u64, entries: &[Entry]) -> u64 {
    first_index.saturating_add(entries.len() as u64)
}

/// A record is no good: which, and why.
fn refused(index: usize, error: AttestationError) -> ApiError {
    let message = format!("records[{index}]: {error}");
    let mut refusal = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), message);
    refusal.field = Some(format!("records[{index}]"));
    refusal
}

/// A batch does not continue its lane: which number does.
fn out_of_place(code: &'static str, next: u64, problem: &str) -> ApiError {
    let mut error =
        ApiError::new(StatusCode::CONFLICT, code, format!("{problem}; the next number is {next}"));
    error.next = Some(next);
    error
}
