//! What gates have of HTTP in common: how a refusal is answered, which headers a client may not
//! send, which ones an upstream is sent. The plugin and the edge gate both answer with it, so that
//! a client cannot tell by the answer which of the two stood in its way.

#![no_std]

extern crate alloc;

pub mod headers;
mod refusal;

pub use refusal::{Reply, Told};
