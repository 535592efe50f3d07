//! Reading and writing files, with bounds and in one piece.

use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What was in a file.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    /// The permission bits, where the system has them.
    pub(crate) mode: Option<u32>,
}

/// Who may read a file that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody but its owner: mode 0600.
    Owner,
    /// Whoever the umask lets.
    Umask,
}

/// Whether a file that exists may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: usize) -> Result<Contents> {
    let read = || -> Result<Contents> {
        let file = File::open(path)?;
        // Of the open file, so that it is this one's mode and not a later one's.
        let mode = permission_bits(&file)?;
        Ok(Contents { bytes: bounded(file, max)?, mode })
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a file, or standard input where the path is `-`.
pub(crate) fn read_or_stdin(path: &Path, max: usize) -> Result<Vec<u8>> {
    if is_standard(path) {
        return bounded(std::io::stdin().lock(), max).context("cannot read standard input");
    }
    Ok(read(path, max)?.bytes)
}

/// Writes a file whole or not at all: under another name beside it, then renamed.
pub(crate) fn write(path: &Path, text: &str, readers: Readers, existing: Existing) -> Result<()> {
    let write = || -> Result<()> {
        let path = &target(path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            bail!("there is no folder {}", folder.display());
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".portcullis-");
        let permissions = permissions(readers);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let mut file = builder.tempfile_in(folder).map_err(|error| anyhow!("{}", error.kind()))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        match existing {
            Existing::Replace => file.persist(path).map_err(|error| error.error)?,
            Existing::Keep => file.persist_noclobber(path).map_err(|error| error.error)?,
        };
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Whether a path means standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The file that a path leads to. To rename over a link would replace the link, and
/// over a device (`/dev/null`) would break the system.
fn target(path: &Path) -> Result<PathBuf> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(path.canonicalize()?),
        Ok(_) => bail!("it exists and is no regular file; `-` is standard output"),
        Err(_) => Ok(path.to_owned()),
    }
}

fn bounded(source: impl Read, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        bail!("it is larger than the {} KiB that such a file may have", max.div_ceil(1024));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn permission_bits(file: &File) -> Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    Ok(Some(file.metadata()?.permissions().mode() & 0o777))
}

#[cfg(not(unix))]
fn permission_bits(_file: &File) -> Result<Option<u32>> {
    Ok(None)
}

#[cfg(unix)]
fn permissions(readers: Readers) -> Option<std::fs::Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::Permissions::from_mode(match readers {
        Readers::Owner => 0o600,
        // The umask takes its part of these.
        Readers::Umask => 0o666,
    }))
}

#[cfg(not(unix))]
fn permissions(_readers: Readers) -> Option<std::fs::Permissions> {
    None
}
