//! The verifier for JavaScript: browsers, Node, Deno and workers.
//!
//! Every rule is the core's. What crosses the boundary is text and bytes: JSON in, JSON
//! out, so that the glue does not depend on what an answer holds. The public story, with its
//! types, is `web/js/`.

// The standard library's panics and its allocator are 20 KB of the package.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod answer;
mod audit;
mod input;
mod vm;

pub use audit::LogAudit;

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
