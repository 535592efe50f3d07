//! The built program, as its users meet it: arguments and files in; standard output,
//! files and an exit code out.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers end it as the test itself would"
)]

mod bad_input;
mod badge;
mod bundle;
mod delegate;
mod explain;
mod inspect;
mod issue;
mod keygen;
mod modei_sdk;
mod sign;
mod support;
mod trust_store;
mod verify;
