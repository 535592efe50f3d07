//! What an instance knows of the newest changes, read from the database ten times a
//! second, so that those who wait ask the database nothing.

use super::changes::fingerprint;
use crate::db::Tx;
use crate::keys::{self, Purpose};
use crate::time::now;
use crate::vault::Vault;
use anyhow::Result;
use portcullis_core::live::{MAX_FINGERPRINTS, RevocationState};
use portcullis_core::{SecretKey, UnixTime};
use sqlx::Row;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// What was so at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// Before it was read: nothing older was missed.
    pub read_at: UnixTime,
    /// The number of the last change of anything.
    pub number: i64,
    /// When this instance came to know of that change.
    pub known_since: UnixTime,
    /// What is revoked.
    pub revocations: RevocationState,
    /// The gates that are not deleted.
    pub gates: Arc<HashMap<String, GateState>>,
    /// The last changes of what is revoked.
    recent: Arc<Recent>,
    /// When issuers that are followed were last looked at.
    pub followed: Arc<Vec<(String, UnixTime)>>,
    keys: Arc<Vec<TrustKey>>,
}

/// A gate's newest snapshot.
#[derive(Clone, Copy, Debug)]
pub struct GateState {
    /// Its number.
    pub number: i64,
    /// Whether there is anything in it yet.
    pub is_configured: bool,
}

/// A key that signs trust material, now or at some time.
#[derive(Debug)]
pub struct TrustKey {
    /// Its id.
    pub key_id: String,
    /// The key.
    pub key: SecretKey,
    signs_from: i64,
    not_after: Option<i64>,
}

/// What was revoked, or no longer is, since some number.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// What is revoked now, ascending.
    pub added: Vec<u64>,
    /// What is not, ascending.
    pub removed: Vec<u64>,
}

/// The last changes, oldest first.
#[derive(Clone, Debug, Default)]
struct Recent {
    /// All changes of higher numbers are here.
    since: i64,
    changes: VecDeque<(i64, u64, bool)>,
}

/// Twice what a delta may have, so that a gate that was away for a while gets one.
const RECENT: usize = 2 * MAX_FINGERPRINTS;

impl State {
    /// Reads everything.
    ///
    /// # Errors
    /// No database, or a key that cannot be opened.
    pub async fn read(tx: &mut Tx, vault: &Vault) -> Result<Self> {
        let nothing = State {
            read_at: UnixTime::from_millis(0),
            number: -1,
            known_since: UnixTime::from_millis(0),
            revocations: RevocationState::default(),
            gates: Arc::default(),
            recent: Arc::default(),
            followed: Arc::default(),
            keys: Arc::default(),
        };
        nothing.next(tx, vault).await
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// As [`State::read`].
    pub async fn next(&self, tx: &mut Tx, vault: &Vault) -> Result<Self> {
        let read_at = now();
        let clock = sqlx::query(
            "SELECT number, revocations_number, revoked_count, revoked_digest FROM trust_clock WHERE id = 1",
        )
        .fetch_one(&mut **tx)
        .await?;
        let number: i64 = clock.try_get("number")?;
        let followed = Arc::new(followed(tx).await?);
        if number == self.number {
            return Ok(State { read_at, followed, ..self.clone() });
        }
        let unsigned = |name| Ok::<_, sqlx::Error>(clock.try_get::<i64, _>(name)?.cast_unsigned());
        Ok(State {
            read_at,
            number,
            known_since: read_at,
            revocations: RevocationState {
                number: unsigned("revocations_number")?,
                count: unsigned("revoked_count")?,
                digest: unsigned("revoked_digest")?,
            },
            gates: self.next_gates(tx).await?,
            recent: self.next_recent(tx).await?,
            followed,
            keys: Arc::new(trust_keys(tx, vault).await?),
        })
    }

    /// The key that signs now: the newest whose time has come.
    pub fn signer(&self) -> Option<&TrustKey> {
        let at = self.read_at.as_millis();
        let is_good = |key: &&TrustKey| key.signs_from <= at && key.not_after.is_none_or(|end| end > at);
        self.keys.iter().filter(is_good).max_by_key(|key| key.signs_from)
    }

    /// What has changed since `number`; `None` where that is too long ago, or too much
    /// for one delta.
    pub fn changes_since(&self, number: i64) -> Option<Changes> {
        if number < self.recent.since {
            return None;
        }
        let from = self.recent.changes.partition_point(|(at, _, _)| *at <= number);
        let mut last = BTreeMap::new();
        for (_, fingerprint, revoked) in self.recent.changes.range(from..) {
            last.insert(*fingerprint, *revoked);
        }
        if last.len() > MAX_FINGERPRINTS {
            return None;
        }
        let mut changes = Changes::default();
        for (fingerprint, revoked) in last {
            if revoked { changes.added.push(fingerprint) } else { changes.removed.push(fingerprint) }
        }
        Some(changes)
    }

    async fn next_gates(&self, tx: &mut Tx) -> Result<Arc<HashMap<String, GateState>>> {
        let rows = sqlx::query(
            "SELECT gate_id, snapshot_number, deleted_at, CASE WHEN config IS NULL THEN 0 ELSE 1 END AS configured \
             FROM gates WHERE snapshot_number > $1",
        )
        .bind(self.number)
        .fetch_all(&mut **tx)
        .await?;
        if rows.is_empty() {
            return Ok(Arc::clone(&self.gates));
        }
        let mut gates = HashMap::clone(&self.gates);
        for row in rows {
            let gate: String = row.try_get("gate_id")?;
            if row.try_get::<Option<i64>, _>("deleted_at")?.is_some() {
                gates.remove(&gate);
                continue;
            }
            let state = GateState {
                number: row.try_get("snapshot_number")?,
                is_configured: row.try_get::<i64, _>("configured")? != 0,
            };
            gates.insert(gate, state);
        }
        Ok(Arc::new(gates))
    }

    async fn next_recent(&self, tx: &mut Tx) -> Result<Arc<Recent>> {
        let limit = i64::try_from(RECENT).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT number, fingerprint, revoked FROM revocation_changes WHERE number > $1 \
             ORDER BY number DESC LIMIT $2",
        )
        .bind(self.number)
        .bind(limit)
        .fetch_all(&mut **tx)
        .await?;
        let is_first = self.number < 0;
        if rows.is_empty() && !is_first {
            return Ok(Arc::clone(&self.recent));
        }
        let mut read = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            let number: i64 = row.try_get("number")?;
            let revoked: i64 = row.try_get("revoked")?;
            read.push((number, fingerprint(row.try_get("fingerprint")?), revoked != 0));
        }
        let mut recent = Recent::clone(&self.recent);
        if is_first {
            // Before the oldest of them others may have been forgotten, or never come
            // along with a backup.
            let (newest,): (i64,) = sqlx::query_as("SELECT revocations_number FROM trust_clock WHERE id = 1")
                .fetch_one(&mut **tx)
                .await?;
            recent.since = read.first().map_or(newest, |(number, _, _)| number.saturating_sub(1));
        }
        if read.len() >= RECENT {
            // There are more than were read: of the oldest number perhaps not all.
            recent =
                Recent { since: read.first().map_or(0, |(number, _, _)| *number), changes: VecDeque::new() };
        }
        recent.changes.extend(read);
        while recent.changes.len() > RECENT {
            if let Some((number, _, _)) = recent.changes.pop_front() {
                recent.since = number;
            }
        }
        Ok(Arc::new(recent))
    }
}

async fn trust_keys(tx: &mut Tx, vault: &Vault) -> Result<Vec<TrustKey>> {
    let mut opened = Vec::new();
    for half in keys::published(tx, Purpose::Trust, keys::SERVICE).await? {
        opened.push(TrustKey {
            key: keys::open(tx, vault, Purpose::Trust, keys::SERVICE, &half.key_id).await?,
            key_id: half.key_id,
            signs_from: half.signs_from,
            not_after: half.not_after,
        });
    }
    Ok(opened)
}

async fn followed(tx: &mut Tx) -> Result<Vec<(String, UnixTime)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT origin, synced_at FROM followed_issuers WHERE synced_at IS NOT NULL ORDER BY origin",
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(origin, at)| (origin, UnixTime::from_millis(at))).collect())
}
