//! The control service: issuers, gates, passports, keys and revocations; and for running
//! gates, the signed trust material that says whom to trust and who is revoked.
//!
//! [`server::router`] lists everything that is served; [`App`] is what it works with.

pub mod anyone;
pub mod api;
pub mod app;
pub mod approvals;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod catalog;
pub mod console;
pub mod constraints;
pub mod db;
pub mod enforcement;
pub mod error;
pub mod extract;
pub mod first_bytes;
pub mod follow;
pub mod issuers;
pub mod keys;
pub mod limits;
pub mod mcp;
pub mod metrics;
pub mod outside;
pub mod passports;
pub mod receipts;
pub mod records;
pub mod registry;
pub mod reseal;
pub mod server;
pub mod settings;
pub mod settlement;
pub mod sla;
pub mod spend;
pub mod time;
pub mod traces;
pub mod trust;
pub mod vault;

pub use app::App;
pub use settings::Settings;
