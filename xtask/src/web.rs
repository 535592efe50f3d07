//! `cargo xtask web`: the package for JavaScript, in `target/web/package/`.
//!
//! The crate `web/` is built for `wasm32-unknown-unknown`; the wasm-bindgen library, of the
//! version that the crate is built with, writes the glue; the modules of `web/js/` follow it
//! in one file, so that a page can also carry the package inside itself.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::node::{self, Node};
use crate::progress;
use crate::tools;
use crate::workspace::Workspace;

/// What the package is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// A module of the package, with WebAssembly of its own.
struct Module {
    /// The crate that it is made of.
    package: &'static str,
    compiled: &'static str,
    /// What its files are called by.
    name: &'static str,
    /// The hand-written half, in `web/js/`, in the order in which it is read.
    parts: &'static [&'static str],
    /// The whole.
    script: &'static str,
    wasm: &'static str,
}

/// Apart, so that nobody downloads a gate to verify something.
const MODULES: [Module; 2] = [
    Module {
        package: "portcullis-web",
        compiled: "portcullis_web.wasm",
        name: "portcullis",
        parts: &["ready.js", "arguments.js", "verify.js", "log.js", "agent.js"],
        script: "index.js",
        wasm: "portcullis_bg.wasm",
    },
    Module {
        package: "portcullis-edge",
        compiled: "portcullis_edge.wasm",
        name: "gate",
        parts: &["ready.js", "gate.js"],
        script: "gate.js",
        wasm: "gate_bg.wasm",
    },
];

/// Files that are part of the package as they are, with their names in it.
const COPIED: [(&str, &str); 9] = [
    ("web/js/durable.d.ts", "durable.d.ts"),
    ("web/js/durable.js", "durable.js"),
    ("web/js/gate.d.ts", "gate.d.ts"),
    ("web/js/index.d.ts", "index.d.ts"),
    ("web/js/node.d.ts", "node.d.ts"),
    ("web/js/node.js", "node.js"),
    ("web/package.json", "package.json"),
    ("web/README.md", "README.md"),
    ("LICENSE", "LICENSE"),
];

/// What a module, its script and its WebAssembly, may be when it is compressed as servers do:
/// 180 KiB.
const MAX_GZIPPED: u64 = 180 << 10;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build each part by itself instead, and say its size
    #[arg(long)]
    pub(crate) parts: bool,
}

/// What of the crate `web/` can be had by itself.
const PARTS: [&str; 5] = ["verify", "log", "catalog", "agent", "verify,log,catalog,agent"];

/// Builds the crate `web/` with one of its features each time, and says how large it is.
pub(crate) fn measure_parts(workspace: &Workspace) -> Result<()> {
    let (node, module) = (node::node(workspace)?, &MODULES[0]);
    println!("{:<26} {:>9} {:>9}", "WebAssembly of", "bytes", "gzipped");
    for part in PARTS {
        let compiled = compile(workspace, module, &["--no-default-features", "--features", part])?;
        let folder = workspace.target_folder("web/parts")?.join(part.replace(',', "-"));
        std::fs::create_dir_all(&folder)?;
        let wasm = folder.join("part.wasm");
        bind(&node, module, &compiled, &folder, &wasm)?;
        let bytes = std::fs::read(&wasm)?;
        println!("{part:<26} {:>9} {:>9}", bytes.len(), gzipped(&bytes)?);
    }
    Ok(())
}

/// The crates that are in the package.
pub(crate) fn packages() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|module| module.package)
}

/// Checks the size of each module, and says it.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let package = workspace.target.join("web/package");
    let mut too_large = Vec::new();
    println!("{:<22} {:>9} {:>9}", "", "bytes", "gzipped");
    for module in &MODULES {
        let mut whole = 0_u64;
        for file in [module.script, module.wasm] {
            let bytes = std::fs::read(package.join(file)).with_context(|| format!("cannot read {file}"))?;
            let gzipped = gzipped(&bytes)?;
            println!("{file:<22} {:>9} {gzipped:>9}", bytes.len());
            whole = whole.saturating_add(gzipped);
        }
        println!("{:<22} {:>9} {whole:>9}", module.name, "");
        if whole > MAX_GZIPPED {
            too_large.push(format!("{} has {whole} bytes gzipped", module.name));
        }
    }
    ensure!(too_large.is_empty(), "{}: more than the {MAX_GZIPPED} allowed", too_large.join(", "));
    Ok(())
}

/// As `gzip -9` has it.
fn gzipped(bytes: &[u8]) -> Result<u64> {
    let mut child = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run gzip")?;
    let mut input = child.stdin.take().context("gzip has an input")?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow!("gzip was not fed"))??;
    ensure!(output.status.success(), "gzip failed");
    Ok(u64::try_from(output.stdout.len())?)
}

/// Builds the package; gives its folder.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let compiled: Vec<_> =
        MODULES.iter().map(|module| compile(workspace, module, &[])).collect::<Result<_>>()?;
    // Two commands at once must not write the same files.
    let lock = File::create(workspace.target.join("web.lock"))?;
    lock.lock().context("cannot lock target/web.lock")?;
    let package = workspace.target_folder("web/package")?;
    let node = node::node(workspace)?;
    for (module, compiled) in MODULES.iter().zip(&compiled) {
        let folder = workspace.target_folder(&format!("web/{}", module.name))?;
        let glue = bind(&node, module, compiled, &folder, &package.join(module.wasm))?;
        write_module(workspace, &glue, module, &package.join(module.script))?;
    }
    for (from, name) in COPIED {
        let from = workspace.root.join(from);
        std::fs::copy(&from, package.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(package)
}

fn compile(workspace: &Workspace, module: &Module, features: &[&str]) -> Result<PathBuf> {
    tools::wasm_target(workspace, TARGET)?;
    let package = format!("--package={}", module.package);
    progress::step(&format!("build {} (wasm32-unknown-unknown)", module.package), |step| {
        step.command(
            workspace
                .cargo()
                .args(["build", &package, "--target=wasm32-unknown-unknown", "--profile=web"])
                .args(features),
        )
    })?;
    Ok(workspace.target.join(TARGET).join("web").join(module.compiled))
}

/// Writes the WebAssembly as it is shipped to `wasm`, and gives the glue's text: a script that
/// defines `wasm_bindgen`, and finds nothing by itself.
fn bind(node: &Node, module: &Module, compiled: &Path, folder: &Path, wasm: &Path) -> Result<String> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(compiled).out_name(module.name).typescript(false);
    bindgen.no_modules(true)?.omit_default_module_path(true);
    // Names go in the last pass: the second goes by them.
    bindgen.remove_producers_section(true);
    let mut output = bindgen.generate_output().context("wasm-bindgen cannot write the glue")?;
    let glue = output.js().to_owned();
    let bound = output.wasm_mut().emit_wasm();
    // What the file was made from: the optimiser takes its time, and gives the same again.
    let (source, made_from) =
        (folder.join("bound.wasm"), [&bound[..], format!("{PASSES:?}").as_bytes()].concat());
    let stamp = folder.join("made-from");
    if wasm.is_file() && std::fs::read(&stamp).is_ok_and(|last| last == made_from) {
        return Ok(glue);
    }
    std::fs::write(&source, bound)?;
    progress::step(&format!("optimise {} (Binaryen)", module.package), |step| {
        let mut from = source.clone();
        for (number, pass) in PASSES.iter().enumerate() {
            let to = folder.join(format!("pass-{number}.wasm"));
            let mut command = node.command("binaryen/bin/wasm-opt");
            step.command(command.args(*pass).args(FEATURES).arg(&from).arg("-o").arg(&to))?;
            from = to;
        }
        // Renamed into place: whoever reads the package meanwhile must not read half a file.
        Ok(std::fs::rename(from, wasm)?)
    })?;
    std::fs::write(&stamp, made_from)?;
    Ok(glue)
}

/// Whatever makes the file smaller and changes nothing that it does; and in between, what
/// makes a signature's check a third quicker for 2 KB. WebAssembly has no product of 128 bits,
/// so the compiler calls `__multi3`, which is half of the time. Names of Rust's own functions
/// have `::` in them: only those without, which the compiler brings, go where they are called.
const PASSES: [&[&str]; 3] = [
    &["-Oz", "--merge-similar-functions", "--debuginfo"],
    &["--no-inline=*::*", "-O3", "--always-inline-max-function-size=150", "--debuginfo"],
    &["-Oz", "--strip-debug"],
];

/// What the compiler and wasm-bindgen use, which every engine since 2022 has.
const FEATURES: [&str; 8] = [
    // The lowest kilobyte is the far end of a stack of a megabyte.
    "--low-memory-unused",
    "--strip-producers",
    "--strip-target-features",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// What stands in a part for the name of the module's WebAssembly.
const WASM_FILE: &str = "WASM_FILE";

/// One ES module: the glue, which exports nothing, and after it what is exported.
fn write_module(workspace: &Workspace, glue: &str, module: &Module, to: &Path) -> Result<()> {
    let mut text = glue.to_owned();
    for part in module.parts {
        let path = workspace.root.join("web/js").join(part);
        let part =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.push('\n');
        text.push_str(&part);
    }
    let named = text.matches(WASM_FILE).count();
    ensure!(named == 1, "the parts of {} name {WASM_FILE} {named} times, and not once", module.script);
    std::fs::write(to, text.replace(WASM_FILE, module.wasm))?;
    Ok(())
}
