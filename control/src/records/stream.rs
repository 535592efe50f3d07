//! Records as they come. One look at the logs' sizes, ten times a second, wakes all who
//! follow; each then reads what is new to it, at its own pace and some at a time, so that
//! a slow one holds up nobody and keeps nothing in memory.

use super::read::{Stored, Wanted};
use crate::App;
use crate::error::{ApiError, ApiResult};
use axum::http::StatusCode;
use futures_util::Stream;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// How often the logs are looked at, as changes of trust material are.
const LOOK: Duration = Duration::from_millis(100);

/// Who may follow at once, at one instance: each takes a connection, and some reads a
/// second of a database that gates need too.
const MOST: usize = 64;

/// Records of one read.
const PAGE: i64 = 256;

/// Proxies and clients give up on connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// After so long a client begins anew, where it was: so an API key that was revoked
/// follows no longer than that.
const LONGEST: Duration = Duration::from_secs(600);

/// The logs' sizes, and who follows them.
#[derive(Debug)]
pub struct Followers {
    sizes: watch::Sender<Arc<HashMap<String, i64>>>,
    places: Arc<Semaphore>,
}

/// What a follower is told.
#[derive(Debug)]
pub enum Told {
    /// A record.
    Record(Box<Stored>),
    /// That nothing has come for a while.
    Nothing,
}

impl Default for Followers {
    fn default() -> Self {
        Followers { sizes: watch::Sender::default(), places: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Followers {
    /// Looks for new records, its own instance's and others', for as long as it is polled
    /// and anybody follows.
    pub async fn watch_database(&self, app: &App) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.sizes.receiver_count() == 0 {
                continue;
            }
            match sizes(app).await {
                Ok(sizes) => {
                    self.sizes.send_if_modified(|known| {
                        let is_new = **known != sizes;
                        if is_new {
                            *known = Arc::new(sizes);
                        }
                        is_new
                    });
                }
                Err(error) => tracing::warn!(error = format!("{error:#}"), "logs cannot be read"),
            }
        }
    }

    /// A place among those who follow.
    ///
    /// # Errors
    /// 503 where all are taken.
    pub fn place(&self) -> ApiResult<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!("{MOST} clients follow already; try again later, or at another instance");
            let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", message);
            error.retry_after = Some(5);
            error
        })
    }
}

async fn sizes(app: &App) -> anyhow::Result<HashMap<String, i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT gate_id, size FROM record_logs").fetch_all(app.db.pool()).await?;
    Ok(rows.into_iter().collect())
}

/// How far a follower has come.
struct Follower {
    app: App,
    wanted: Wanted,
    gate: String,
    next: i64,
    may_have_more: bool,
    waiting: VecDeque<Stored>,
    sizes: watch::Receiver<Arc<HashMap<String, i64>>>,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

/// The records of a gate that are wanted, from this index of its log on; without one, those
/// that come from now on.
///
/// # Errors
/// 503 where too many follow; no database.
pub async fn follow(
    app: &App,
    gate: &str,
    wanted: Wanted,
    from: Option<i64>,
) -> ApiResult<impl Stream<Item = ApiResult<Told>> + use<>> {
    let place = app.followers.place()?;
    // Before the size is read, so that nothing falls between.
    let receiver = app.followers.sizes.subscribe();
    let log: Option<(i64, i64)> =
        sqlx::query_as("SELECT size, pruned_to FROM record_logs WHERE gate_id = $1")
            .bind(gate)
            .fetch_optional(app.db.pool())
            .await?;
    let (size, pruned_to) = log.unwrap_or_default();
    let next = from.map_or(size, |from| from.max(pruned_to));
    let follower = Follower {
        app: app.clone(),
        wanted,
        gate: gate.to_owned(),
        next,
        may_have_more: true,
        waiting: VecDeque::new(),
        sizes: receiver,
        until: Instant::now().checked_add(LONGEST).unwrap_or_else(Instant::now),
        _place: place,
    };
    Ok(futures_util::stream::try_unfold(follower, |mut follower| async move {
        Ok(follower.next().await?.map(|told| (told, follower)))
    }))
}

impl Follower {
    /// What comes next; `None` at the end.
    async fn next(&mut self) -> ApiResult<Option<Told>> {
        let mut silent = Instant::now().checked_add(HEARTBEAT).unwrap_or(self.until);
        silent = silent.min(self.until);
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Ok(Some(Told::Record(Box::new(record))));
            }
            if self.may_have_more {
                // Before it is read, so that nothing falls between.
                self.sizes.mark_unchanged();
                self.may_have_more = self.read().await?;
                continue;
            }
            tokio::select! {
                changed = self.sizes.changed() => {
                    if changed.is_err() {
                        return Ok(None);
                    }
                    let size = self.sizes.borrow_and_update().get(&self.gate).copied();
                    self.may_have_more = size.is_some_and(|size| size > self.next);
                }
                () = tokio::time::sleep_until(silent) => {
                    return Ok((silent < self.until).then_some(Told::Nothing));
                }
                () = self.app.trust.ended() => return Ok(None),
            }
        }
    }

    /// Reads some. Answers whether there may be more at once.
    async fn read(&mut self) -> ApiResult<bool> {
        let mut tx = self.app.db.read().await?;
        let size: Option<(i64,)> = sqlx::query_as("SELECT size FROM record_logs WHERE gate_id = $1")
            .bind(&self.gate)
            .fetch_optional(&mut *tx)
            .await?;
        let end = size.map_or(0, |(size,)| size).min(self.next.saturating_add(PAGE));
        if end <= self.next {
            return Ok(false);
        }
        let mut conditions = self.wanted.conditions()?;
        conditions.and_number("log_index >=", self.next);
        conditions.and_number("log_index <", end);
        self.waiting = conditions.in_order(&mut tx, PAGE).await?.into();
        self.next = end;
        Ok(true)
    }
}
