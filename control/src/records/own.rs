//! Records that the service makes itself, of a gate: what was decided here, or elsewhere
//! and reported here. They have a lane of their own in the gate's log, and a key of their
//! own, so that nobody takes them for what the gate has signed.

use super::lane;
use super::store::{self, Entry};
use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::keys::{self, Purpose};
use crate::receipts;
use crate::time::now_ms;
use anyhow::anyhow;
use portcullis_core::attestation::{Draft, LaneId, ReceiptName, Record, Signer};
use portcullis_core::receipt::{Receipt, SignedReceipt};
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
    let signer = own_signer(tx, app, &draft.gate_id).await?;
    Ok(append(tx, app, draft, reported, &Signer::new(&signer.key)).await?.0)
}

/// Signs a receipt of a gate, and makes the record that stands for it: as [`record_own`]. Whoever
/// calls has left the draft's receipt, and what it costs, open.
///
/// # Errors
/// As [`record_own`].
pub async fn record_receipt(
    tx: &mut Tx,
    app: &App,
    mut draft: Draft,
    (receipt, base): (&Receipt, &str),
    reported: Reported,
) -> ApiResult<(Record, SignedReceipt)> {
    let signer = Signer::new(&own_signer(tx, app, &draft.gate_id).await?.key);
    let signed = SignedReceipt::read(receipt.sign(&signer).as_bytes())
        .map_err(|error| anyhow!("the service made a receipt that is none: {error}"))?;
    draft.receipt = Some(ReceiptName { id: receipt.id, sha256: signed.hash() });
    let (record, log_index) = append(tx, app, &draft, Some(reported), &signer).await?;
    receipts::insert(tx, &signed, base, log_index).await?;
    Ok((record, signed))
}

/// The key by which the service signs for a gate now; it is made at its first use. The gate's
/// log is this transaction's until it ends.
///
/// # Errors
/// No database, or no key.
pub async fn own_signer(tx: &mut Tx, app: &App, gate: &str) -> ApiResult<keys::Signer> {
    store::lock(tx, gate).await?;
    if keys::published(tx, Purpose::Attestations, gate).await?.is_empty() {
        keys::create(tx, &app.vault, Purpose::Attestations, gate, now_ms()).await?;
    }
    Ok(keys::signer(tx, &app.vault, Purpose::Attestations, gate).await?)
}

/// Answers the record, and its place in the log.
async fn append(
    tx: &mut Tx,
    app: &App,
    draft: &Draft,
    reported: Option<Reported>,
    signer: &Signer,
) -> ApiResult<(Record, u64)> {
    let gate = &draft.gate_id;
    let locked = store::lock(tx, gate).await?;
    let id = own_lane(gate);
    let text = base64::encode_url(&id);
    let known = match lane::find(tx, gate, &text).await? {
        Some(known) => known,
        None => lane::make(tx, gate, &text, signer.key_id(), &locked).await?,
    };
    let signed = draft.unsigned().sign(&id, known.next, &known.last_hash, signer);
    let record = Record::read(signed.text.as_bytes())
        .map_err(|error| anyhow!("the service made a record that is none: {error}"))?;
    store::append(tx, app, gate, &locked, &text, &[Entry::new(&record, reported)]).await?;
    Ok((record, locked.size))
}
