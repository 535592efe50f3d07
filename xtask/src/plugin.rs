//! Builds `target/portcullis.wasm` and checks what can be read off the file.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{Parser, Payload};

use crate::node;
use crate::progress;
use crate::tools;
use crate::workspace::Workspace;
use xtask::source::COMMIT_VARIABLE;

/// What the plugin's file shall not be larger than, in bytes: 400 KiB. Benchmarks say how far off
/// it is.
pub(crate) const WANTED_BYTES: u64 = 400 << 10;

/// What it may not be larger than, until it is as small as it shall be: what it is, and a little.
const MAX_BYTES: u64 = 416 << 10;

/// What the memory of one of its VMs may come to, in bytes: what `.cargo/config.toml` tells the linker.
const MAX_MEMORY: u64 = 256 << 20;

/// Builds the plugin and optimises it into `target/portcullis.wasm`.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let built = compile(workspace, None)?;
    optimise(workspace, &built, workspace.target.join("portcullis.wasm"))
}

/// Builds the plugin of a release, which says its commit, into `target/release-plugin`.
pub(crate) fn build_release(workspace: &Workspace, stamp: &str) -> Result<PathBuf> {
    let built = compile(workspace, Some(stamp))?;
    let folder = workspace.target_folder("release-plugin")?;
    optimise(workspace, &built, folder.join("portcullis.wasm"))
}

/// What cargo says of the crates that are in the plugin, once it is built.
pub(crate) fn messages(workspace: &Workspace, stamp: Option<&str>) -> Result<String> {
    let output = command(workspace, stamp).args(["--quiet", "--message-format=json"]).output()?;
    ensure!(output.status.success(), "cargo failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn optimise(workspace: &Workspace, built: &Path, plugin: PathBuf) -> Result<PathBuf> {
    // Two commands at once must not write the same files.
    let lock = File::create(plugin.with_extension("wasm.lock"))?;
    lock.lock().context("cannot lock target/portcullis.wasm.lock")?;
    // What the plugin was made from: the optimiser takes its time, and gives the same again.
    let source = plugin.with_extension("wasm.source");
    let wanted = [&std::fs::read(built)?[..], OPTIMISER.join(" ").as_bytes()].concat();
    if plugin.is_file() && std::fs::read(&source).is_ok_and(|source| source == wanted) {
        return Ok(plugin);
    }
    let node = node::node(workspace)?;
    // Renamed into place: an Envoy that starts now must not read half a file.
    let partial = plugin.with_extension("wasm.partial");
    progress::step("optimise the plugin (Binaryen)", |step| {
        step.command(node.command("binaryen/bin/wasm-opt").args(OPTIMISER).arg(built).arg("-o").arg(&partial))
    })?;
    std::fs::rename(&partial, &plugin)?;
    std::fs::write(&source, wanted)?;
    Ok(plugin)
}

/// Builds the plugin as the compiler leaves it, for hosts that need no small file: no Python is
/// asked for.
pub(crate) fn build_plain(workspace: &Workspace) -> Result<PathBuf> {
    compile(workspace, None)
}

/// Whatever makes the file smaller and changes nothing that it does. The features are those
/// that the compiler uses, and no more: Envoy's V8 has them all.
const OPTIMISER: [&str; 13] = [
    // -Oz saves some hundred bytes more, and makes a new credential slower by some percent.
    "-Os",
    // Growing vectors of different types, and the like: no arithmetic is touched by it.
    "--merge-similar-functions",
    // The lowest kilobyte is the far end of a stack of a megabyte.
    "--low-memory-unused",
    "--converge",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

fn compile(workspace: &Workspace, stamp: Option<&str>) -> Result<PathBuf> {
    tools::wasm_target(workspace, "wasm32-wasip1")?;
    progress::step("build the plugin (wasm32-wasip1)", |step| step.command(&mut command(workspace, stamp)))?;
    Ok(workspace.target.join("wasm32-wasip1/wasm/portcullis_plugin.wasm"))
}

/// Without a stamp the plugin says no commit: each new one would make it another plugin.
fn command(workspace: &Workspace, stamp: Option<&str>) -> Command {
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--locked",
        "--package=portcullis-plugin",
        "--target=wasm32-wasip1",
        "--profile=wasm",
    ]);
    // What a developer has set for other builds makes another file of the same sources.
    command.env("CARGO_INCREMENTAL", "0").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    match stamp {
        Some(stamp) => command.env(COMMIT_VARIABLE, stamp),
        None => command.env_remove(COMMIT_VARIABLE),
    };
    command
}

/// Builds the plugin that is written with the official SDK, for tests; gives its path.
pub(crate) fn build_reference(workspace: &Workspace) -> Result<PathBuf> {
    tools::wasm_target(workspace, "wasm32-wasip1")?;
    progress::step("build the SDK's reference plugin (wasm32-wasip1)", |step| {
        step.command(workspace.cargo().args([
            "build",
            "--package=portcullis-plugin",
            "--example=reference",
            "--target=wasm32-wasip1",
            "--profile=wasm",
        ]))
    })?;
    Ok(workspace.target.join("wasm32-wasip1/wasm/examples/reference.wasm"))
}

/// Checks the file's size, the ceiling of its memory, and its imports against `plugin/imports.txt`.
pub(crate) fn check(workspace: &Workspace, plugin: &Path) -> Result<()> {
    let size = std::fs::metadata(plugin)?.len();
    ensure!(size <= MAX_BYTES, "{} has {size} bytes, more than the {MAX_BYTES} allowed", plugin.display());

    let interface = Interface::read(plugin)?;
    let ceiling = interface.max_memory.with_context(|| {
        format!("the memory of {} has no ceiling: .cargo/config.toml sets one", plugin.display())
    })?;
    ensure!(
        ceiling <= MAX_MEMORY,
        "the memory of {} may come to {ceiling} bytes, and shall to {MAX_MEMORY} at most",
        plugin.display()
    );

    let listed = listed(workspace, "plugin/imports.txt")?;
    let imported = interface.imports;
    let unlisted: Vec<_> = imported.difference(&listed).cloned().collect();
    let unused: Vec<_> = listed.difference(&imported).cloned().collect();
    if unlisted.is_empty() && unused.is_empty() {
        return Ok(());
    }
    bail!(
        "the plugin's imports are not those of plugin/imports.txt\n  \
         imported, not listed: {}\n  listed, not imported: {}",
        or_none(&unlisted),
        or_none(&unused)
    )
}

/// The names in a list of ours: one a line, blank lines and `#` comments aside.
pub(crate) fn listed(workspace: &Workspace, list: &str) -> Result<BTreeSet<String>> {
    let text =
        std::fs::read_to_string(workspace.root.join(list)).with_context(|| format!("cannot read {list}"))?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

/// What a wasm file asks of its host, and what it offers.
pub(crate) struct Interface {
    /// Imported functions, as `module.name`.
    pub(crate) imports: BTreeSet<String>,
    /// Exported names.
    pub(crate) exports: BTreeSet<String>,
    /// What its memory may come to, in bytes; `None` for what the engine allows.
    pub(crate) max_memory: Option<u64>,
}

impl Interface {
    /// Reads the import and export sections.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut interface = Self { imports: BTreeSet::new(), exports: BTreeSet::new(), max_memory: None };
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        interface.imports.insert(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        interface.exports.insert(export?.name.to_owned());
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        // A page of WebAssembly, unless the memory has others.
                        let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16));
                        interface.max_memory =
                            memory.maximum.zip(page).and_then(|(pages, page)| pages.checked_mul(page));
                    }
                }
                _ => {}
            }
        }
        Ok(interface)
    }
}

/// Names for an error, or the word for their absence.
pub(crate) fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
