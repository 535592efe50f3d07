//! `cargo xtask dist`: all files of a release, in `target/dist`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{pins, released, rust_version, warning};
use crate::test::WEB_PACKAGE;
use crate::workspace::Workspace;
use crate::{node, progress, web};
use xtask::dist::{CHECKSUMS, MANIFEST, Manifest};
use xtask::source::{COMMIT_VARIABLE, Source};
use xtask::{oci, sbom};

/// The programs, and the packages that they are in.
const PROGRAMS: [(&str, &str); 3] = [
    ("portcullis", "portcullis"),
    ("portcullis-control", "portcullis-control"),
    ("portcullis-harness", "portcullis-gate"),
];

/// Makes the files and lists them.
pub(crate) fn dist(workspace: &Workspace) -> Result<()> {
    let source = Source::of(workspace)?;
    let (rust, host) = (rust_version()?, host()?);
    let version = source.version;
    let folder = workspace.target.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let mut manifest = Manifest::new(&source, &rust);

    let released = released(workspace, &source)?;
    fs::copy(&released.file, folder.join("portcullis.wasm"))?;
    manifest.add(&folder, "portcullis.wasm", Some(sbom::TARGET))?;
    fs::write(folder.join("portcullis.cdx.json"), &released.sbom)?;
    manifest.add(&folder, "portcullis.cdx.json", None)?;
    let layout = workspace.target.join("image");
    released.image.write(&layout)?;
    let name = format!("portcullis-{version}.oci.tar");
    oci::tar_of_folder(&layout, File::create(folder.join(&name))?, &source)?;
    manifest.add(&folder, &name, None)?;

    let package = web::build(workspace)?;
    let name = pack(workspace, &package, &folder, version)?;
    manifest.add(&folder, &name, Some(web::TARGET))?;

    build_programs(workspace, &source, &package)?;
    for (_, program) in PROGRAMS {
        let name = format!("{program}-{host}");
        fs::copy(workspace.target.join("release").join(program), folder.join(&name))?;
        manifest.add(&folder, &name, Some(&host))?;
    }
    manifest.write(&folder)?;

    println!("portcullis {version}, commit {}, {rust}\n", source.stamp());
    for file in &manifest.files {
        println!("{:>12}  {}", file.bytes, file.name);
    }
    println!("\n{}: these, {MANIFEST} and {CHECKSUMS}\n", workspace.short(&folder));
    println!("{}", pins(&released, &format!("REGISTRY/portcullis:{version}")));
    if let Some(warning) = warning(&source) {
        println!("NOTE: {warning}");
    }
    Ok(())
}

/// Makes npm's file of the package; gives its name.
fn pack(workspace: &Workspace, package: &Path, folder: &Path, version: &str) -> Result<String> {
    let description: Value = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let named = description.get("version").and_then(Value::as_str);
    ensure!(named == Some(version), "web/package.json has version {named:?}, Cargo.toml {version}");
    let node = node::node(workspace)?;
    progress::step("pack the package for JavaScript (npm)", |step| {
        let mut npm = node.npm();
        npm.args(["pack", "--ignore-scripts", "--no-update-notifier", "--pack-destination"]);
        step.command(npm.arg(folder).current_dir(package))
    })?;
    Ok(format!("portcullis-web-{version}.tgz"))
}

/// Builds all programs at once: what they share is built once then.
fn build_programs(workspace: &Workspace, source: &Source, package: &Path) -> Result<()> {
    progress::step("build the programs (release)", |step| {
        let mut command = workspace.cargo();
        command.args(["build", "--release", "--locked"]);
        for (package, program) in PROGRAMS {
            command.args(["--package", package, "--bin", program]);
        }
        command.arg("--config").arg(format!("build.rustflags={:?}", without_folders(workspace)?));
        step.command(command.env(WEB_PACKAGE, package).env(COMMIT_VARIABLE, source.stamp()))
    })
}

/// Has the compiler write short names into programs instead of this machine's folders, which
/// would differ elsewhere, and are nobody's business.
fn without_folders(workspace: &Workspace) -> Result<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let named = |folder: &Path, name: &str| format!("--remap-path-prefix={}={name}", folder.display());
    // The last that fits holds.
    Ok(vec![named(&home, "cargo"), named(&workspace.root, "portcullis"), named(&workspace.target, "target")])
}

/// The machine for which programs are built.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
