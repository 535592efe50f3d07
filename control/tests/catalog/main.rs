//! Catalogs of gates: what they offer, who finds it, and which passports have its terms.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

#[path = "../common/mod.rs"]
mod common;
mod discover;
mod pins;
mod support;
mod versions;
