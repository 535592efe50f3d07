//! What passports have spent at gates: granted in leases, never more than a cap leaves.
//!
//! What is granted counts from then on, whoever holds it. So no gate that loses an answer,
//! restarts or dies lets more be spent than a cap; what it held and never gave back stays
//! counted.

mod book;
mod state;
mod take;

pub use state::{PassportState, ResetWindow, WindowState, read_state, reset};
pub use take::{Paid, spent_today};

use crate::db::Db;
use crate::error::{ApiError, ApiResult};
use crate::passports::SELF_PREFIX;
use crate::time::now;
use anyhow::Result;
use axum::http::StatusCode;
use book::Book;
use portcullis_core::live::{SpendAnswer, SpendGrant, SpendQuestion};
use portcullis_core::spend::{Rolling, SpendUsed, day_of, end_of_day};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Who asks how much, and how many accounts there are of each gate, at the last count.
pub struct Spend {
    most: u64,
    counted: Mutex<HashMap<String, Counted>>,
    turns: Semaphore,
}

/// A gate's accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// All of them.
    pub all: u64,
    /// Those of passports that nobody vouches for (`SpendNames::is_made_up`).
    pub made_up: u64,
}

/// How often a question was granted what it wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Leases of as much as was asked for, or that were granted before.
    pub granted: u64,
    /// Leases of less, or none, as a cap is used up.
    pub exhausted: u64,
    /// None, as there are too many accounts.
    pub full: u64,
}

/// Of a gate's room, passports that nobody vouches for have a quarter: anybody, or whoever delegates,
/// can make any number.
const MADE_UP_SHARE: u64 = 4;

/// Questions at a time: a quarter of the connections, as each takes some hundred statements
/// at most.
const TURNS: usize = 4;

/// How long a question waits for its turn; a gate waits no longer for the answer.
const WAIT: Duration = Duration::from_secs(1);

/// How long reports about a lease are taken, in days. Thereafter it counts as it stands.
const REPORTS_DAYS: i64 = 7;

/// How long what has a total cap is remembered after its last use: longer than any passport
/// of this service lives.
const TOTAL_DAYS: i64 = 400;

/// Rows that are forgotten at a time: SQLite lets nobody else write meanwhile.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

impl Spend {
    /// Room for so many accounts of each gate.
    ///
    /// # Errors
    /// No database.
    pub async fn open(db: &Db, most: u32) -> Result<Self> {
        let spend = Spend { most: most.into(), counted: Mutex::default(), turns: Semaphore::new(TURNS) };
        spend.count(db).await?;
        Ok(spend)
    }

    /// Takes up what a gate reports, and grants what it asks for, as one change.
    ///
    /// # Errors
    /// 503 where there is too much to do.
    pub async fn ask(&self, db: &Db, gate: &str, asked: &SpendQuestion) -> ApiResult<(SpendAnswer, Tally)> {
        let turn = tokio::time::timeout(WAIT, self.turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or_else(|| {
            let mut error = ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "more is asked about spending than the database takes",
            );
            error.retry_after = Some(1);
            error
        })?;
        // One order for all, so that no two wait for each other.
        let mut order: Vec<usize> = (0..asked.accounts.len()).collect();
        order.sort_by_key(|index| asked.accounts.get(*index).map(|ask| ask.account));
        let mut grants = vec![None; asked.accounts.len()];
        let mut tally = Tally::default();
        let mut new = Vec::new();
        let mut tx = db.write().await?;
        // After the wait for whoever else writes, and for all accounts the same.
        let day = day_of(now());
        let nothing = SpendGrant {
            granted_cents: 0,
            expires_at: end_of_day(day),
            exhausted: None,
            used: SpendUsed::default(),
        };
        for index in order {
            let (Some(ask), Some(place)) = (asked.accounts.get(index), grants.get_mut(index)) else {
                continue;
            };
            let mut book = match Book::open(&mut tx, gate, ask, day).await? {
                Some(book) => book,
                None if self.has_room(gate, ask.names().is_made_up()) => {
                    new.push(ask.names().is_made_up());
                    Book::create(&mut tx, gate, ask, day).await?
                }
                None => {
                    tally.full = tally.full.saturating_add(u64::from(ask.lease.is_some()));
                    *place = Some(nothing);
                    continue;
                }
            };
            let grant = book.settle(&mut tx, &asked.lane).await?;
            match (ask.lease, grant.exhausted) {
                (None, _) => {}
                (Some(_), None) => tally.granted = tally.granted.saturating_add(1),
                (Some(_), Some(_)) => tally.exhausted = tally.exhausted.saturating_add(1),
            }
            *place = Some(grant);
        }
        tx.commit().await?;
        self.created(gate, &new);
        let accounts = grants.into_iter().map(|grant| grant.unwrap_or(nothing)).collect();
        Ok((SpendAnswer { day, accounts }, tally))
    }

    /// Forgets what can matter no more, and counts what there is.
    ///
    /// # Errors
    /// No database.
    pub async fn upkeep(&self, db: &Db) -> Result<()> {
        let today = i64::try_from(day_of(now())).unwrap_or(i64::MAX);
        let before = |days: i64| today.saturating_sub(days);
        // Leases first: accounts go once nothing refers to them.
        for (sql, day) in [
            (
                "DELETE FROM spend_leases WHERE (gate_id, lease) IN \
                 (SELECT gate_id, lease FROM spend_leases WHERE day < $1 LIMIT $2)",
                before(REPORTS_DAYS),
            ),
            (
                "DELETE FROM spend_days WHERE (account, day) IN (SELECT account, day FROM spend_days \
                 WHERE day < $1 LIMIT $2)",
                before(Rolling::MOST_DAYS.into()),
            ),
        ] {
            forget(db, sql, day).await?;
        }
        self.forget_accounts(db, today).await?;
        self.count(db).await
    }

    /// Accounts whose windows are all over, each with its days. Their leases went before.
    async fn forget_accounts(&self, db: &Db, today: i64) -> Result<()> {
        let day = today.saturating_sub(REPORTS_DAYS);
        // Each turn forgets some thousands of those that are there.
        loop {
            let mut tx = db.write().await?;
            let over: Vec<(String,)> = sqlx::query_as(
                "SELECT account FROM spend_accounts WHERE used_day + keep_days < $1 AND NOT EXISTS \
                 (SELECT 1 FROM spend_leases WHERE spend_leases.account = spend_accounts.account) LIMIT $2",
            )
            .bind(day)
            .bind(FORGOTTEN_AT_ONCE.div_euclid(10))
            .fetch_all(&mut *tx)
            .await?;
            let count = over.len();
            for (account,) in over {
                // A gate may have asked again meanwhile; whoever holds the row decides.
                let held = sqlx::query(
                    "UPDATE spend_accounts SET used_day = used_day WHERE account = $1 AND used_day + keep_days < $2",
                )
                .bind(&account)
                .bind(day)
                .execute(&mut *tx)
                .await?;
                if held.rows_affected() == 0 {
                    continue;
                }
                for sql in [
                    "DELETE FROM spend_days WHERE account = $1",
                    "DELETE FROM spend_accounts WHERE account = $1",
                ] {
                    sqlx::query(sql).bind(&account).execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
            if i64::try_from(count).unwrap_or(i64::MAX) < FORGOTTEN_AT_ONCE.div_euclid(10) {
                return Ok(());
            }
        }
    }

    /// How many accounts each gate has, at the last count and since.
    pub fn kept(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(gate, counted)| (gate.clone(), counted.all)).collect()
    }

    fn has_room(&self, gate: &str, is_made_up: bool) -> bool {
        let counted = self.lock().get(gate).copied().unwrap_or_default();
        let share = self.most.div_euclid(MADE_UP_SHARE).max(1);
        counted.all < self.most && !(is_made_up && counted.made_up >= share)
    }

    fn created(&self, gate: &str, new: &[bool]) {
        let mut counted = self.lock();
        let counted = counted.entry(gate.to_owned()).or_default();
        for is_made_up in new {
            counted.all = counted.all.saturating_add(1);
            counted.made_up = counted.made_up.saturating_add(u64::from(*is_made_up));
        }
    }

    async fn count(&self, db: &Db) -> Result<()> {
        let all: Vec<(String, i64)> =
            sqlx::query_as("SELECT gate_id, COUNT(*) FROM spend_accounts GROUP BY gate_id")
                .fetch_all(db.pool())
                .await?;
        let made_up: Vec<(String, i64)> = sqlx::query_as(
            "SELECT gate_id, COUNT(*) FROM spend_accounts WHERE issuer_id LIKE $1 OR issuer_id LIKE 'did:key:%' \
             OR passport_id LIKE '% %' GROUP BY gate_id",
        )
        .bind(format!("{SELF_PREFIX}%"))
        .fetch_all(db.pool())
        .await?;
        let mut counted: HashMap<String, Counted> = HashMap::new();
        for (gate, count) in all {
            counted.entry(gate).or_default().all = count.cast_unsigned();
        }
        for (gate, count) in made_up {
            counted.entry(gate).or_default().made_up = count.cast_unsigned();
        }
        *self.lock() = counted;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn forget(db: &Db, sql: &'static str, day: i64) -> Result<()> {
    // Each turn forgets some thousands of those that are there.
    loop {
        let forgotten = sqlx::query(sql).bind(day).bind(FORGOTTEN_AT_ONCE).execute(db.pool()).await?;
        if forgotten.rows_affected() < FORGOTTEN_AT_ONCE.cast_unsigned() {
            return Ok(());
        }
    }
}

impl fmt::Debug for Spend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Spend({} gates)", self.lock().len())
    }
}
