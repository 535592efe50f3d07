//! The filter that Envoy, Istio or another proxy-wasm host runs: it takes a request's
//! headers to [`portcullis_core::Verifier`] and does with the request what it answers.
//!
//! `callbacks` is what the proxy calls, `host` makes all calls to it; `root` receives the
//! configuration, `live` fetches trust material, `request` judges,
//! `nginx` has what is otherwise on that host, `nonce` asks whether what a request uses up was used
//! at another proxy, `access_log` tells the proxy what was decided. What stands in no contact with
//! the proxy is public, for tests and fuzzing.

// The standard library's panics and its environment are 24 KB of the plugin's file.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

pub mod pairs;

mod access_log;
mod allocator;
mod body;
mod build;
mod callbacks;
mod contexts;
mod counters;
mod fault;
#[expect(unsafe_code, reason = "the ABI's edge")]
mod host;
mod live;
mod meter;
mod metrics;
mod nginx;
mod nonce;
mod prepare;
mod records;
mod replay;
mod request;
mod root;
mod shared;
mod shown;
mod spend;
mod trace;

// Where the compiler finds what it compares memory with.
#[cfg(target_family = "wasm")]
#[link(name = "c")]
#[expect(unsafe_code, reason = "nothing of it is called here")]
unsafe extern "C" {}

/// What cannot happen, as lints deny what panics. Nothing of it is formatted: that
/// would bring the formatting of every check in every library into the file.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    host::log(host::Level::Critical, "the gate panicked: this worker's gate is at its end");
    core::arch::wasm32::unreachable()
}
