//! The system's packages, where we may install them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::skipped;
use crate::workspace::Workspace;

/// A program for the tests that is taken from a package without installing that: nothing is set up,
/// and nothing of it is started.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    /// The package's name.
    pub package: &'static str,
    /// The program's name.
    pub name: &'static str,
    /// The variable that names its file to the tests.
    pub variable: &'static str,
}

/// Prometheus's own reader of queries and rules.
pub const PROMTOOL: Unpacked =
    Unpacked { package: "prometheus", name: "promtool", variable: "PORTCULLIS_PROMTOOL" };

impl Unpacked {
    /// Where it is: the system's, or below target/.
    pub fn find(&self, workspace: &Workspace) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let unpacked = self.folder(workspace).join("usr/bin");
        let mut programs =
            std::env::split_paths(&path).chain([unpacked]).map(|folder| folder.join(self.name));
        programs.find(|file| file.is_file())
    }

    /// Unpacks it below target/. It takes no rights where the lists of packages are there.
    ///
    /// # Errors
    /// No `apt-get`, or no such package.
    pub fn unpack(&self, workspace: &Workspace) -> Result<()> {
        unpack(self.package, &self.folder(workspace))
    }

    /// The program for the test `name`. Without one the test is written down as skipped.
    pub fn for_test(&self, name: &str) -> Option<PathBuf> {
        let given = std::env::var_os(self.variable).map(PathBuf::from);
        if given.is_none() {
            let (program, variable) = (self.name, self.variable);
            let reason = format!("no {program}: {variable} is not set (`cargo xtask test` finds one)");
            skipped::tell(name, &reason);
        }
        given
    }

    fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join("packages").join(self.package)
    }
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

fn unpack(package: &str, folder: &Path) -> Result<()> {
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
