//! What running gates are told: whom to trust, and who is revoked.
//!
//! Whatever changes it goes through [`changes`], in the transaction of the change.

pub mod changes;

use crate::db::{Db, Tx};
use anyhow::{Result, anyhow};
use portcullis_core::base64;
use std::time::Duration;
use tokio::sync::watch;

/// The newest change that this instance knows of, for those who wait for the next one.
#[derive(Debug)]
pub struct TrustFeed {
    fingerprint_key: [u8; 16],
    newest: watch::Sender<i64>,
    ending: watch::Sender<bool>,
}

/// How often an instance looks for what other instances changed. A revocation must be at
/// every gate within a second; this takes a tenth of it, and one read of one row.
const LOOK: Duration = Duration::from_millis(100);

impl TrustFeed {
    /// Opens the feed of a database; makes the key of its fingerprints at its first use.
    ///
    /// # Errors
    /// No database, or no randomness.
    pub async fn open(db: &Db) -> Result<Self> {
        let mut tx = db.write_alone().await?;
        let stored: Option<(String,)> =
            sqlx::query_as("SELECT value FROM service WHERE name = 'fingerprint_key'")
                .fetch_optional(&mut *tx)
                .await?;
        let fingerprint_key = if let Some((text,)) = stored {
            base64::decode_array(&text).ok_or_else(|| anyhow!("the fingerprint key is unreadable"))?
        } else {
            let mut key = [0; 16];
            getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness: {error}"))?;
            sqlx::query("INSERT INTO service (name, value) VALUES ('fingerprint_key', $1)")
                .bind(base64::encode(&key))
                .execute(&mut *tx)
                .await?;
            key
        };
        let number = newest(&mut tx).await?;
        tx.commit().await?;
        Ok(TrustFeed {
            fingerprint_key,
            newest: watch::Sender::new(number),
            ending: watch::Sender::new(false),
        })
    }

    /// The key under which revocations have their fingerprints.
    pub fn fingerprint_key(&self) -> [u8; 16] {
        self.fingerprint_key
    }

    /// Tells those who wait of the change `number`, which is committed.
    pub fn wake(&self, number: i64) {
        self.newest.send_if_modified(|newest| {
            let is_newer = number > *newest;
            *newest = number.max(*newest);
            is_newer
        });
    }

    /// For waiting until there is something new.
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

    /// Looks for what other instances changed, for as long as it is polled.
    pub async fn watch_database(&self, db: &Db) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let number: Result<(i64,), _> =
                sqlx::query_as("SELECT number FROM trust_clock WHERE id = 1").fetch_one(db.pool()).await;
            match number {
                Ok((number,)) => self.wake(number),
                Err(error) => tracing::warn!(%error, "the newest change cannot be read"),
            }
        }
    }
}

async fn newest(tx: &mut Tx) -> Result<i64> {
    let (number,): (i64,) =
        sqlx::query_as("SELECT number FROM trust_clock WHERE id = 1").fetch_one(&mut **tx).await?;
    Ok(number)
}
