//! The filter that Envoy, Istio or another proxy-wasm host runs: it takes a request's
//! headers to [`portcullis_core::Verifier`] and does with the request what it answers.
//!
//! `root` receives the configuration, `request` the callbacks of a request; `host`
//! makes all calls to the proxy. What stands in no contact with the proxy is public,
//! for tests and fuzzing.

pub mod headers;
pub mod pairs;
pub mod reply;

mod allocator;
mod body;
#[expect(unsafe_code, reason = "the ABI's edge")]
mod host;
mod live;
mod metrics;
mod replay;
mod request;
mod root;
mod shared;

mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::<crate::root::Root>::default());
    }}
}
