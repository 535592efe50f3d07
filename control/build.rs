//! Puts the console's files into the program: those of `web/console/`, and where the variable
//! `PORTCULLIS_WEB_PACKAGE` names the folder that `cargo xtask web` builds, the verifier that
//! the audit page runs.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<()> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let pages = here.join("../web/console").canonicalize()?;
    let mut table = String::from("/// The console's files, by their path below `/console/`.\n");
    table.push_str("pub(super) static FILES: &[(&str, &[u8])] = &[\n");
    embed(&mut table, &pages, "")?;
    println!("cargo:rerun-if-env-changed={PACKAGE}");
    let package = env::var_os(PACKAGE).filter(|folder| !folder.is_empty());
    if let Some(folder) = &package {
        let folder = PathBuf::from(folder).canonicalize()?;
        if !folder.join("portcullis_bg.wasm").is_file() {
            let message = format!("{PACKAGE}: {} has no portcullis_bg.wasm", folder.display());
            return Err(Error::other(message));
        }
        embed(&mut table, &folder, "package/")?;
    }
    table.push_str("];\n\n/// Whether the verifier of the audit page is among them.\n");
    let _ = writeln!(table, "pub(super) const HAS_PACKAGE: bool = {};", package.is_some());
    fs::write(Path::new(&variable("OUT_DIR")?).join("console_files.rs"), table)
}

const PACKAGE: &str = "PORTCULLIS_WEB_PACKAGE";

/// What browsers load. A package's descriptions and licence are for those who install it.
const KINDS: &[&str] = &["html", "css", "js", "mjs", "svg", "wasm"];

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| Error::other(format!("{name}: {error}")))
}

fn embed(table: &mut String, folder: &Path, prefix: &str) -> Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            embed(table, &path, &format!("{prefix}{name}/"))?;
        } else if path.extension().and_then(|kind| kind.to_str()).is_some_and(|kind| KINDS.contains(&kind)) {
            println!("cargo:rerun-if-changed={}", path.display());
            let _ = writeln!(table, "    ({:?}, include_bytes!({:?})),", format!("{prefix}{name}"), path);
        }
    }
    Ok(())
}
