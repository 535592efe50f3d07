//! Records that the service makes itself, of a gate: what was decided here, or elsewhere
//! and reported here. They have a lane of their own in the gate's log, and a key of their
//! own, so that nobody takes them for what the gate has signed.

use super::lane;
use super::store::{self, Entry};
use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::keys::{self, Purpose};
use crate::time::now_ms;
use anyhow::anyhow;
use portcullis_core::attestation::{Draft, LaneId, Record, Signer};
use portcullis_core::{base64, sha256};

/// What a caller reported, where a record is about that.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// All of it, as JSON.
    pub json: String,
    /// The agent that it names.
    pub agent_id: Option<String>,
    /// The passport that it names.
    pub passport_id: Option<String>,
}

/// The lane of the service's own records of a gate.
pub fn own_lane(gate: &str) -> LaneId {
    let hash = sha256(&[b"portcullis service records 1\0", gate.as_bytes()].concat());
    hash.first_chunk().copied().unwrap_or_default()
}

/// A new record's id.
///
/// # Errors
/// No randomness.
pub fn new_id() -> ApiResult<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(id)
}

/// Makes a record of a gate, in the transaction of what it is about. The gate's log is this
/// transaction's until it ends: take whatever else is to be locked before. Answers the
/// record.
///
/// # Errors
/// No database, or no key.
pub async fn record_own(
    tx: &mut Tx,
    app: &App,
    draft: &Draft,
    reported: Option<Reported>,
) -> ApiResult<Record> {
    let gate = &draft.gate_id;
    let locked = store::lock(tx, gate).await?;
    if keys::published(tx, Purpose::Attestations, gate).await?.is_empty() {
        keys::create(tx, &app.vault, Purpose::Attestations, gate, now_ms()).await?;
    }
    let signer = keys::signer(tx, &app.vault, Purpose::Attestations, gate).await?;
    let id = own_lane(gate);
    let text = base64::encode_url(&id);
    let known = match lane::find(tx, gate, &text).await? {
        Some(known) => known,
        None => lane::make(tx, gate, &text, &signer.key_id, &locked).await?,
    };
    let signed = draft.unsigned().sign(&id, known.next, &known.last_hash, &Signer::new(&signer.key));
    let record = Record::read(signed.text.as_bytes())
        .map_err(|error| anyhow!("the service made a record that is none: {error}"))?;
    store::append(tx, app, gate, &locked, &text, &[Entry::new(&record, reported)]).await?;
    Ok(record)
}
