//! What is built: its version, and the commit that its sources are.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// Tells programs and the plugin, as they are compiled, what they say of themselves.
pub const COMMIT_VARIABLE: &str = "PORTCULLIS_COMMIT";

/// The sources of this workspace.
#[derive(Clone, Debug)]
pub struct Source {
    /// The workspace's version.
    pub version: &'static str,
    /// Where the sources are published, if `Cargo.toml` says so.
    pub repository: Option<&'static str>,
    /// What is checked out; `None` outside of git, as in an archive of the sources.
    pub head: Option<Commit>,
    /// How many files differ from that, those not yet added included.
    pub changed_files: usize,
}

/// A commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commit {
    /// Its hash, 40 hexadecimal digits or 64.
    pub hash: String,
    /// When it was made, in seconds since 1970. What is made of a commit carries this time, and no
    /// other.
    pub time: u64,
}

impl Source {
    /// Asks git what is checked out.
    ///
    /// # Errors
    /// git fails in a folder that it keeps.
    pub fn of(workspace: &Workspace) -> Result<Self> {
        let mut source = Self {
            version: env!("CARGO_PKG_VERSION"),
            repository: Some(env!("CARGO_PKG_REPOSITORY")).filter(|address| !address.is_empty()),
            head: None,
            changed_files: 0,
        };
        // Sources that were unpacked within somebody else's repository are not of its commit; and
        // without git nothing is known.
        let top = git(workspace, &["rev-parse", "--show-toplevel"]);
        let is_ours = top.is_ok_and(|output| {
            let top = String::from_utf8_lossy(&output.stdout);
            output.status.success() && std::fs::canonicalize(top.trim_end()).ok() == canonical(workspace)
        });
        if !is_ours {
            return Ok(source);
        }
        let head = text(git(workspace, &["log", "-1", "--format=%H %ct"])?)?;
        let (hash, time) = head.trim().split_once(' ').context("git names no commit")?;
        source.head = Some(Commit { hash: hash.to_owned(), time: time.parse()? });
        source.changed_files = text(git(workspace, &["status", "--porcelain"])?)?.lines().count();
        Ok(source)
    }

    /// The commit that these sources are; none where files differ from it.
    pub fn commit(&self) -> Option<&Commit> {
        self.head.as_ref().filter(|_| self.changed_files == 0)
    }

    /// What programs and the plugin say: the commit's first twelve digits, or `unknown`.
    pub fn stamp(&self) -> &str {
        self.commit().and_then(|commit| commit.hash.get(..12)).unwrap_or("unknown")
    }
}

fn canonical(workspace: &Workspace) -> Option<std::path::PathBuf> {
    std::fs::canonicalize(&workspace.root).ok()
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Result<Output> {
    Command::new("git").args(arguments).current_dir(&workspace.root).output().context("cannot run git")
}

fn text(output: Output) -> Result<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git failed: {}", error.trim_end());
    Ok(String::from_utf8(output.stdout)?)
}
