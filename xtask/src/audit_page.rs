//! `cargo xtask audit-page`: the audit page in one file, `target/web/portcullis-audit.html`, which
//! works from a disk with the network cut.
//!
//! esbuild makes one script of the page's modules, with the worker's script and the WebAssembly
//! inside it. The file's own policy then allows that script and that style by their hashes,
//! workers that it makes itself, and nothing from anywhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use portcullis_core::{base64, sha256};

use crate::node::{self, Node};
use crate::progress;
use crate::web;
use crate::workspace::Workspace;

/// Builds the page; gives the file.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let package = web::build(workspace)?;
    let node = node::node(workspace)?;
    let lock = File::create(workspace.target.join("audit-page.lock"))?;
    // Two commands at once must not fill the same folder.
    lock.lock().context("cannot lock target/audit-page.lock")?;
    let source = workspace.root.join("web/console/audit");
    // As the service serves them: the package beside the page.
    let folder = workspace.target_folder("web/page/audit")?;
    copy_files(&source, &folder)?;
    copy_files(&package, &workspace.target_folder("web/page/package")?)?;
    std::fs::copy(package.join("portcullis_bg.wasm"), folder.join("portcullis_bg.wasm"))?;
    let script = folder.join("page.bundle.txt");
    progress::step("make one file of the audit page (esbuild)", |step| {
        step.command(&mut bundle(&node, &folder, "worker.js", "worker.bundle.txt"))?;
        step.command(&mut bundle(&node, &folder, "single.js", "page.bundle.txt"))
    })?;
    let page = assemble(
        &std::fs::read_to_string(source.join("index.html"))?,
        &std::fs::read_to_string(source.join("audit.css"))?,
        &std::fs::read_to_string(&script)?,
    )?;
    let file = workspace.target.join("web/portcullis-audit.html");
    // Renamed into place: a browser that opens it now must not read half a file.
    let partial = file.with_extension("partial");
    std::fs::write(&partial, page)?;
    std::fs::rename(&partial, &file)?;
    Ok(file)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn bundle(node: &Node, folder: &Path, entry: &str, output: &str) -> std::process::Command {
    let mut command = node.command("esbuild/bin/esbuild");
    command.current_dir(folder).arg(entry).arg(format!("--outfile={output}")).args([
        "--bundle",
        "--format=iife",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=inline",
        "--loader:.wasm=binary",
        "--loader:.txt=text",
        "--log-level=warning",
        // Of the package, for whoever gives it no WebAssembly: never done here.
        "--external:node:*",
        "--log-override:empty-import-meta=silent",
    ]);
    command
}

const STYLE: &str = "<link rel=\"stylesheet\" href=\"audit.css\">";
const SCRIPT: &str = "<script type=\"module\" src=\"served.js\"></script>";
const HEAD: &str = "<meta charset=\"utf-8\">";

/// The page with style and script in it, and the policy that allows just these.
fn assemble(html: &str, style: &str, script: &str) -> Result<String> {
    for part in [STYLE, SCRIPT, HEAD] {
        ensure!(html.matches(part).count() == 1, "the page must have `{part}` once");
    }
    ensure!(!style.contains("</") && !script.contains("</script"), "a part would end before its end");
    let policy = format!(
        "default-src 'none'; script-src '{}' 'wasm-unsafe-eval'; style-src '{}'; worker-src blob:; \
         img-src data:; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(style),
    );
    let head = format!("{HEAD}\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">");
    Ok(html
        .replace(HEAD, &head)
        .replace(STYLE, &format!("<style>{style}</style>"))
        .replace(SCRIPT, &format!("<script>{script}</script>")))
}

/// As a policy names it (CSP level 3 section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", base64::encode(&sha256(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<meta charset=\"utf-8\">\n<link rel=\"stylesheet\" href=\"audit.css\">\n\
                        <script type=\"module\" src=\"served.js\"></script>";

    #[test]
    fn a_page_carries_style_and_script_and_a_policy_that_allows_these_alone() {
        let page = assemble(PAGE, "a{}", "1;").unwrap();
        assert!(page.contains("<style>a{}</style>\n<script>1;</script>"));
        // From `printf '1;' | openssl dgst -sha256 -binary | base64`, and the same of `a{}`.
        let script = "script-src 'sha256-CImjRDTlhukYQ2AnxOi0wzgPhGQ3Mb3rVwJK24dFz1M=' 'wasm-unsafe-eval'";
        assert!(page.contains(script), "{page}");
        assert!(page.contains("default-src 'none'") && !page.contains("unsafe-inline"));
    }

    #[test]
    fn a_script_that_would_end_early_is_refused() {
        assert!(assemble(PAGE, "a{}", "'</script>'").is_err());
        assert!(assemble("<p>", "a{}", "1;").is_err());
    }
}
