//! Archives that are the same bytes each time: no owner, no times but the commit's.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::source::Source;

/// The name by which Istio and Envoy Gateway look for the plugin in a layer.
const PLUGIN: &str = "plugin.wasm";

/// A layer with the plugin's file in it.
pub(super) fn tar_of_plugin(plugin: &[u8], source: &Source) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, PLUGIN, plugin, source)?;
    Ok(tar.into_inner()?)
}

/// An archive of a folder's files, in the order of their names.
///
/// # Errors
/// The folder cannot be read, or the archive not written.
pub fn tar_of_folder(folder: &Path, archive: impl Write, source: &Source) -> Result<()> {
    let mut tar = Builder::new(archive);
    append_folder(&mut tar, folder, "", source)?;
    tar.into_inner()?.flush()?;
    Ok(())
}

/// Compresses as far as it goes: it is done once, and fetched often.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

fn append_folder(tar: &mut Builder<impl Write>, folder: &Path, below: &str, source: &Source) -> Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut entries =
        fs::read_dir(folder).with_context(cannot)?.collect::<Result<Vec<_>, _>>().with_context(cannot)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            append_folder(tar, &entry.path(), &format!("{name}/"), source)?;
        } else {
            append(tar, &name, &fs::read(entry.path()).with_context(cannot)?, source)?;
        }
    }
    Ok(())
}

fn append(tar: &mut Builder<impl Write>, name: &str, bytes: &[u8], source: &Source) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(source.commit().map_or(0, |commit| commit.time));
    header.set_size(u64::try_from(bytes.len())?);
    Ok(tar.append_data(&mut header, name, bytes)?)
}
