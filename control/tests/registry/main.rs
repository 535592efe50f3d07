//! The badge registry: agents, badges, proofs of possession, revocations.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cloned_ref_to_slice_refs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod badges;
mod proofs;
mod revocations;
#[allow(unreachable_pub, reason = "shared by this test's files")]
mod support;
