//! What is said about the files of a release: which they are, of what they were made, and their
//! hashes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use portcullis_core::live::hex;
use portcullis_core::sha256;
use serde::Serialize;

use crate::source::Source;

/// Says all that is known of the files, as JSON.
pub const MANIFEST: &str = "manifest.json";

/// What `sha256sum -c` reads.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// A release: a folder of files.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest<'a> {
    /// The project.
    pub name: &'a str,
    /// The version of all files.
    pub version: &'a str,
    /// The commit that was checked out, if git said.
    pub commit: Option<&'a str>,
    /// Whether files differed from that commit: then nobody else can make these files.
    pub dirty: bool,
    /// The compiler, as it says its version.
    pub rust: &'a str,
    /// The files.
    pub files: Vec<Entry>,
}

/// A file of a release.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// What it was compiled for, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hexadecimal digits.
    pub sha256: String,
}

impl<'a> Manifest<'a> {
    /// A release without files yet.
    pub fn new(source: &'a Source, rust: &'a str) -> Self {
        Self {
            name: "portcullis",
            version: source.version,
            commit: source.head.as_ref().map(|commit| commit.hash.as_str()),
            dirty: source.changed_files > 0,
            rust,
            files: Vec::new(),
        }
    }

    /// Puts a file that is in the folder on the list.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add(&mut self, folder: &Path, name: &str, target: Option<&str>) -> Result<()> {
        let bytes = fs::read(folder.join(name)).with_context(|| format!("cannot read {name}"))?;
        self.files.push(Entry {
            name: name.to_owned(),
            target: target.map(str::to_owned),
            bytes: u64::try_from(bytes.len())?,
            sha256: hex(&sha256(&bytes)),
        });
        Ok(())
    }

    /// Writes the manifest, and the checksums of it and of all files.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::write(folder.join(MANIFEST), &text)?;
        let line = |name: &str, hash: &str| format!("{hash}  {name}\n");
        let mut sums: Vec<_> = self.files.iter().map(|file| line(&file.name, &file.sha256)).collect();
        sums.push(line(MANIFEST, &hex(&sha256(&text))));
        fs::write(folder.join(CHECKSUMS), sums.concat())?;
        Ok(())
    }
}
