//! What running gates are told: whom to trust, and who is revoked.
//!
//! Whatever changes it goes through [`changes`], in the transaction of the change. A
//! [`TrustFeed`] notices, whichever instance made the change, and wakes the gates that
//! wait; [`documents`] signs for each what is new to it.

pub mod changes;
pub mod documents;
pub mod enrolment;
pub mod gate_caller;
pub mod nonces;
pub mod proxies;
pub mod signature;
pub mod snapshot;
pub mod state;
pub mod upkeep;

use crate::db::{Db, Tx};
use crate::vault::Vault;
use anyhow::{Result, anyhow};
use gate_caller::KnownGates;
use portcullis_core::base64;
use portcullis_core::live::FingerprintKey;
use proxies::Proxies;
use snapshot::Snapshots;
use state::State;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The newest state, and those who wait for the next one.
pub struct TrustFeed {
    fingerprint_key: FingerprintKey,
    state: RwLock<Arc<State>>,
    newest: watch::Sender<i64>,
    look: Notify,
    ending: watch::Sender<bool>,
    pub(crate) snapshots: Snapshots,
    pub(crate) gates: KnownGates,
    pub(crate) proxies: Proxies,
}

/// How often an instance looks for what other instances changed. A revocation must be at
/// every gate within a second; this takes a tenth of it, and two reads of few rows.
const LOOK: Duration = Duration::from_millis(100);

impl TrustFeed {
    /// Opens the feed of a database; makes the key of its fingerprints at its first use.
    ///
    /// # Errors
    /// No database, or no randomness.
    pub async fn open(db: &Db, vault: &Vault) -> Result<Self> {
        let mut tx = db.write_alone().await?;
        let fingerprint_key = fingerprint_key(&mut tx).await?;
        tx.commit().await?;
        let state = State::read(&mut db.read().await?, vault).await?;
        Ok(TrustFeed {
            fingerprint_key,
            newest: watch::Sender::new(state.number),
            state: RwLock::new(Arc::new(state)),
            look: Notify::new(),
            ending: watch::Sender::new(false),
            snapshots: Snapshots::default(),
            gates: KnownGates::default(),
            proxies: Proxies::default(),
        })
    }

    /// The key under which revocations have their fingerprints.
    pub fn fingerprint_key(&self) -> FingerprintKey {
        self.fingerprint_key
    }

    /// What was so at the last look.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of the change `number`, which is committed.
    pub fn wake(&self, number: i64) {
        if number > self.state().number {
            self.look.notify_one();
        }
    }

    /// For waiting until there is something new: the number of the newest change.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// Lets those who wait go: the service ends.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until the service ends.
    pub async fn ended(&self) {
        // The sender is this feed's own, so that waiting does not fail.
        let _ = self.ending.subscribe().wait_for(|ends| *ends).await;
    }

    /// Looks for changes, its own instance's and others', for as long as it is polled.
    /// While the database does not answer, heads keep the time of the last look: what is
    /// not known is not claimed.
    pub async fn watch_database(&self, db: &Db, vault: &Vault) {
        let mut fails = false;
        loop {
            // A time-out is the usual reason to look.
            let _ = tokio::time::timeout(LOOK, self.look.notified()).await;
            match self.look(db, vault).await {
                Ok(()) if fails => {
                    fails = false;
                    tracing::info!("the newest changes can be read again");
                }
                Ok(()) => {}
                Err(error) if !fails => {
                    fails = true;
                    tracing::warn!(error = format!("{error:#}"), "the newest changes cannot be read");
                }
                Err(_) => {}
            }
        }
    }

    /// Looks for changes now: for what an answer cannot wait for.
    ///
    /// # Errors
    /// No database.
    pub async fn look(&self, db: &Db, vault: &Vault) -> Result<()> {
        let mut tx = db.read().await?;
        let state = Arc::new(self.state().next(&mut tx, vault).await?);
        let number = state.number;
        {
            let mut known = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Another look may have begun later and ended sooner.
            if state.read_at < known.read_at || state.number < known.number {
                return Ok(());
            }
            *known = state;
        }
        self.newest.send_if_modified(|newest| std::mem::replace(newest, number) != number);
        Ok(())
    }
}

async fn fingerprint_key(tx: &mut Tx) -> Result<FingerprintKey> {
    let stored: Option<(String,)> =
        sqlx::query_as("SELECT value FROM service WHERE name = 'fingerprint_key'")
            .fetch_optional(&mut **tx)
            .await?;
    if let Some((text,)) = stored {
        let key = base64::decode_array(&text).ok_or_else(|| anyhow!("the fingerprint key is unreadable"))?;
        return Ok(FingerprintKey::new(key));
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness: {error}"))?;
    sqlx::query("INSERT INTO service (name, value) VALUES ('fingerprint_key', $1)")
        .bind(base64::encode(&key))
        .execute(&mut **tx)
        .await?;
    Ok(FingerprintKey::new(key))
}

/// Nothing of the keys is shown.
impl fmt::Debug for TrustFeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustFeed({})", self.state().number)
    }
}
