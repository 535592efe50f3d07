//! Exports: the records of gates as their logs have them, in pages, so that an export of
//! any length takes the memory of one page.
//!
//! In JSON Lines and JSON an export is of one gate, with all that an audit needs: the texts
//! that were signed, what lanes began with, checkpoints by which times are judged, and the
//! log's checkpoint at the end. CSV is for tables. `docs/records.md` has the forms.

use super::log::Log;
use super::read::{Stored, Wanted};
use super::{csv, keys, lane, store};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::time::now;
use anyhow::{Context, Result, anyhow, ensure};
use axum::body::Bytes;
use futures_util::Stream;
use portcullis_core::UnixTime;
use portcullis_core::attestation::export::{ExportHeader, ExportLine, ExportTrailer};
use portcullis_core::attestation::{LaneId, Record};
use portcullis_core::base64;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use utoipa::ToSchema;

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One object.
    #[default]
    Json,
    /// A line for each record, and some around them.
    Jsonl,
    /// A table.
    Csv,
}

/// Records of one page: some 300 KiB.
const PAGE: i64 = 256;

const DAY_MS: i64 = 24 * 3_600_000;

/// A gate's log, as it was when the export began.
struct Part {
    gate: String,
    pruned_to: i64,
    size: i64,
}

/// An export that is under way.
struct Exporter {
    app: App,
    format: Format,
    wanted: Wanted,
    /// Whether nothing is left out.
    is_whole: bool,
    began: UnixTime,
    parts: VecDeque<Part>,
    step: Step,
    /// Lines of JSON that were written.
    lines: u64,
    count: u64,
}

/// What comes next.
enum Step {
    Begin,
    /// The page of the first part from this index on.
    Page(i64, BTreeSet<i64>),
    End,
}

/// An export, and how many records it will have.
///
/// # Errors
/// 422 where an export of one gate is asked for and no gate is named, or a time is none;
/// 404 where there is no log.
pub async fn begin(
    app: &App,
    format: Format,
    wanted: Wanted,
) -> ApiResult<(i64, impl Stream<Item = Result<Bytes>> + use<>)> {
    let conditions = wanted.conditions()?;
    let mut tx = app.db.read().await?;
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT gate_id, pruned_to, size FROM record_logs ORDER BY gate_id")
            .fetch_all(&mut *tx)
            .await?;
    let mut parts: VecDeque<Part> =
        rows.into_iter().map(|(gate, pruned_to, size)| Part { gate, pruned_to, size }).collect();
    if let Some(gate) = &wanted.gate_id {
        parts.retain(|part| part.gate == *gate);
        if parts.is_empty() {
            return Err(ApiError::not_found("log of the gate", gate));
        }
    }
    if format != Format::Csv && parts.len() != 1 {
        return Err(ApiError::invalid(
            "gate_id",
            "name the gate: JSON is an export of one gate's log; CSV takes all gates",
        ));
    }
    let total = conditions.count(&mut tx).await?;
    let is_whole = Wanted { gate_id: None, ..wanted.clone() }.is_any();
    let exporter = Exporter {
        app: app.clone(),
        format,
        wanted,
        is_whole,
        began: now(),
        parts,
        step: Step::Begin,
        lines: 0,
        count: 0,
    };
    let pages = futures_util::stream::try_unfold(exporter, |mut exporter| async move {
        let next = exporter.next().await.inspect_err(|error| {
            // What was sent has no end, so that nobody takes it for whole.
            tracing::error!(error = format!("{error:#}"), "an export was broken off");
        });
        Ok(next?.map(|bytes| (bytes, exporter)))
    });
    Ok((total, pages))
}

impl Exporter {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut out = String::new();
        match std::mem::replace(&mut self.step, Step::End) {
            Step::Begin => self.begin_part(&mut out).await?,
            Step::Page(from, checkpoints) => self.page(&mut out, from, checkpoints).await?,
            Step::End => return Ok(None),
        }
        // A page may have nothing: the stream goes on all the same.
        Ok(Some(out.into()))
    }

    async fn begin_part(&mut self, out: &mut String) -> Result<()> {
        if self.format == Format::Csv {
            if self.lines == 0 {
                csv::head(out);
                self.lines = 1;
            }
            if let Some(part) = self.parts.front() {
                self.step = Step::Page(part.pruned_to, BTreeSet::new());
            }
            return Ok(());
        }
        let part = self.parts.front().context("an export is of a gate")?;
        let (pruned_to, size) = (part.pruned_to, part.size);
        let header = ExportHeader {
            complete: self.is_whole,
            first_index: if self.is_whole { pruned_to.cast_unsigned() } else { 0 },
            gate: part.gate.clone(),
        };
        let header = header.to_json();
        if self.format == Format::Json {
            out.push_str(&format!("{{\"header\":{header},\"lines\":[\n"));
        } else {
            out.push_str(&format!("{header}\n"));
        }
        let mut checkpoints = BTreeSet::new();
        if self.is_whole {
            if pruned_to > 0 {
                let mut tx = self.app.db.read().await?;
                let mut log = Log::new(&part.gate, size.cast_unsigned());
                let frontier = log.frontier(&mut tx, pruned_to.cast_unsigned()).await?;
                self.line(out, &ExportLine::Pruned(frontier).to_json());
            }
            checkpoints = self.checkpoints().await?;
        }
        self.step = Step::Page(pruned_to, checkpoints);
        Ok(())
    }

    /// Sizes of the log of which a checkpoint is to stand here: the last of each day, and
    /// the last before a key's end, so that no record is judged by a time at which the key
    /// that signed it had ended.
    async fn checkpoints(&self) -> Result<BTreeSet<i64>> {
        let part = self.parts.front().context("an export is of a gate")?;
        let mut tx = self.app.db.read().await?;
        let mut sizes: BTreeSet<i64> = BTreeSet::new();
        let days: Vec<(i64,)> = sqlx::query_as(
            "SELECT MAX(size) FROM checkpoints WHERE gate_id = $1 AND size < $2 GROUP BY signed_at / $3",
        )
        .bind(&part.gate)
        .bind(part.size)
        .bind(DAY_MS)
        .fetch_all(&mut *tx)
        .await?;
        sizes.extend(days.into_iter().map(|(size,)| size));
        for key in keys::of_records(&mut tx, &part.gate).await.map_err(failed)? {
            let end = key.not_after.as_deref().and_then(UnixTime::from_rfc3339);
            let Some(end) = end else { continue };
            let (size,): (Option<i64>,) = sqlx::query_as(
                "SELECT MAX(size) FROM checkpoints WHERE gate_id = $1 AND size < $2 AND signed_at < $3",
            )
            .bind(&part.gate)
            .bind(part.size)
            .bind(end.as_millis())
            .fetch_one(&mut *tx)
            .await?;
            sizes.extend(size);
        }
        Ok(sizes.into_iter().filter(|size| *size > part.pruned_to).collect())
    }

    async fn page(&mut self, out: &mut String, from: i64, mut checkpoints: BTreeSet<i64>) -> Result<()> {
        let part = self.parts.front().context("an export is of a gate")?;
        let (gate, size) = (part.gate.clone(), part.size);
        let wanted = Wanted { gate_id: Some(gate.clone()), ..self.wanted.clone() };
        let mut conditions = wanted.conditions().map_err(failed)?;
        conditions.and_number("log_index >=", from);
        conditions.and_number("log_index <", size);
        let mut tx = self.app.db.read().await?;
        let records = conditions.in_order(&mut tx, PAGE).await.map_err(failed)?;
        let mut next = from;
        for record in &records {
            ensure!(
                !self.is_whole || record.log_index == next,
                "the record {next} of {gate} is missing: {} comes after it",
                record.log_index
            );
            next = record.log_index.saturating_add(1);
            self.count = self.count.saturating_add(1);
            if self.format == Format::Csv {
                csv::row(out, record);
                continue;
            }
            if let Some(lane) = begins(record)
                && let Some(previous) =
                    lane::previous(&mut tx, &gate, &base64::encode_url(&lane)).await.map_err(failed)?
            {
                self.line(out, &ExportLine::Lane { lane, previous }.to_json());
            }
            self.line(out, &record.text);
            if checkpoints.remove(&next) {
                let (note,): (String,) =
                    sqlx::query_as("SELECT note FROM checkpoints WHERE gate_id = $1 AND size = $2")
                        .bind(&gate)
                        .bind(next)
                        .fetch_one(&mut *tx)
                        .await?;
                self.line(out, &ExportLine::Checkpoint(note).to_json());
            }
        }
        if i64::try_from(records.len())? == PAGE {
            self.step = Step::Page(next, checkpoints);
            return Ok(());
        }
        ensure!(!self.is_whole || next == size, "the records of {gate} from {next} on are missing");
        if self.format == Format::Csv {
            self.parts.pop_front();
            self.step = if self.parts.is_empty() { Step::End } else { Step::Begin };
            return Ok(());
        }
        let mut log = Log::new(&gate, size.cast_unsigned());
        let root = log.frontier(&mut tx, size.cast_unsigned()).await?.root();
        let note = store::checkpoint(&self.app, &gate, size.cast_unsigned(), root, self.began);
        let trailer = ExportTrailer {
            checkpoint: note.map_err(failed)?,
            count: self.count,
            keys: keys::of_records(&mut tx, &gate).await.map_err(failed)?,
        };
        let trailer = trailer.to_json();
        if self.format == Format::Json {
            out.push_str(&format!("\n],\"trailer\":{trailer}}}\n"));
        } else {
            out.push_str(&format!("{trailer}\n"));
        }
        Ok(())
    }

    /// A line of JSON Lines, or the same as an element of JSON's `lines`.
    fn line(&mut self, out: &mut String, text: &str) {
        if self.format == Format::Json {
            if self.lines > 0 {
                out.push_str(",\n");
            }
            out.push_str(&Value::from(text).to_string());
        } else {
            out.push_str(text);
            out.push('\n');
        }
        self.lines = self.lines.saturating_add(1);
    }
}

/// The lane that a record is the first of.
fn begins(record: &Stored) -> Option<LaneId> {
    let record = Record::read(record.text.as_bytes()).ok().filter(|record| record.number() == 1)?;
    Some(*record.lane())
}

fn failed(error: ApiError) -> anyhow::Error {
    anyhow!(error.message)
}
