//! Deno, as npm has its program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a test that wants it is skipped.
pub const MISSING: &str = "npm has no Deno for this machine";

/// The program, where npm has one for this machine.
pub fn program() -> Option<PathBuf> {
    let packages = std::env::var_os("PORTCULLIS_NODE_PACKAGES");
    let packages =
        PathBuf::from(packages.expect("PORTCULLIS_NODE_PACKAGES is not set: run `cargo xtask test`"));
    Some(packages.join("@deno/linux-x64-glibc/deno")).filter(|program| program.is_file())
}

/// A run in `folder`, which may read what is there and use the net of this machine: nothing is
/// fetched, asked or kept elsewhere.
pub fn run(folder: &Path) -> Command {
    let mut command = Command::new(program().expect(MISSING));
    command.args(["run", "--no-remote", "--no-prompt", "--node-modules-dir=manual", "--quiet"]);
    command.arg(format!("--allow-read={}", folder.display())).arg("--allow-net=127.0.0.1");
    command.env("DENO_DIR", folder.join(".deno")).env("DENO_NO_UPDATE_CHECK", "1").current_dir(folder);
    command
}
