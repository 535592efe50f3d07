//! What the core does, from outside: one program, since linking thirty takes longer than running them.

#![allow(
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod attestation;
mod attestation_audit;
mod attestation_batch;
mod attestation_log;
mod capiscio;
mod catalog;
mod catalog_pin;
mod common;
mod counters;
mod guardrails;
mod guardrails_anonymous;
mod guardrails_gate;
mod guardrails_holds;
mod guardrails_later;
mod guardrails_memory;
mod handed;
mod held_proofs;
mod json;
mod live;
mod live_documents;
mod mcp;
mod metering;
mod passport;
mod profiles;
mod proof;
mod receipt;
mod replay;
mod request;
mod request_proof;
mod spend;
