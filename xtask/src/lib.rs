//! What the project's own commands and its tests both run: a real Envoy, and an
//! upstream that tells what it saw.

pub mod children;
pub mod chromium;
pub mod control;
pub mod ecds;
pub mod echo;
pub mod envoy;
pub mod envoy_config;
pub mod http;
pub mod live_gate;
pub mod made_log;
pub mod net;
pub mod postgres;
pub mod skipped;
pub mod soak;
pub mod system_packages;
pub mod tampering;
pub mod trust_folder;
pub mod workspace;
