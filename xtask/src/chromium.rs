//! Chromium from the system's packages, for the tests of pages.

use std::path::PathBuf;

use anyhow::Result;

use crate::{skipped, system_packages};

/// Names Chromium's program to the tests.
pub const VARIABLE: &str = "PORTCULLIS_CHROMIUM";

/// Where the system's packages have put it, if they have.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    programs.into_iter().find(|program| program.is_file())
}

/// Installs it, where that is allowed.
///
/// # Errors
/// No `apt-get`, or no right to use it.
pub fn install() -> Result<()> {
    system_packages::install("chromium")
}

/// The program for the test `name`. Without one the test is written down as skipped.
pub fn for_test(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    if given.is_none() {
        skipped::tell(name, "no Chromium: PORTCULLIS_CHROMIUM is not set (`cargo xtask test` finds one)");
    }
    given
}
