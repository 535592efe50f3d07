//! Receipts: what uses of priced actions cost, signed by whoever metered them, with the text
//! that the agent signed when it asked.
//!
//! Gates bring theirs as attachments of records; for callers outside a gate the service makes
//! them ([`consume`]). A stored receipt is never changed: what settles it is kept apart.

pub mod consume;
pub mod nonces;
mod pop;
mod read;
mod store;
mod terms;

pub use pop::AgentPop;
pub use read::{Beside, Place, Stored, Wanted, of_id, page};
pub(crate) use store::column;
pub use store::{Columns, insert};
pub use terms::Terms;
