//! What proxies of gates have taken up. A proxy that asks for trust material says what it has,
//! so that the service knows when a change is everywhere, and tells operators. Whatever
//! instance a proxy asks, all tell the same: the database has it, some times a second.

use super::state::State;
use crate::App;
use crate::db::{Db, Tx};
use crate::error::ApiResult;
use crate::time::now_ms;
use sqlx::Row;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often an instance writes what it was told: a revocation is shown to be everywhere a
/// fifth of a second after it is.
const WRITE: Duration = Duration::from_millis(200);

/// A proxy that has nothing new is written down again after this long.
const AGAIN_MS: i64 = 15_000;

/// A proxy asks at least every 30 s, and that is written within 15 s more; the rest is the
/// network's.
pub const CONNECTED_MS: i64 = 60_000;

/// Proxies that have not asked for a day are forgotten.
const KEPT_MS: i64 = 24 * 3_600_000;

/// As many proxies are remembered between two writes as gates are known to answer to.
const MOST: usize = 10_000;

/// Rows that operators are shown.
const SHOWN: i64 = 10_000;

/// What proxies said that is not written yet, and what was written of them last.
#[derive(Default)]
pub struct Proxies(Mutex<HashMap<Name, Said>>);

/// A proxy, as far as it can be told from others: those that share a key and an address are
/// one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Name {
    gate: String,
    key_id: String,
    address: String,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    has: Numbers,
    seen_at: i64,
    head_at: i64,
    /// What of it is in the database, since when.
    written: Option<(Numbers, i64)>,
}

/// What a proxy has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Numbers {
    /// The number of its snapshot; 0 for none.
    pub snapshot: i64,
    /// The number of its revocations; 0 for none.
    pub revocations: i64,
}

/// A proxy as it is in the database.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its gate.
    pub gate_id: String,
    /// The key that it signs its calls with.
    pub key_id: String,
    /// The address that it calls from.
    pub address: String,
    /// What it had when it last asked.
    pub has: Numbers,
    /// When that was.
    pub seen_at: i64,
    /// The time of the head that it was last answered with: by that one it judges how old its
    /// material is. 0 where it was not answered yet.
    pub head_at: i64,
}

impl Proxies {
    /// A gate's proxy, known by its signature, asks.
    pub fn asked(&self, gate: &str, key_id: &str, address: Option<IpAddr>, has: Numbers) {
        self.change(gate, key_id, address, |said| {
            said.has = has;
            said.seen_at = now_ms();
        });
    }

    /// It was answered with a head of this time.
    pub fn answered(&self, gate: &str, key_id: &str, address: Option<IpAddr>, head_at: i64) {
        self.change(gate, key_id, address, |said| said.head_at = said.head_at.max(head_at));
    }

    fn change(&self, gate: &str, key_id: &str, address: Option<IpAddr>, change: impl FnOnce(&mut Said)) {
        let address =
            address.map_or_else(|| "unknown".to_owned(), |address| address.to_canonical().to_string());
        let name = Name { gate: gate.to_owned(), key_id: key_id.to_owned(), address };
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(&name) {
            let old = now_ms().saturating_sub(CONNECTED_MS);
            all.retain(|_, said| said.seen_at > old);
            if all.len() >= MOST {
                return;
            }
        }
        let nothing = Numbers { snapshot: 0, revocations: 0 };
        change(all.entry(name).or_insert(Said {
            has: nothing,
            seen_at: now_ms(),
            head_at: 0,
            written: None,
        }));
    }

    /// Writes what is new.
    ///
    /// # Errors
    /// No database; it is tried again.
    pub async fn write(&self, db: &Db) -> anyhow::Result<()> {
        let news: Vec<(Name, Said)> = self
            .lock()
            .iter()
            .filter(|(_, said)| {
                said.written
                    .is_none_or(|(has, at)| has != said.has || said.seen_at.saturating_sub(at) >= AGAIN_MS)
            })
            .map(|(name, said)| (name.clone(), *said))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        let mut tx = db.write().await?;
        for (name, said) in &news {
            sqlx::query(
                "INSERT INTO gate_proxies (gate_id, key_id, address, snapshot_number, revocations_number, seen_at, head_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (gate_id, key_id, address) DO UPDATE SET \
                 snapshot_number = excluded.snapshot_number, revocations_number = excluded.revocations_number, \
                 seen_at = excluded.seen_at, head_at = excluded.head_at \
                 WHERE gate_proxies.seen_at <= excluded.seen_at",
            )
            .bind(&name.gate)
            .bind(&name.key_id)
            .bind(&name.address)
            .bind(said.has.snapshot)
            .bind(said.has.revocations)
            .bind(said.seen_at)
            .bind(said.head_at)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        let mut all = self.lock();
        for (name, said) in news {
            if let Some(known) = all.get_mut(&name) {
                known.written = Some((said.has, said.seen_at));
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    /// Whether whoever has this has every change up to `number`, at a gate whose newest snapshot
    /// has the number `snapshot`. Where something was changed after `number`, that is asked for
    /// too: what a gate is told goes by its newest number alone.
    pub fn reach(&self, number: i64, snapshot: i64, state: &State) -> bool {
        let revocations = i64::try_from(state.revocations.number).unwrap_or(i64::MAX);
        self.revocations >= revocations.min(number) && self.snapshot >= snapshot.min(number)
    }
}

/// Writes what this instance is told, for as long as it is polled.
pub async fn run(app: App) {
    loop {
        tokio::time::sleep(WRITE).await;
        if let Err(error) = app.trust.proxies.write(&app.db).await {
            tracing::warn!(error = format!("{error:#}"), "what proxies have is not written for now");
        }
    }
}

/// The proxies that have asked within a day, by gate.
///
/// # Errors
/// No database.
pub async fn all(tx: &mut Tx) -> ApiResult<Vec<Proxy>> {
    let rows = sqlx::query(
        "SELECT gate_id, key_id, address, snapshot_number, revocations_number, seen_at, head_at \
         FROM gate_proxies WHERE seen_at > $1 ORDER BY gate_id, address, key_id LIMIT $2",
    )
    .bind(now_ms().saturating_sub(KEPT_MS))
    .bind(SHOWN)
    .fetch_all(&mut **tx)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok::<_, sqlx::Error>(Proxy {
            gate_id: row.try_get("gate_id")?,
            key_id: row.try_get("key_id")?,
            address: row.try_get("address")?,
            has: Numbers {
                snapshot: row.try_get("snapshot_number")?,
                revocations: row.try_get("revocations_number")?,
            },
            seen_at: row.try_get("seen_at")?,
            head_at: row.try_get("head_at")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Forgets those that have not asked for a day.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> anyhow::Result<()> {
    let old = now_ms().saturating_sub(KEPT_MS);
    sqlx::query("DELETE FROM gate_proxies WHERE seen_at < $1").bind(old).execute(app.db.pool()).await?;
    app.trust.proxies.lock().retain(|_, said| said.seen_at >= old);
    Ok(())
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxies({})", self.lock().len())
    }
}
