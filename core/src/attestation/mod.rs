//! Attestations: what a gate decided, signed, chained and logged.
//!
//! A [`Draft`] says what was decided. [`Draft::unsigned`] makes the canonical text of it
//! around the four members that only its place in a lane gives, [`Unsigned::sign`] puts
//! them in. A *lane* is the chain of one gate process: numbers without gaps, each record
//! hashed together with the one before it. The control service appends all lanes of a gate
//! to one Merkle log ([`log`], RFC 9162) and signs its state, a [`Checkpoint`]. A gate
//! forgets a record only once [`verify_batch_answer`] holds.

mod audit;
mod batch;
mod checkpoint;
mod draft;
mod error;
pub mod export;
pub mod log;
mod note;
mod record;
mod signer;
mod unsigned;
pub(crate) mod write;

pub use audit::{Audit, AuditKeys, Broken, Checked, Culprit, Verdict};
pub use batch::{
    Batch, BatchAnswer, BatchHead, BatchRecord, Known, LaneAnswer, LaneQuestion, MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS, verify_batch_answer,
};
pub use checkpoint::Checkpoint;
pub use draft::{
    AccessMode, Agent, AttestedRequest, Decision, Draft, Dropped, Evaluation, Hold, MAX_COST_CENTS,
    MAX_RECORD, Outcome, ReceiptName,
};
pub use error::AttestationError;
pub use note::{Note, key_hash};
pub use record::Record;
pub use signer::Signer;
pub use unsigned::{Signed, Unsigned};

use crate::ed25519::Hasher;

/// 16 bytes that name a lane.
pub type LaneId = [u8; 16];

/// SHA-256.
pub type Hash = [u8; 32];

/// The Merkle leaf of a record (RFC 9162 section 2.1.1): its chain hash and its signature,
/// 96 bytes, hashed as a leaf.
pub fn leaf(chain_hash: &Hash, signature: &[u8; 64]) -> Hash {
    let mut hasher = Hasher::default();
    hasher.update(&[0]);
    hasher.update(chain_hash);
    hasher.update(signature);
    hasher.digest()
}
