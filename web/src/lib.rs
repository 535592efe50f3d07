//! The verifier for JavaScript: browsers, Node, Deno and workers.
//!
//! Every rule is the core's. What crosses the boundary is text and bytes: JSON in, JSON
//! out, so that the glue does not depend on what an answer holds. The public story, with its
//! types, is `web/js/`.

// The standard library's panics and its allocator are 20 KB of the package.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

#[cfg(feature = "agent")]
mod agent;
mod answer;
#[cfg(feature = "log")]
mod audit;
#[cfg(feature = "verify")]
mod capiscio;
#[cfg(feature = "catalog")]
mod catalog;
#[cfg(any(feature = "agent", feature = "verify"))]
mod credential;
mod input;
#[cfg(feature = "log")]
mod log;
#[cfg(feature = "verify")]
mod material;
#[cfg(feature = "verify")]
mod passport;
#[cfg(feature = "verify")]
mod proof;
#[cfg(feature = "verify")]
mod verify;
mod vm;

#[cfg(feature = "agent")]
pub use agent::{names, passport, proof, public_key, sign};
#[cfg(feature = "log")]
pub use audit::LogAudit;
#[cfg(feature = "catalog")]
pub use catalog::catalog;
#[cfg(feature = "log")]
pub use log::{checkpoint, consistency, inclusion};
#[cfg(feature = "verify")]
pub use material::TrustMaterial;
#[cfg(feature = "verify")]
pub use proof::verify_request;
#[cfg(feature = "verify")]
pub use verify::verify;

use answer::thrown;
use portcullis_core::json::canonical_text;
use wasm_bindgen::prelude::wasm_bindgen;

/// The canonical text (RFC 8785) of a JSON text.
///
/// # Errors
/// What is wrong with the text, and where, as JSON of an error.
#[wasm_bindgen]
pub fn canonicalize(text: &[u8]) -> answer::Answer {
    input::json(text).map(|value| canonical_text(&value)).map_err(|unusable| thrown(&unusable))
}
