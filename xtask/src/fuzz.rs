//! `cargo xtask fuzz`: the targets in `fuzz/`, each for a while.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::tools;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// The target; all, one after the other, if none is named
    target: Option<String>,
    /// How long to run each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Fuzzes. Stops at the first target that finds something.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let targets = targets(workspace)?;
    let chosen: Vec<&String> = match &options.target {
        None => targets.iter().collect(),
        Some(name) => targets.iter().filter(|target| *target == name).collect(),
    };
    ensure!(!chosen.is_empty(), "there is no such fuzz target; there are: {}", targets.join(", "));
    if !tools::runs("cargo-fuzz") {
        bail!("cargo-fuzz is missing: `cargo install --locked cargo-fuzz`");
    }
    if !nightly(workspace) {
        bail!("fuzzing needs a nightly Rust: `rustup toolchain install nightly --profile minimal`");
    }
    for target in chosen {
        println!("== {target}, {} s", options.seconds);
        // Apart from the run, so that a target that does not build is not taken
        // for a finding.
        let built = cargo_fuzz(workspace, "build").arg(target).status()?;
        ensure!(built.success(), "{target} does not build");
        let found = workspace.target_folder(&format!("fuzz/{target}"))?;
        let status = cargo_fuzz(workspace, "run")
            .arg(target)
            // New inputs go into the first, so that the one in the repository stays as
            // it is.
            .arg(&found)
            .arg(workspace.root.join("fuzz/corpus").join(target))
            .arg("--")
            .arg(format!("-max_total_time={}", options.seconds))
            // A credential arrives in at most 60 KiB of headers.
            .arg("-max_len=61440")
            .status()?;
        if !status.success() {
            eprintln!(
                "{target} found something: see above and fuzz/artifacts/{target}/; once it is mended, \
                 keep that input in fuzz/corpus/{target}/"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

fn cargo_fuzz(workspace: &Workspace, verb: &str) -> Command {
    let mut command = Command::new("cargo-fuzz");
    command
        .args(["fuzz", verb])
        // What is fuzzed has no unsafe code of ours, and runs several times faster so.
        .arg("--sanitizer=none")
        .env("RUSTUP_TOOLCHAIN", "nightly")
        // The cargo that runs us is the stable one; cargo-fuzz would use it.
        .env_remove("CARGO")
        .current_dir(&workspace.root);
    command
}

/// The targets' names, from their files.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn nightly(workspace: &Workspace) -> bool {
    Command::new("rustc")
        .arg("--version")
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .current_dir(&workspace.root)
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("nightly"))
}
