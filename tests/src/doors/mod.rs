//! The doors through which bytes come in that nobody vouches for, each as one function
//! that goes through it and checks what must hold whatever the bytes are. The fuzz
//! targets call them with what the fuzzer makes up, the tests with what it kept.

mod attestation;
mod capiscio;
mod catalog;
mod configuration;
mod delegation;
mod envelope;
mod gate;
mod guardrails;
mod headers;
mod json;
mod jwt;
mod keys;
mod live;
mod mcp;
mod pairs;
mod passport;
#[path = "../../../plugin/src/pairs.rs"]
#[allow(dead_code, reason = "the plugin's own module: a cdylib cannot be depended upon")]
mod plugin_pairs;
mod proof;
mod receipt;
mod request_text;

pub use attestation::attestation;
pub use capiscio::capiscio;
pub use catalog::catalog;
pub use configuration::configuration;
pub use delegation::delegation;
pub use envelope::envelope;
pub use gate::{NOW, issuers};
pub use guardrails::guardrails;
pub use headers::headers;
pub use json::json;
pub use jwt::jwt;
pub use keys::key;
pub use live::live;
pub use mcp::mcp;
pub use pairs::{encoded, pairs};
pub use proof::proof;
pub use receipt::receipt;
pub use request_text::RequestText;

use portcullis_core::sha256;
use std::path::PathBuf;

/// What became of an input. A corpus must have both: one that is refused throughout
/// no longer reaches what lies behind the door.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It was let in, and what follows from that was found to hold.
    Accepted,
    /// It was refused.
    Refused,
}

/// One door.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// The name of the fuzz target and of its corpus.
    pub name: &'static str,
    /// Goes through it; panics where something does not hold.
    pub open: fn(&[u8]) -> Answer,
}

/// All doors, by name.
pub const DOORS: [Door; 15] = [
    Door { name: "attestation", open: attestation },
    Door { name: "capiscio", open: capiscio },
    Door { name: "catalog", open: catalog },
    Door { name: "configuration", open: configuration },
    Door { name: "delegation", open: delegation },
    Door { name: "envelope", open: envelope },
    Door { name: "guardrails", open: guardrails },
    Door { name: "headers", open: headers },
    Door { name: "json", open: json },
    Door { name: "jwt", open: jwt },
    Door { name: "live", open: live },
    Door { name: "mcp", open: mcp },
    Door { name: "pairs", open: pairs },
    Door { name: "proof", open: proof },
    Door { name: "receipt", open: receipt },
];

impl Door {
    /// Where the inputs are that are kept for it.
    pub fn corpus(&self) -> PathBuf {
        fuzz_folder().join("corpus").join(self.name)
    }
}

/// The folder of the fuzz targets' crate.
pub fn fuzz_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

impl Answer {
    fn or(self, other: Self) -> Self {
        if self == Answer::Accepted { self } else { other }
    }
}

/// A few copies of `bytes`, each with one byte changed, at places that depend on the
/// bytes alone: equal inputs are to give equal answers. Over many inputs, all places.
fn altered(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    // Each costs a signature check or two, of which a fuzzer does some 10,000 a second.
    const COPIES: usize = 4;
    let digest = sha256(bytes);
    let choices: Vec<_> = digest.chunks(5).take(COPIES).map(<[u8]>::to_vec).collect();
    choices.into_iter().filter(|_| !bytes.is_empty()).map(|choice| {
        let place = u32::from_le_bytes([choice[0], choice[1], choice[2], choice[3]]) as usize % bytes.len();
        let mut copy = bytes.to_vec();
        copy[place] ^= choice[4].max(1);
        copy
    })
}
