//! Adding records to a gate's log: all of a batch or none, each batch after the one before.

use super::log::Log;
use super::own::Reported;
use crate::App;
use crate::db::{Tx, is_conflict};
use crate::error::{ApiError, ApiResult};
use crate::time::now;
use anyhow::{Context, anyhow};
use axum::http::StatusCode;
use portcullis_core::attestation::{Checkpoint, Decision, Hash, Record};
use portcullis_core::live::hex;
use portcullis_core::{UnixTime, base64};
use sqlx::AssertSqlSafe;

/// A record as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) decision: Decision,
    pub(super) text: String,
    leaf: Hash,
    pub(super) chain_hash: Hash,
    pub(super) key_id: String,
    agent_id: Option<String>,
    passport_id: Option<String>,
    issuer_id: Option<String>,
    action: Option<String>,
    reason_code: Option<String>,
    at: i64,
    reported: Option<String>,
}

/// The row of a gate's log, which is this transaction's alone until it ends.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) size: u64,
    pub(super) last_hash: String,
}

/// What a log was before anything was added to it.
pub(super) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Entry {
    pub(super) fn new(record: &Record, reported: Option<Reported>) -> Self {
        let draft = record.draft();
        let agent = draft.agent.as_ref();
        let is_reported = reported.is_some();
        let named = reported.unwrap_or_default();
        // What is searched for. PostgreSQL's text has no U+0000; the record's own text
        // writes it as an escape.
        let column = |text: &String| text.replace('\0', "\u{fffd}");
        Entry {
            id: record.id(),
            number: record.number(),
            decision: record.decision(),
            leaf: record.leaf(),
            chain_hash: *record.chain_hash(),
            key_id: base64::encode_url(record.key_id()),
            agent_id: agent.map(|agent| &agent.agent_id).or(named.agent_id.as_ref()).map(column),
            passport_id: agent.map(|agent| &agent.passport_id).or(named.passport_id.as_ref()).map(column),
            issuer_id: agent.map(|agent| column(&agent.issuer_id)),
            action: draft.request.as_ref().and_then(|request| request.action.as_ref()).map(column),
            reason_code: draft.reason_code.as_ref().map(column),
            at: record.timestamp().as_millis(),
            text: record.text(),
            reported: is_reported.then_some(named.json),
        }
    }
}

/// Takes the log's row. Whoever comes after waits until this transaction ends.
pub(super) async fn lock(tx: &mut Tx, gate: &str) -> ApiResult<Locked> {
    const TAKE: &str = "UPDATE record_logs SET size = size WHERE gate_id = $1 RETURNING size, last_hash";
    let mut row: Option<(i64, String)> = sqlx::query_as(TAKE).bind(gate).fetch_optional(&mut **tx).await?;
    if row.is_none() {
        make(tx, gate).await?;
        row = sqlx::query_as(TAKE).bind(gate).fetch_optional(&mut **tx).await?;
    }
    let (size, last_hash) = row.context("a log was just made")?;
    Ok(Locked { size: size.cast_unsigned(), last_hash })
}

/// Makes the log of a gate if it has none.
pub(super) async fn make(tx: &mut Tx, gate: &str) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO record_logs (gate_id, size, last_hash, pruned_to) VALUES ($1, 0, $2, 0) \
         ON CONFLICT (gate_id) DO NOTHING",
    )
    .bind(gate)
    .bind(NO_HASH)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds records, which continue their lane, at the end of a log that is locked, and signs a
/// checkpoint. Answers the log as it is then, and the checkpoint.
pub(super) async fn append(
    tx: &mut Tx,
    app: &App,
    gate: &str,
    locked: &Locked,
    lane: &str,
    entries: &[Entry],
) -> ApiResult<(Log, String)> {
    let last = entries.last().context("a batch has a record")?;
    let at = now();
    insert(tx, gate, lane, locked.size, entries, at).await?;
    let mut log = Log::new(gate, locked.size);
    log.append(tx, &entries.iter().map(|entry| entry.leaf).collect::<Vec<_>>()).await?;
    log.save(tx).await?;
    let last_hash = hex(&last.chain_hash);
    sqlx::query("UPDATE record_logs SET size = $1, last_hash = $2 WHERE gate_id = $3")
        .bind(log.size().cast_signed())
        .bind(&last_hash)
        .bind(gate)
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE record_lanes SET next_number = $1, last_hash = $2 WHERE gate_id = $3 AND lane = $4")
        .bind(last.number.saturating_add(1).cast_signed())
        .bind(&last_hash)
        .bind(gate)
        .bind(lane)
        .execute(&mut **tx)
        .await?;
    let size = log.size();
    let note = checkpoint(app, gate, size, log.frontier(tx, size).await?.root(), at)?;
    sqlx::query("INSERT INTO checkpoints (gate_id, size, note, signed_at) VALUES ($1, $2, $3, $4)")
        .bind(gate)
        .bind(size.cast_signed())
        .bind(&note)
        .bind(at.as_millis())
        .execute(&mut **tx)
        .await?;
    Ok((log, note))
}

/// A checkpoint of a gate's log, as a note that the service signs.
///
/// # Errors
/// There is no key that signs now.
pub fn checkpoint(app: &App, gate: &str, size: u64, root: Hash, time: UnixTime) -> ApiResult<String> {
    let state = app.trust.state();
    let signer = state.signer().context("there is no key for checkpoints")?;
    Ok(Checkpoint { origin: origin(app, gate), size, root, time }.sign(&[&signer.key]))
}

/// What the log of a gate is called: unique among all services.
pub fn origin(app: &App, gate: &str) -> String {
    let url = &app.settings.public_url;
    format!("{}/{gate}", url.strip_prefix("https://").unwrap_or(url))
}

/// Records of one statement. Texts of statements are kept by their connection, so that
/// there must be few; a batch of 256 takes four.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// Columns of a row that differ within a batch.
const COLUMNS: usize = 12;

async fn insert(
    tx: &mut Tx,
    gate: &str,
    lane: &str,
    first: u64,
    entries: &[Entry],
    at: UnixTime,
) -> ApiResult<()> {
    let (mut rest, mut index) = (entries, first.cast_signed());
    // Each turn takes at least one.
    while let Some(rows) = ROWS.into_iter().find(|rows| *rows <= rest.len()) {
        let (these, others) = rest.split_at(rows);
        let mut query =
            sqlx::query(AssertSqlSafe(statement(rows))).bind(gate).bind(lane).bind(at.as_millis());
        for entry in these {
            query = query
                .bind(index)
                .bind(&entry.id)
                .bind(entry.number.cast_signed())
                .bind(&entry.text)
                .bind(entry.decision.name())
                .bind(&entry.agent_id)
                .bind(&entry.passport_id)
                .bind(&entry.issuer_id)
                .bind(&entry.action)
                .bind(&entry.reason_code)
                .bind(entry.at)
                .bind(&entry.reported);
            index = index.saturating_add(1);
        }
        query.execute(&mut **tx).await.map_err(|error| {
            if is_conflict(&error) {
                let message = "a record of the batch has the attestation_id of another one";
                ApiError::new(StatusCode::CONFLICT, "record_conflict", message)
            } else {
                anyhow!(error).context("records cannot be stored").into()
            }
        })?;
        rest = others;
    }
    Ok(())
}

fn statement(rows: usize) -> String {
    let mut text = String::from(
        "INSERT INTO records (gate_id, lane, received_at, log_index, attestation_id, number, text, decision, \
         agent_id, passport_id, issuer_id, action, reason_code, at, reported) VALUES ",
    );
    for row in 0..rows {
        let first = row.saturating_mul(COLUMNS).saturating_add(4);
        let places = (first..first.saturating_add(COLUMNS)).map(|place| format!(", ${place}"));
        let separator = if row == 0 { "" } else { ", " };
        text.push_str(&format!("{separator}($1, $2, $3{})", places.collect::<String>()));
    }
    text
}
