//! The product as a whole, on every host: one program, since linking sixty takes longer than running
//! most.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod affinity_in_envoy;
mod approvals_command;
mod bad_input_in_envoy;
mod bench;
mod browser;
mod cli_vectors;
mod commerce_in_envoy;
mod common;
mod compromised_keys_in_envoy;
mod console_in_chromium;
mod console_pages_in_chromium;
mod deno;
mod differential;
mod edge_stand;
mod envoy_forms;
mod followed_registry_in_envoy;
mod form_stand;
mod forms_in_envoy;
mod fuzz_corpora;
mod gate_at_the_edge;
mod gate_callbacks;
mod gate_holds_bodies;
mod gate_in_envoy;
mod gate_live_trust;
mod gate_metering;
mod gate_on_harness;
mod gate_on_lacking_hosts;
mod gate_on_nginx;
mod gate_proofs;
mod gate_records;
mod gate_under_faults;
mod guardrails_in_envoy;
mod key_rotation_in_envoy;
mod kubernetes;
mod kubernetes_forms;
mod limits_in_envoy;
mod live_records;
mod live_stand;
mod live_trust_in_envoy;
mod live_workers;
mod mcp_gate_in_envoy;
mod mcp_readers;
mod mcp_server;
mod measured;
mod metered;
mod metering_in_envoy;
mod modei_client_enforcement;
mod modei_client_metering;
mod modei_client_on_control;
mod modei_scene;
mod nonce_authority;
mod nonce_authority_in_envoy;
mod openapi;
mod proof_interop;
mod proofs_in_envoy;
mod real_client;
mod record_by_real_client;
mod records_in_envoy;
mod scenario_workers;
mod sdk;
mod sdk_plugin;
mod settlement_command;
mod signatures;
mod simpleguard_client;
mod slow_service_in_envoy;
mod stand;
mod steady;
mod tampered_log_in_envoy;
mod telemetry_in_envoy;
mod trapped_workers_in_envoy;
mod trapping;
mod trust_folder_in_envoy;
mod upgrades_in_envoy;
mod vectors;
mod versions_told;
mod web_agents;
mod web_log;
mod web_stand;
mod web_types;
mod web_vectors;

#[path = "../../core/tests/common/log.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest")]
mod log;
#[path = "../../control/tests/common/outside.rs"]
#[allow(dead_code, reason = "the tests of the service use the rest")]
mod outside;
#[path = "../../core/tests/common/service.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest")]
mod service;
