//! Records of what gates decided: signed by those who made them, chained in lanes, and
//! appended to one log for each gate, whose state the service signs.
//!
//! Gates bring them in batches ([`intake`]), the service makes some itself ([`own`]). Both
//! are added by one way, under the lock of the log's row, so that a log has one order
//! however many instances there are. What is stored is the very text that was signed.

mod csv;
pub mod export;
pub mod intake;
pub mod keys;
mod lane;
pub mod log;
pub mod own;
pub mod read;
pub mod retention;
mod store;
pub mod stream;

pub use own::{Reported, new_id, own_lane, own_signer, record_own, record_receipt};
pub use store::{checkpoint, origin};
