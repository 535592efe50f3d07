//! Working on a settlement: claim, verify, add up, sign.

use super::claim;
use super::summary::Summary;
use super::sums::{Allowances, Mark, Sums, Used};
use super::verify::{Keys, Verdict, verify_all};
use super::{FAILED, Settlement, Status, month_of, noted};
use crate::db::Tx;
use crate::error::ApiError;
use crate::receipts::{self, Place, Stored, Terms, Wanted};
use crate::time::now_ms;
use crate::{App, audit};
use anyhow::anyhow;
use portcullis_core::catalog;
use portcullis_core::receipt::Receipt;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// Receipts that are read, verified and noted together: with bases of some kilobytes a few
/// megabytes, and a tenth of a second of two cores. Bases may have 64 KiB, so that two pages
/// take 256 MiB where all of them do.
const PAGE: i64 = 2_000;

/// Why an attempt ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another has taken over.
    Lost,
    /// It cannot be done; in words for the caller.
    Failed(String),
    /// It may go better the next time: the database does not answer, or the service ends.
    Broken(anyhow::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Stop::Broken(error.into())
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Stop::Broken(anyhow!(error.message))
    }
}

/// Works on a settlement, in the background. Where that breaks off, another attempt follows once
/// this one has been silent for a while.
pub fn spawn(app: &App, settlement: Settlement) {
    let app = app.clone();
    tokio::spawn(async move {
        let id = settlement.id.clone();
        match work(&app, &settlement).await {
            Ok(()) => app.metrics.settled("done"),
            Err(Stop::Lost) => tracing::warn!(settlement = id, "another works on the settlement now"),
            Err(Stop::Broken(error)) => {
                tracing::error!(settlement = id, error = format!("{error:#}"), "a settlement was broken off");
            }
            Err(Stop::Failed(why)) => {
                tracing::error!(settlement = id, why, "a settlement cannot be made");
                app.metrics.settled("failed");
                if let Err(stop) = fail(&app, &settlement, &why).await {
                    tracing::error!(settlement = id, ?stop, "and that cannot be noted");
                }
            }
        }
    });
}

async fn work(app: &App, settlement: &Settlement) -> Result<(), Stop> {
    let claimed = claim::claim(app, settlement).await?;
    let mut tx = app.db.read().await?;
    let keys = Arc::new(Keys::load(&mut tx, &settlement.gate_id).await?);
    tx.rollback().await?;
    let mut run = Run {
        app,
        settlement,
        claimed,
        terms: Terms::new(&settlement.gate_id),
        allowances: Allowances::default(),
        sums: Sums::default(),
    };
    let mut page = run.read(&Place::default()).await?;
    // Each turn goes on behind the last.
    while let Some(last) = page.last().map(|stored| stored.place.clone()) {
        let these = Arc::new(page);
        let (next, verdicts) = tokio::join!(run.read(&last), verify_all(&keys, &these));
        run.settle(&these, verdicts.map_err(Stop::Broken)?).await?;
        page = next?;
    }
    run.finish().await
}

/// An attempt that is under way.
struct Run<'r> {
    app: &'r App,
    settlement: &'r Settlement,
    claimed: i64,
    terms: Terms,
    allowances: Allowances,
    sums: Sums,
}

impl Run<'_> {
    /// The next of what was claimed.
    async fn read(&self, after: &Place) -> Result<Vec<Stored>, Stop> {
        let wanted = Wanted {
            gate_id: self.settlement.gate_id.clone(),
            agent_id: None,
            passport_id: None,
            from: self.settlement.period.begins_at,
            to: self.settlement.period.ends_at,
            settlement_id: Some(self.settlement.id.clone()),
        };
        let mut tx = self.app.db.read().await?;
        let page = receipts::page(&mut tx, &wanted, after, PAGE).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Adds a page up, and notes what is not charged as it says.
    async fn settle(&mut self, page: &[Stored], verdicts: Vec<Verdict>) -> Result<(), Stop> {
        let mut notes: Vec<(&str, Option<&'static str>)> = Vec::new();
        let mut tx = self.app.db.read().await?;
        for (stored, verdict) in page.iter().zip(verdicts) {
            let mark = match self.mark(&mut tx, &verdict).await? {
                Some(Mark::Excluded(code)) => {
                    self.sums.exclude(&stored.attachment.receipt, code);
                    Some(code)
                }
                mark => {
                    let signed = verdict.map_err(|_| Stop::Broken(anyhow!("what is wrong is excluded")))?;
                    let too_much = || {
                        Stop::Failed(
                            "total_cost_cents: is beyond 2^53 - 1: settle shorter periods".to_owned(),
                        )
                    };
                    self.sums.add(&signed, mark).ok_or_else(too_much)?;
                    mark.map(Mark::name)
                }
            };
            if mark != stored.mark.as_deref() {
                notes.push((&stored.place.1, mark));
            }
        }
        tx.rollback().await?;
        let mut tx = self.app.db.write().await?;
        still_mine(&mut tx, self.settlement, Some((self.claimed, self.sums.seen()))).await?;
        note(&mut tx, notes).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What is to be noted of a receipt.
    async fn mark(&mut self, tx: &mut Tx, verdict: &Verdict) -> Result<Option<Mark>, Stop> {
        let receipt = match verdict {
            Err(code) => return Ok(Some(Mark::Excluded(code))),
            Ok(signed) => &signed.receipt,
        };
        self.terms.load(tx, receipt.catalog.version).await?;
        let Self { terms, allowances, settlement, .. } = self;
        if terms.rate(&receipt.catalog, &receipt.action) != Some(receipt.charge.rate()) {
            return Ok(Some(Mark::Excluded("terms_mismatch")));
        }
        let Some(permission) = terms.find(&receipt.catalog, &receipt.action) else {
            return Ok(Some(Mark::Excluded("terms_mismatch")));
        };
        if allowances.must_load(receipt, &permission.terms) {
            let used = used_before(tx, settlement, receipt, &permission.terms).await?;
            allowances.set(receipt, used);
        }
        Ok(allowances.mark(receipt, &permission.terms))
    }

    async fn finish(&self) -> Result<(), Stop> {
        if i64::try_from(self.sums.seen()).ok() != Some(self.claimed) {
            return Err(Stop::Broken(anyhow!("receipts that were claimed are missing")));
        }
        let mut tx = self.app.db.write().await?;
        let Settlement { id, created_by, .. } = self.settlement;
        still_mine(&mut tx, self.settlement, None).await?;
        let summary = Summary::of(self.settlement, &self.sums);
        let text = summary.sign(&mut tx, self.app).await?;
        sqlx::query("UPDATE settlements SET status = $1, summary = $2 WHERE settlement_id = $3")
            .bind(Status::Pending.name())
            .bind(text)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        noted(&mut tx, id, Status::Pending, created_by).await?;
        let detail = json!({
            "gate_id": summary.gate_id, "period_start": summary.period_start, "period_end": summary.period_end,
            "total_cost_cents": summary.total_cost_cents, "excluded_count": summary.excluded_count,
        });
        audit::record(&mut tx, created_by, "settlement.create", id, detail).await?;
        tx.commit().await?;
        for (code, count) in &self.sums.excluded {
            self.app.metrics.receipts_excluded(code, *count);
        }
        Ok(())
    }
}

/// What the passport has used of the action before the period.
async fn used_before(
    tx: &mut Tx,
    settlement: &Settlement,
    receipt: &Receipt,
    terms: &catalog::Terms,
) -> Result<Used, Stop> {
    let begins_at = settlement.period.begins_at;
    // Of what was found to be wrong nothing was used. Free calls are not wrong.
    let (calls, in_month): (i64, i64) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN issued_at >= $1 THEN 1 ELSE 0 END), 0) FROM receipts \
         LEFT JOIN settled_receipts ON settled_receipts.receipt_id = receipts.receipt_id \
         WHERE passport_id = $2 AND action = $3 AND issued_at < $4 AND gate_id = $5 \
         AND outcome IN ('success', 'partial') \
         AND (mark IS NULL OR mark = 'free' OR mark = 'subscription')",
    )
    .bind(month_of(begins_at))
    .bind(&receipt.agent.passport_id)
    .bind(&receipt.action)
    .bind(begins_at)
    .bind(&receipt.gate_id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Used::before(begins_at, calls, in_month, terms))
}

/// Notes what is not charged as it says, some at a time by what is noted.
async fn note(tx: &mut Tx, notes: Vec<(&str, Option<&'static str>)>) -> Result<(), Stop> {
    // Texts of statements are kept by their connection, so that there must be few.
    const ROWS: [usize; 3] = [256, 16, 1];
    let mut by_mark: std::collections::BTreeMap<Option<&'static str>, Vec<&str>> = Default::default();
    for (id, mark) in notes {
        by_mark.entry(mark).or_default().push(id);
    }
    for (mark, ids) in by_mark {
        let mut rest = ids.as_slice();
        // Each turn takes at least one.
        while let Some(rows) = ROWS.into_iter().find(|rows| *rows <= rest.len()) {
            let (these, others) = rest.split_at(rows);
            let places: Vec<_> = (2..rows.saturating_add(2)).map(|place| format!("${place}")).collect();
            let text =
                format!("UPDATE settled_receipts SET mark = $1 WHERE receipt_id IN ({})", places.join(", "));
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(mark);
            for id in these {
                query = query.bind(*id);
            }
            query.execute(&mut **tx).await?;
            rest = others;
        }
    }
    Ok(())
}

/// That nobody has taken over, until the transaction ends; and how far it is, if that is to be
/// told.
pub(super) async fn still_mine(
    tx: &mut Tx,
    settlement: &Settlement,
    progress: Option<(i64, u64)>,
) -> Result<(), Stop> {
    let (claimed, verified) = progress.unwrap_or((-1, 0));
    let done = sqlx::query(
        "UPDATE settlements SET seen_at = $1, claimed = CASE WHEN $2 < 0 THEN claimed ELSE $3 END, \
         verified = CASE WHEN $4 < 0 THEN verified ELSE $5 END \
         WHERE settlement_id = $6 AND attempt = $7 AND status = 'running'",
    )
    .bind(now_ms())
    .bind(claimed)
    .bind(claimed)
    .bind(claimed)
    .bind(verified.cast_signed())
    .bind(&settlement.id)
    .bind(settlement.attempt)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Stop::Lost) }
}

/// Ends it for good. Its receipts can be settled again.
async fn fail(app: &App, settlement: &Settlement, why: &str) -> Result<(), Stop> {
    let mut tx = app.db.write().await?;
    still_mine(&mut tx, settlement, None).await?;
    claim::release(&mut tx, settlement).await?;
    sqlx::query("UPDATE settlements SET status = $1, failure = $2 WHERE settlement_id = $3")
        .bind(FAILED)
        .bind(why)
        .bind(&settlement.id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
