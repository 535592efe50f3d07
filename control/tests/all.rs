//! The service, asked as its callers ask it: one program, since linking thirty takes longer than
//! running most.

#![allow(
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::cloned_ref_to_slice_refs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod anonymous_policy;
mod api_keys;
mod approvals;
mod backup;
mod catalog;
mod checks;
mod common;
mod compromised_keys;
mod console;
mod constraints;
mod consume;
mod decisions_stream;
mod durability;
mod enforcement;
mod follow;
mod follow_together;
mod gates;
mod issuers;
mod mcp_requests;
mod nonces;
mod operation;
mod passports;
mod propagation;
mod records;
mod records_export;
mod records_reading;
mod registry;
mod settlement;
mod settlement_and_log;
mod settlement_runs;
mod signing_keys;
mod spend;
mod tls;
mod trust_feed;
