//! Working on a settlement: claim, verify, add up, sign.

use super::allowances::Allowances;
use super::claim;
use super::known::Passports;
use super::log::{self, Shared};
use super::summary::Summary;
use super::sums::{Mark, Sums};
use super::verify::{Cores, Keys, Verdict};
use super::{FAILED, Settlement, Status, noted, resume};
use crate::db::Tx;
use crate::error::ApiError;
use crate::receipts::{self, Beside, Place, Stored, Terms};
use crate::time::now_ms;
use crate::{App, audit};
use anyhow::anyhow;
use futures_util::stream::{self, Stream, TryStreamExt};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::MissedTickBehavior;

/// Receipts that are read, verified and noted together: with bases of some kilobytes five megabytes, and
/// a tenth of a second of one core. Bases may have 64 KiB, so that five pages, as three are verified on
/// two cores, one waits and one is added up, take 320 MiB where all of them do; seven on four cores or
/// more take 448.
pub(super) const PAGE: i64 = 1_000;

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

/// How often whoever works on it says so: some times before it is taken for gone.
const SAY: Duration = Duration::from_secs(5);

/// How often it is said how far it is: each time is a write to the disk.
const TELL: Duration = Duration::from_secs(1);

/// Attempts that may break off, or be heard of no more, before it is given up.
const MOST_ATTEMPTS: i64 = 5;

/// Leave to work on a settlement, if it is not given to as many as there may be.
pub fn permit(app: &App) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&app.settling).try_acquire_owned().ok()
}

/// Works on a settlement, in the background. Where that breaks off, another attempt follows once
/// this one has been silent for a while.
pub fn spawn(app: &App, settlement: Settlement, permit: OwnedSemaphorePermit) {
    let app = app.clone();
    tokio::spawn(async move {
        let id = settlement.id.clone();
        let ended = if settlement.attempt > MOST_ATTEMPTS {
            Err(Stop::Failed(format!("{MOST_ATTEMPTS} attempts were begun and not heard of again")))
        } else {
            tokio::select! {
                ended = work(&app, &settlement) => ended,
                stop = say(&app, &settlement) => Err(stop),
            }
        };
        let why = match ended {
            Ok(()) => {
                app.metrics.settled("done");
                None
            }
            Err(Stop::Lost) => {
                tracing::warn!(settlement = id, "another works on the settlement now");
                None
            }
            Err(Stop::Broken(error)) => {
                let error = format!("{error:#}");
                tracing::error!(
                    settlement = id,
                    attempt = settlement.attempt,
                    error,
                    "a settlement broke off"
                );
                (settlement.attempt >= MOST_ATTEMPTS).then_some(error)
            }
            Err(Stop::Failed(why)) => Some(why),
        };
        if let Some(why) = why {
            tracing::error!(settlement = id, why, "a settlement cannot be made");
            app.metrics.settled("failed");
            if let Err(stop) = fail(&app, &settlement, &why).await {
                tracing::error!(settlement = id, ?stop, "and that cannot be noted");
            }
        }
        drop(permit);
        // Others may wait for the permit.
        if let Err(error) = resume(&app).await {
            tracing::warn!(error = format!("{error:#}"), "settlements wait for now");
        }
    });
}

/// Says now and then that the settlement is worked on, until it is another's.
async fn say(app: &App, settlement: &Settlement) -> Stop {
    let mut ticks = tokio::time::interval(SAY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let said = async {
            let mut tx = app.db.write().await?;
            still_mine(&mut tx, settlement, None).await?;
            tx.commit().await.map_err(Stop::from)
        };
        match said.await {
            Err(Stop::Lost) => return Stop::Lost,
            // The work itself will find what is wrong.
            Err(stop) => tracing::warn!(settlement = settlement.id, ?stop, "it is not said that it goes on"),
            Ok(()) => {}
        }
    }
}

/// All is claimed; then it is read, verified and added up, page by page, each of these beside the others.
async fn work(app: &App, settlement: &Settlement) -> Result<(), Stop> {
    let claimed = claim::claim(app, settlement).await?;
    let mut tx = app.db.read().await?;
    let cores = Cores::new(Keys::load(&mut tx, &settlement.gate_id).await?);
    tx.rollback().await?;
    let mut run = Run {
        app,
        settlement,
        claimed,
        shared: Shared::find(app, settlement, claimed).await?,
        told: Instant::now(),
        terms: Terms::new(&settlement.gate_id),
        allowances: Allowances::default(),
        passports: Passports::default(),
        sums: Sums::default(),
    };
    let (verified, mut ready) = mpsc::channel(1);
    let verifying = async {
        // Or the other side would wait for more.
        let verified = verified;
        let verify = |page| async { cores.verify(page).await.map_err(Stop::Broken) };
        let mut pages = pin!(pages(app, settlement).map_ok(verify).try_buffered(cores.count()));
        while let Some(page) = pages.try_next().await? {
            verified.send(page).await.map_err(|_| Stop::Broken(anyhow!("nobody adds up any more")))?;
        }
        Ok::<_, Stop>(())
    };
    let adding = async {
        while let Some((page, verdicts)) = ready.recv().await {
            run.settle(&page, verdicts).await?;
        }
        Ok::<_, Stop>(())
    };
    tokio::try_join!(verifying, adding)?;
    run.finish().await
}

/// What is claimed, page by page.
fn pages(app: &App, settlement: &Settlement) -> impl Stream<Item = Result<Vec<Stored>, Stop>> {
    let wanted = settlement.receipts();
    let fault = log::fault();
    stream::try_unfold(Place::default(), move |after| {
        let (wanted, fault) = (wanted.clone(), fault.clone());
        async move {
            let mut tx = app.db.read().await?;
            let beside = Beside { expression: &fault, joins: log::JOINS };
            let page = receipts::page(&mut tx, &wanted, (&after, &Place::END), beside, PAGE).await?;
            tx.rollback().await?;
            let last = page.last().map(|last| last.place.clone());
            Ok(last.map(|last| (page, last)))
        }
    })
}

/// An attempt that is under way.
struct Run<'r> {
    app: &'r App,
    settlement: &'r Settlement,
    /// How many receipts it has.
    claimed: i64,
    shared: Shared,
    /// When it was last said how far it is.
    told: Instant,
    terms: Terms,
    allowances: Allowances,
    passports: Passports,
    sums: Sums,
}

impl Run<'_> {
    /// Adds a page up, and notes what is not charged as it says.
    async fn settle(&mut self, page: &[Stored], verdicts: Vec<Verdict>) -> Result<(), Stop> {
        let mut notes: Notes<'_> = BTreeMap::new();
        let mut tx = self.app.db.read().await?;
        let mut verified = verdicts.iter().flatten();
        let ends = page.first().zip(page.last()).map(|(first, last)| (&first.place, &last.place));
        let paid = match ends {
            Some(ends) if verified.any(|verified| self.shared.may_have(&verified.signed.receipt)) => {
                log::paid_already(&mut tx, self.settlement, ends).await?
            }
            _ => HashMap::new(),
        };
        for (stored, verdict) in page.iter().zip(verdicts) {
            let beside = stored.beside.as_deref().and_then(log::named);
            let fault = paid.get(&stored.place.1).copied().or(beside);
            let (mark, allowance) = self.mark(&mut tx, fault, &verdict).await?;
            match (mark, verdict) {
                (Some(Mark::Excluded(code)), _) => self.sums.exclude(&stored.attachment.receipt, code),
                (_, Err(code)) => return Err(Stop::Broken(anyhow!("{code} must be excluded"))),
                (mark, Ok(verified)) => {
                    let too_much = "total_cost_cents: is beyond 2^53 - 1: settle shorter periods";
                    self.sums.add(&verified.signed, mark).ok_or_else(|| Stop::Failed(too_much.to_owned()))?;
                }
            }
            // What is claimed anew has no mark; one that a former attempt has left may be wrong.
            if mark.is_some() || stored.mark.is_some() {
                notes.entry((mark.map(Mark::name), allowance)).or_default().push(&stored.place);
            }
        }
        tx.rollback().await?;
        if notes.is_empty() && self.told.elapsed() < TELL {
            return Ok(());
        }
        self.told = Instant::now();
        let mut tx = self.app.db.write().await?;
        still_mine(&mut tx, self.settlement, Some(self.progress())).await?;
        note(&mut tx, &self.settlement.gate_id, notes).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What is to be noted of a receipt, and the allowance that it is of.
    async fn mark(
        &mut self,
        tx: &mut Tx,
        fault: Option<&'static str>,
        verdict: &Verdict,
    ) -> Result<(Option<Mark>, Option<String>), Stop> {
        let excluded = |code| Ok((Some(Mark::Excluded(code)), None));
        let verified = match verdict {
            Err(code) => return excluded(code),
            Ok(verified) => verified,
        };
        if let Some(fault) = fault {
            return excluded(fault);
        }
        let receipt = &verified.signed.receipt;
        let root = match &verified.root {
            Some(root) => Ok(root.clone()),
            None => self.passports.root_of(tx, receipt).await?,
        };
        let root = match root {
            Ok(root) => root,
            Err(code) => return excluded(code),
        };
        self.terms.load(tx, receipt.catalog.version).await?;
        if self.terms.rate(&receipt.catalog, &receipt.action) != Some(receipt.charge.rate()) {
            return excluded("terms_mismatch");
        }
        let Some(permission) = self.terms.find(&receipt.catalog, &receipt.action) else {
            return excluded("terms_mismatch");
        };
        let given =
            self.allowances.mark(tx, &self.settlement.id, (receipt, &root), &permission.terms).await?;
        Ok(given.unzip())
    }

    /// How many are claimed so far, and how many verified.
    fn progress(&self) -> (i64, u64) {
        (self.claimed, self.sums.seen())
    }

    async fn finish(&self) -> Result<(), Stop> {
        if self.claimed != self.sums.seen().cast_signed() {
            return Err(Stop::Broken(anyhow!("receipts that were claimed are missing")));
        }
        let mut tx = self.app.db.write().await?;
        let Settlement { id, created_by, .. } = self.settlement;
        still_mine(&mut tx, self.settlement, Some(self.progress())).await?;
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

/// Receipts by what is noted of them: a mark, and the allowance that it is of.
type Notes<'p> = BTreeMap<(Option<&'static str>, Option<String>), Vec<&'p Place>>;

/// Notes what is not charged as it says, some at a time by what is noted.
async fn note(tx: &mut Tx, gate: &str, notes: Notes<'_>) -> Result<(), Stop> {
    // Texts of statements are kept by their connection, so that there must be few.
    const ROWS: [usize; 3] = [256, 16, 1];
    for ((mark, allowance), places) in notes {
        let mut rest = places.as_slice();
        // Each turn takes at least one.
        while let Some(rows) = ROWS.into_iter().find(|rows| *rows <= rest.len()) {
            let (these, others) = rest.split_at(rows);
            let ids: Vec<_> = (6..rows.saturating_add(6)).map(|place| format!("${place}")).collect();
            // They come in their order, so that the times of the first and the last bound them: an
            // index is searched by these.
            let text = format!(
                "UPDATE settled_receipts SET mark = $1, allowance = $2 WHERE gate_id = $3 \
                 AND issued_at >= $4 AND issued_at <= $5 AND receipt_id IN ({})",
                ids.join(", ")
            );
            let [first, last] = [these.first(), these.last()].map(|place| place.map(|place| place.0));
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(mark).bind(&allowance).bind(gate);
            query = query.bind(first).bind(last);
            for place in these {
                query = query.bind(&place.1);
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
    sqlx::query("UPDATE settlements SET status = $1, failure = $2 WHERE settlement_id = $3")
        .bind(FAILED)
        .bind(why)
        .bind(&settlement.id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
