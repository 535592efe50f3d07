//! The filter that Envoy, Istio or another proxy-wasm host runs: it takes a request's
//! headers to [`portcullis_core::Verifier`] and does with the request what it answers.
//!
//! `callbacks` is what the proxy calls, `host` makes all calls to it; `root` receives the
//! configuration, `live` fetches trust material, `request` judges. What stands in no
//! contact with the proxy is public, for tests and fuzzing.

pub mod headers;
pub mod pairs;
pub mod reply;

mod allocator;
mod body;
mod callbacks;
#[expect(unsafe_code, reason = "the ABI's edge")]
mod host;
mod live;
mod metrics;
mod replay;
mod request;
mod root;
mod shared;
