//! What others install: `cargo xtask image`, and `cargo xtask dist`.

mod dist;
mod image;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_core::live::hex;
use portcullis_core::sha256;
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{plugin, progress};
use xtask::oci::Image;
use xtask::sbom::{self, Crate, CrateId};
use xtask::source::Source;

pub(crate) use dist::dist;
pub(crate) use image::{ImageOptions, image};

/// The plugin as it is released.
struct Released {
    file: PathBuf,
    bytes: Vec<u8>,
    /// What is in it.
    sbom: Vec<u8>,
    image: Image,
}

/// Builds the plugin, says what is in it, and makes its image.
fn released(workspace: &Workspace, source: &Source) -> Result<Released> {
    let file = plugin::build_release(workspace, source.stamp())?;
    plugin::check(workspace, &file)?;
    let bytes = fs::read(&file)?;
    let sbom = progress::step("list what is in the plugin", |_| {
        let crates = listed(workspace, Some(source.stamp()))?;
        let tools = [("rustc", rust_release()?), ("binaryen", binaryen_version(workspace)?)];
        sbom::document(&crates, &bytes, &tools, source)
    })?;
    let image = Image::of(&bytes, source, &sbom)?;
    Ok(Released { file, bytes, sbom, image })
}

/// The crates that are in the plugin, which is built: those that were compiled, and no others.
pub(crate) fn listed(workspace: &Workspace, stamp: Option<&str>) -> Result<BTreeMap<CrateId, Crate>> {
    let crates = sbom::crates(workspace)?;
    sbom::complete(&crates, &sbom::compiled(&plugin::messages(workspace, stamp)?)?)?;
    Ok(crates)
}

/// What is to be pasted where the plugin is fetched, for an image at `address`.
fn pins(released: &Released, address: &str) -> String {
    let (image, file) = (released.image.pin(), hex(&sha256(&released.bytes)));
    format!(
        "Istio, in a WasmPlugin:\n\n\
         spec:\n  url: oci://{address}\n  sha256: {image}\n\n\
         Envoy Gateway, in an EnvoyExtensionPolicy:\n\n\
         spec:\n  wasm:\n    - code:\n        type: Image\n        image:\n          \
         url: oci://{address}\n          sha256: {image}\n\n\
         Whatever fetches the file itself over HTTP, Envoy for one, has the file's own hash:\n\n\
         sha256: {file}\n"
    )
}

/// What there is to say of sources that nobody else has.
fn warning(source: &Source) -> Option<String> {
    match (&source.head, source.changed_files) {
        (None, _) => {
            Some("these sources are in no git repository: the files say commit `unknown`".to_owned())
        }
        (Some(_), 0) => None,
        (Some(head), count) => Some(format!(
            "{count} file(s) differ from the commit {}: what was made says commit `unknown`, and nobody else can make \
             it (`git status` lists them)",
            head.hash
        )),
    }
}

/// The compiler's version, such as 1.95.0.
fn rust_release() -> Result<String> {
    let version = rust_version()?;
    let release = version.split(' ').nth(1).with_context(|| format!("rustc says {version:?}"))?;
    Ok(release.to_owned())
}

/// All that the compiler says of its version, in one line.
fn rust_version() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc does not say its version");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Of the optimiser that the plugin's file has gone through.
fn binaryen_version(workspace: &Workspace) -> Result<String> {
    let lock_file = fs::read(workspace.root.join("xtask/node/package-lock.json"))?;
    let lock_file: Value = serde_json::from_slice(&lock_file)?;
    let version = lock_file.pointer("/packages/node_modules~1binaryen/version").and_then(Value::as_str);
    Ok(version.context("xtask/node/package-lock.json names no binaryen")?.to_owned())
}
