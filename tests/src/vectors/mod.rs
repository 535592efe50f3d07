//! Vectors: one JSON file for each case, which every implementation of the verifier
//! must answer alike, natively, in WebAssembly and on the command line.

mod make;
mod passports;

pub use passports::passports;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One credential, the circumstances in which it is judged, and the verdict.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What is special about the case, as the file is named.
    pub name: String,
    /// The rule that it tests.
    pub why: String,
    /// When it is judged, `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    pub now: String,
    /// The trust material to judge by; null judges the credential by itself.
    pub trust: Option<serde_json::Value>,
    /// The credential: a passport's JSON, or a JWT.
    pub credential: String,
    /// The verdict.
    pub expect: Expect,
}

/// A verdict.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Refused, for the reason with this code.
    Refused(String),
    /// Valid, with this provenance.
    Valid(String),
}

/// Where the files are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/passport")
}

/// What the files hold, by their names without ending.
///
/// # Panics
/// Where a file is unreadable: there is nothing to test then.
pub fn load() -> BTreeMap<String, String> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry of tests/vectors/passport").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a vector is readable"))
    };
    let files: BTreeMap<_, _> =
        std::fs::read_dir(folder()).expect("tests/vectors/passport").map(read).collect();
    assert!(!files.is_empty(), "there are no vectors");
    files
}

/// The text of a vector's file.
pub fn file_text(vector: &Vector) -> String {
    let mut text = serde_json::to_string_pretty(vector).expect("a vector is JSON");
    text.push('\n');
    text
}
