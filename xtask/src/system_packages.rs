//! The system's packages, where we may install them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Unpacks a package into a folder without installing it: nothing is set up, and nothing of it is
/// started. It takes no rights where the lists of packages are there.
///
/// # Errors
/// No `apt-get`, or no such package.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let downloads = tempfile::tempdir_in(folder)?;
    let download = || run(Command::new("apt-get").args(["download", package]).current_dir(&downloads));
    if download().is_err() {
        // The lists are old, or not there.
        run(Command::new("apt-get").arg("update"))?;
        download()?;
    }
    let mut files = std::fs::read_dir(&downloads)?;
    let file = files.next().context("apt-get downloaded nothing")??.path();
    run(Command::new("dpkg-deb").arg("-x").arg(file).arg(folder))
}

/// Installs a package, without what it only recommends.
///
/// # Errors
/// No `apt-get`, or no right to use it.
pub fn install(package: &str) -> Result<()> {
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", package]] {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{name} {} failed: {}", arguments.join(" "), error.trim_end());
    }
    Ok(())
}
