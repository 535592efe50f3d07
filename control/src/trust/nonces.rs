//! The nonce authority: what was used once at a gate, for all its proxies.

use crate::db::Db;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Result;
use axum::http::StatusCode;
use portcullis_core::CLOCK_SKEW_MS;
use portcullis_core::base64;
use portcullis_core::live::{NonceDecision, NonceQuestion};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What gates have used, in the database; and how much that is, at the last count.
pub struct Nonces {
    most: u64,
    counted: Mutex<Counted>,
    turns: Semaphore,
}

#[derive(Default)]
struct Counted {
    gates: HashMap<String, u64>,
    /// Gates with the keys that have used up their share.
    over: HashSet<(String, String)>,
}

/// A key's share of a gate's room: it takes four to fill it.
const SHARE: u64 = 4;

/// How much longer something is kept than it could be used: gates' clocks may be 60 s
/// behind the service's, and a question takes its way.
const KEPT_AFTER_MS: i64 = 2 * CLOCK_SKEW_MS;

/// Proofs live an hour at most, and clocks differ: what is asked to be kept for longer is
/// no nonce of a proof.
const LONGEST_MS: i64 = 2 * 3_600_000;

/// Statements at a time: half of the connections, so that revocations get through however
/// many requests come.
const TURNS: usize = 8;

/// How long a question waits for its turn; the gate waits no longer for the answer.
const WAIT: Duration = Duration::from_secs(1);

/// Rows that are forgotten at a time: SQLite lets nobody else write meanwhile, and this
/// takes a fraction of the second that gates wait.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

impl Nonces {
    /// Room for so many nonces of each gate.
    ///
    /// # Errors
    /// No database.
    pub async fn open(db: &Db, most: u32) -> Result<Self> {
        let nonces = Nonces { most: most.into(), counted: Mutex::default(), turns: Semaphore::new(TURNS) };
        nonces.count(db).await?;
        Ok(nonces)
    }

    /// Uses what is asked about, and tells whether it was used before. Of any number that
    /// ask the same at once, at any instance, one is told that it is new.
    ///
    /// # Errors
    /// 422 for times that no proof has; 429 where the key has used up its share; 503 where
    /// there is no room, or too much to do.
    pub async fn ask(&self, db: &Db, gate: &str, asked: &NonceQuestion) -> ApiResult<NonceDecision> {
        let (now, until) = (now_ms(), asked.until.as_millis());
        // What may have been forgotten already must not be told to be new.
        if until.saturating_add(CLOCK_SKEW_MS) < now {
            return Err(ApiError::invalid("until", "is past by more than 60 s"));
        }
        if until.saturating_sub(LONGEST_MS) > now {
            return Err(ApiError::invalid("until", "is more than two hours ahead"));
        }
        let [key, nonce] = [asked.key, asked.nonce].map(|bytes| base64::encode_url(&bytes));
        let owner = (gate.to_owned(), key);
        {
            let counted = self.lock();
            if counted.over.contains(&owner) {
                let mut error = ApiError::too_many(RECOUNT_SECONDS);
                error.message = "the agent's key has used a quarter of what the gate may use".to_owned();
                return Err(error);
            }
            if counted.gates.get(gate).copied().unwrap_or_default() >= self.most {
                let message = format!("no more nonces of {gate} can be kept; raise --most-nonces");
                return Err(unavailable("nonces_full", message));
            }
        }
        let turn = tokio::time::timeout(WAIT, self.turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or_else(|| {
            unavailable("busy", "more nonces are asked about than the database takes".to_owned())
        })?;
        // One statement, so that nothing can come between looking and inserting.
        let inserted = sqlx::query(
            "INSERT INTO gate_nonces (gate_id, agent_key, nonce, forget_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(gate)
        .bind(&owner.1)
        .bind(nonce)
        .bind(until.saturating_add(KEPT_AFTER_MS))
        .execute(db.pool())
        .await?
        .rows_affected();
        if inserted == 0 {
            return Ok(NonceDecision::Seen);
        }
        let mut counted = self.lock();
        let count = counted.gates.entry(owner.0).or_default();
        *count = count.saturating_add(1);
        Ok(NonceDecision::New)
    }

    /// Forgets what cannot be used any more, and counts what there is: what other instances
    /// took is known from here on.
    ///
    /// # Errors
    /// No database.
    pub async fn upkeep(&self, db: &Db) -> Result<()> {
        let now = now_ms();
        // Each turn forgets some thousands of those that are there.
        loop {
            let forgotten = sqlx::query(
                "DELETE FROM gate_nonces WHERE (gate_id, agent_key, nonce) IN \
                 (SELECT gate_id, agent_key, nonce FROM gate_nonces WHERE forget_at < $1 LIMIT $2)",
            )
            .bind(now)
            .bind(FORGOTTEN_AT_ONCE)
            .execute(db.pool())
            .await?
            .rows_affected();
            if forgotten < FORGOTTEN_AT_ONCE.cast_unsigned() {
                break;
            }
        }
        self.count(db).await
    }

    /// How many nonces of each gate there are, at the last count and since.
    pub fn kept(&self) -> Vec<(String, u64)> {
        self.lock().gates.iter().map(|(gate, count)| (gate.clone(), *count)).collect()
    }

    async fn count(&self, db: &Db) -> Result<()> {
        let gates: Vec<(String, i64)> =
            sqlx::query_as("SELECT gate_id, COUNT(*) FROM gate_nonces GROUP BY gate_id")
                .fetch_all(db.pool())
                .await?;
        let share = self.most.div_euclid(SHARE).max(1);
        // Four of each gate at most, and a few that came meanwhile.
        let over: Vec<(String, String)> = sqlx::query_as(
            "SELECT gate_id, agent_key FROM gate_nonces GROUP BY gate_id, agent_key HAVING COUNT(*) >= $1",
        )
        .bind(i64::try_from(share).unwrap_or(i64::MAX))
        .fetch_all(db.pool())
        .await?;
        let gates = gates.into_iter().map(|(gate, count)| (gate, count.cast_unsigned())).collect();
        *self.lock() = Counted { gates, over: over.into_iter().collect() };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until the next count; see [`super::upkeep`].
const RECOUNT_SECONDS: u64 = 60;

fn unavailable(code: &'static str, message: String) -> ApiError {
    let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    error.retry_after = Some(1);
    error
}

impl fmt::Debug for Nonces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Nonces({} gates)", self.lock().gates.len())
    }
}
