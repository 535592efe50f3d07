//! What a trust store trusts: `trusted/{kid}.pem`.

use super::kid::Kid;
use crate::files;
use crate::keyfile;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// The trusted keys of a store, and what is wrong with it.
#[derive(Default)]
pub(crate) struct Folder {
    /// In the order of their ids.
    pub(crate) keys: Vec<Trusted>,
    /// Files that should be keys and cannot be used.
    pub(crate) faults: Vec<Fault>,
    /// What is passed over, or may surprise.
    pub(crate) warnings: Vec<String>,
}

/// A key that the store trusts.
pub(crate) struct Trusted {
    pub(super) kid: Kid,
    pub(crate) key: [u8; 32],
    pub(crate) file: PathBuf,
}

/// A file of no use.
pub(crate) struct Fault {
    pub(crate) file: PathBuf,
    pub(crate) problem: String,
}

impl Folder {
    /// Reads the keys that `store` trusts.
    ///
    /// # Errors
    /// The folder cannot be read. What is wrong with one file is among the faults.
    pub(crate) fn read(store: &Path) -> Result<Self> {
        let path = super::trusted(store);
        let entries = std::fs::read_dir(&path).with_context(|| {
            format!("cannot read {}, where a trust store keeps the keys that it trusts", path.display())
        })?;
        let root = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        let mut folder = Folder::default();
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
            folder.take(&entry, &root);
        }
        folder.keys.sort_by(|left, right| left.kid.cmp(&right.kid));
        folder.faults.sort_by(|left, right| left.file.cmp(&right.file));
        folder.warn_of_collisions();
        folder.warnings.sort();
        Ok(folder)
    }

    fn take(&mut self, entry: &DirEntry, root: &Path) {
        let (file, name) = (entry.path(), entry.file_name());
        // Kubernetes mounts keep their versions in names with a dot, and files that are
        // being written have one.
        if name.as_encoded_bytes().starts_with(b".") {
            return;
        }
        let Some(kid) = name.to_str().and_then(Kid::of_file) else {
            self.warnings.push(format!("{} is ignored: it is not named {{kid}}.pem", file.display()));
            return;
        };
        match kid.and_then(|kid| Ok((kid, read_key(entry, root)?))) {
            Ok((kid, key)) => self.keys.push(Trusted { kid, key, file }),
            Err(error) => self.faults.push(Fault { file, problem: format!("{error:#}") }),
        }
    }

    fn warn_of_collisions(&mut self) {
        let mut kids: Vec<_> = self.keys.iter().map(|trusted| &trusted.kid).collect();
        kids.sort_by_key(|kid| kid.as_str().to_ascii_lowercase());
        for pair in kids.windows(2) {
            if let [first, second] = pair
                && first.collides_with(second)
            {
                self.warnings.push(format!(
                    "{} and {} differ in case only: two agents here, one file where file systems do not tell case apart",
                    first.as_str(),
                    second.as_str()
                ));
            }
        }
    }

    /// The key of this id.
    pub(super) fn get(&self, kid: &Kid) -> Option<&Trusted> {
        self.keys.iter().find(|trusted| trusted.kid == *kid)
    }
}

impl Trusted {
    pub(crate) fn kid(&self) -> &str {
        self.kid.as_str()
    }
}

impl Fault {
    pub(crate) fn to_text(&self) -> String {
        format!("{}: {}", self.file.display(), self.problem)
    }
}

fn read_key(entry: &DirEntry, root: &Path) -> Result<[u8; 32]> {
    let path = entry.path();
    if entry.file_type()?.is_symlink() {
        // A link within the folder is how Kubernetes mounts a ConfigMap. One that leads
        // out trusts whoever may write elsewhere, and nobody watching this folder sees
        // its target change or go.
        let target =
            path.canonicalize().map_err(|error| anyhow!("its link leads nowhere ({})", error.kind()))?;
        if !target.starts_with(root) {
            bail!("it is a link that leads out of the folder; put the key itself here");
        }
    }
    // Asked before opening: to open a pipe would be to wait for it.
    if !std::fs::metadata(&path)?.is_file() {
        bail!("it is no file");
    }
    keyfile::public_pem_of(&files::read(&path, keyfile::MAX_BYTES)?.bytes)
}

/// Writes a trusted key's file.
pub(super) fn write(folder: &Path, kid: &Kid, key: &[u8; 32], existing: files::Existing) -> Result<PathBuf> {
    let file = kid.file(folder);
    // Over a link its target would be written, wherever that is.
    if file.is_symlink() {
        bail!("{} is a link; take it away first", file.display());
    }
    files::write(&file, &keyfile::public_pem(key)?, files::Readers::Umask, existing)?;
    Ok(file)
}
