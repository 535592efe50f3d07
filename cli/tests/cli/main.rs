//! The built program, as its users meet it: arguments and files in; standard output,
//! files and an exit code out.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers end it as the test itself would"
)]

mod audit;
mod bad_input;
mod badge;
mod bundle;
mod catalog;
mod delegate;
mod explain;
mod inspect;
mod issue;
mod keygen;
#[path = "../../../core/tests/common/log.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "the core's own tests use it too"
)]
mod log;
mod metering;
mod modei_sdk;
mod sign;
mod support;
mod trust_store;
mod verify;
