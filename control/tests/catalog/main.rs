//! Catalogs of gates: what they offer, who finds it, and which passports have its terms.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[path = "../common/mod.rs"]
mod common;
mod discover;
mod pins;
mod support;
mod versions;
