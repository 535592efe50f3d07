//! `cargo xtask web`: the package for JavaScript, in `target/web/package/`.
//!
//! The crate `web/` is built for `wasm32-unknown-unknown`; the wasm-bindgen library, of the
//! version that the crate is built with, writes the glue; the modules of `web/js/` follow it
//! in one file, so that a page can also carry the package inside itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::node::{self, Node};
use crate::progress;
use crate::tools;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// The hand-written halves of `index.js`, in the order in which they are read.
const MODULES: [&str; 1] = ["index.js"];

/// Files that are part of the package as they are, with their names in it.
const COPIED: [(&str, &str); 4] = [
    ("web/js/index.d.ts", "index.d.ts"),
    ("web/package.json", "package.json"),
    ("web/README.md", "README.md"),
    ("LICENSE", "LICENSE"),
];

/// Builds the package; gives its folder.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let compiled = compile(workspace)?;
    let folder = workspace.target_folder("web")?;
    // Two commands at once must not write the same files.
    let lock = File::create(workspace.target.join("web.lock"))?;
    lock.lock().context("cannot lock target/web.lock")?;
    let package = workspace.target_folder("web/package")?;
    let node = node::node(workspace)?;
    let glue = bind(&node, &compiled, &folder, &package.join("portcullis_bg.wasm"))?;
    write_module(workspace, &glue, &package.join("index.js"))?;
    for (from, name) in COPIED {
        let from = workspace.root.join(from);
        std::fs::copy(&from, package.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(package)
}

fn compile(workspace: &Workspace) -> Result<PathBuf> {
    tools::wasm_target(workspace, TARGET)?;
    progress::step("build the web package (wasm32-unknown-unknown)", |step| {
        step.command(workspace.cargo().args([
            "build",
            "--package=portcullis-web",
            "--target=wasm32-unknown-unknown",
            "--profile=web",
        ]))
    })?;
    Ok(workspace.target.join(TARGET).join("web/portcullis_web.wasm"))
}

/// Writes the WebAssembly as it is shipped to `wasm`, and gives the glue's text: a script that
/// defines `wasm_bindgen`, and finds nothing by itself.
fn bind(node: &Node, compiled: &Path, folder: &Path, wasm: &Path) -> Result<String> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(compiled).out_name("portcullis").typescript(false);
    bindgen.no_modules(true)?.omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let mut output = bindgen.generate_output().context("wasm-bindgen cannot write the glue")?;
    let glue = output.js().to_owned();
    let bound = folder.join("bound.wasm");
    std::fs::write(&bound, output.wasm_mut().emit_wasm())?;
    // Renamed into place: whoever reads the package meanwhile must not read half a file.
    let partial = folder.join("optimised.wasm");
    progress::step("optimise the web package (Binaryen)", |step| {
        step.command(&mut optimise(node, &bound, &partial))
    })?;
    std::fs::rename(&partial, wasm)?;
    Ok(glue)
}

fn optimise(node: &Node, from: &Path, to: &Path) -> Command {
    let mut command = node.command("binaryen/bin/wasm-opt");
    command.args(OPTIMISER).arg(from).arg("-o").arg(to);
    command
}

/// Whatever makes the file smaller and changes nothing that it does. The features are those
/// that the compiler and wasm-bindgen use; every engine since 2022 has them.
const OPTIMISER: [&str; 12] = [
    "-Oz",
    "--merge-similar-functions",
    // The lowest kilobyte is the far end of a stack of a megabyte.
    "--low-memory-unused",
    "--converge",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// One ES module: the glue, which exports nothing, and after it what is exported.
fn write_module(workspace: &Workspace, glue: &str, to: &Path) -> Result<()> {
    let mut text = glue.to_owned();
    for module in MODULES {
        let path = workspace.root.join("web/js").join(module);
        let module =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.push('\n');
        text.push_str(&module);
    }
    std::fs::write(to, text)?;
    Ok(())
}
