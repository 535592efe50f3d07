//! Vectors: one JSON file for each case, which every implementation of the verifier
//! must answer alike, natively, in WebAssembly and on the command line.

mod badge_wire;
mod badges;
mod delegations;
mod jws;
mod live;
mod make;
mod passports;
mod simpleguard;

pub use badges::badges;
pub use live::{
    Document, FingerprintVector, LiveExpect, LiveVector, fingerprints, live_documents, live_folder,
};
pub use passports::passports;
pub use simpleguard::signatures;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// The names of whoever judges it, as `aud` may call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// The body that comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The credential: a passport's JSON, or a token.
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
    /// Valid, with this provenance, level or kid.
    Valid(String),
}

/// A kind of credential that has vectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// `tests/vectors/badge/`: Trust Badges.
    Badge,
    /// `tests/vectors/passport/`: Modei passports.
    Passport,
    /// `tests/vectors/simpleguard/`: SimpleGuard signatures.
    SimpleGuard,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 3] = [Family::Badge, Family::Passport, Family::SimpleGuard];

    /// The vectors as they are made.
    pub fn made(self) -> Vec<Vector> {
        match self {
            Family::Badge => badges(),
            Family::Passport => passports(),
            Family::SimpleGuard => signatures(),
        }
    }

    /// Where the files are.
    pub fn folder(self) -> PathBuf {
        let name = match self {
            Family::Badge => "badge",
            Family::Passport => "passport",
            Family::SimpleGuard => "simpleguard",
        };
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
    }

    /// What the files hold, by their names without ending.
    ///
    /// # Panics
    /// Where a file is unreadable: there is nothing to test then.
    pub fn load(self) -> BTreeMap<String, String> {
        load(&self.folder())
    }
}

/// What the files of a folder hold, by their names without ending.
///
/// # Panics
/// Where a file is unreadable: there is nothing to test then.
pub fn load(folder: &Path) -> BTreeMap<String, String> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry of tests/vectors").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a vector is readable"))
    };
    let files: BTreeMap<_, _> = std::fs::read_dir(folder).expect("tests/vectors").map(read).collect();
    assert!(!files.is_empty(), "there are no vectors in {}", folder.display());
    files
}

/// The text of a vector's file.
pub fn file_text(vector: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(vector).expect("a vector is JSON");
    text.push('\n');
    text
}
