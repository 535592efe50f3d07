//! What the project's own commands and its tests both run: a real Envoy, an upstream that tells
//! what it saw; and what releases are made of.

pub mod children;
pub mod chromium;
pub mod control;
pub mod dist;
pub mod ecds;
pub mod echo;
pub mod envoy;
pub mod envoy_config;
pub mod http;
pub mod live_gate;
pub mod made_log;
pub mod net;
pub mod oci;
pub mod postgres;
pub mod registry;
pub mod sbom;
pub mod skipped;
pub mod soak;
pub mod source;
pub mod system_packages;
pub mod tampering;
pub mod trust_folder;
pub mod workspace;
