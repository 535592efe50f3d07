//! Documents that name a file of this repository must name one that exists.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

/// Checks the code spans and the relative links of every Markdown file.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let files = listed(workspace)?;
    let mut dead = Vec::new();
    for document in files.iter().filter(|file| file.ends_with(".md")) {
        let text = std::fs::read_to_string(workspace.root.join(document))
            .with_context(|| format!("cannot read {document}"))?;
        let folder = Path::new(document).parent().unwrap_or(Path::new(""));
        for (line, text) in text.lines().enumerate() {
            for name in named(text) {
                if !exists(workspace, &files, folder, &name) {
                    dead.push(format!("{document}:{}: {name}", line.saturating_add(1)));
                }
            }
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    bail!("these documents name files that are not there:\n{}", dead.join("\n"))
}

/// The repository's files, those not yet added included.
fn listed(workspace: &Workspace) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&workspace.root)
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "`git ls-files` failed");
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// What a line of Markdown names as files: targets of relative links, and code
/// spans that look like paths.
fn named(line: &str) -> Vec<String> {
    let links = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|target| !target.is_empty() && !target.contains(':'));
    let spans = line
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.split(':').next().unwrap_or(span))
        .filter(|span| looks_like_a_path(span));
    links.chain(spans).map(str::to_owned).collect()
}

/// A folder and something below it, or a file with an ending of ours; nothing
/// with wildcards, placeholders or spaces, and nothing that is built.
fn looks_like_a_path(span: &str) -> bool {
    let plain = span.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    let below = span.split('/').count() > 1 && !span.starts_with('/');
    let file = Path::new(span)
        .extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.contains(&ending))
        && !span.starts_with('.');
    // What begins with a slash is a path of a URL.
    plain && (below || file) && !span.starts_with("target/") && !span.starts_with('/')
}

/// Whether a name means a file: from the root, from the document's folder, or,
/// without a folder, anywhere.
fn exists(workspace: &Workspace, files: &[String], folder: &Path, name: &str) -> bool {
    let bare = !name.contains('/');
    let foreign = !bare && {
        // A media type, a crate's path or a URL's: its first part is no folder
        // here, so it names nothing of ours.
        let first = name.split('/').next().unwrap_or(name);
        first != ".." && first != "." && !workspace.root.join(first).exists()
    };
    foreign
        || workspace.root.join(name).exists()
        || workspace.root.join(folder).join(name).exists()
        || (bare && files.iter().any(|file| file.rsplit('/').next() == Some(name)))
        || (bare && BUILT.contains(&name))
}

const ENDINGS: &[&str] = &["md", "rs", "toml", "txt", "yaml", "json", "py", "wat", "wasm"];

/// Files that a build or a user makes.
const BUILT: &[&str] =
    &["manifest.json", "plugin.wasm", "portcullis.cdx.json", "portcullis.wasm", "report.json"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_code_spans_and_links() {
        let line = "see `core/src/lib.rs:12`, `deny.toml` and [this](ARCHITECTURE.md#rooms)";
        assert_eq!(named(line), ["ARCHITECTURE.md", "core/src/lib.rs", "deny.toml"]);
    }

    #[test]
    fn what_is_not_a_path_is_left_alone() {
        let line = "`cargo xtask up`, `x-gate-*`, `/flights`, `target/venv`, [web](https://a.example/b.md), `Verifier::begin`";
        assert_eq!(named(line), Vec::<String>::new());
    }
}
