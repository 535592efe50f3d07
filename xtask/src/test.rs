//! `cargo xtask test`: everything that can be tested here, and a count of what
//! could not.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;

use crate::children::Running;
use crate::workspace::Workspace;
use crate::{audit_page, node, plugin, progress, tools, web};
use xtask::postgres::Postgres;
use xtask::system_packages::{PROMTOOL, Unpacked};
use xtask::{chromium, registry};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains one of these
    filters: Vec<String>,
}

impl Options {
    /// Every test.
    pub(crate) fn all() -> Self {
        Self { filters: Vec::new() }
    }
}

/// Installs, builds, tests; prints `N passed, N failed, N skipped` last.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let python = tools::python(workspace)?;
    let node = node::node(workspace)?;
    let wasm = plugin::build(workspace)?;
    let reference = plugin::build_reference(workspace)?;
    let cli = build_program(workspace, "portcullis", "build the CLI")?;
    let package = web::build(workspace)?;
    let control = build_control(workspace, &package)?;
    let postgres = postgres()?;
    let chromium = chromium();
    let registry = unpacked(workspace, &registry::PROGRAM, "the tests of pushing are skipped");
    let promtool = unpacked(workspace, &PROMTOOL, "Prometheus reads no alerts and queries");
    let audit_page = audit_page::build(workspace)?;
    let database = postgres.as_ref().map(Postgres::url).or_else(|| std::env::var("DATABASE_URL").ok());

    // A test that finds itself unable to run says so here: one line, its name,
    // a colon, the reason. The test harness would count it as passed.
    let skips = workspace.target_folder("test")?.join("skipped.txt");
    std::fs::write(&skips, "")?;

    let mut count = Count::default();
    let nextest = tools::runs("cargo-nextest");
    let runs: &[(Runner, &[&str])] = if nextest {
        // nextest leaves out the examples in the documentation.
        &[
            (
                Runner::Nextest,
                &["nextest", "run", "--workspace", "--no-fail-fast", "--failure-output=immediate-final"],
            ),
            (Runner::Libtest, &["test", "--workspace", "--doc", "--no-fail-fast"]),
        ]
    } else {
        &[(Runner::Libtest, &["test", "--workspace", "--no-fail-fast"])]
    };
    for (runner, arguments) in runs {
        let mut command = workspace.cargo();
        command
            .args(*arguments)
            .arg("--")
            .args(&options.filters)
            .env("PORTCULLIS_WASM", &wasm)
            .env("PORTCULLIS_SDK_WASM", &reference)
            .env("PORTCULLIS_CLI", &cli)
            .env("PORTCULLIS_CONTROL", &control)
            .env(WEB_PACKAGE, &package)
            .env("PORTCULLIS_COMPILED", workspace.target_folder("compiled")?)
            .env("PORTCULLIS_VENV", &python.root)
            .env("PORTCULLIS_PYTHON", &python.python)
            .env("PORTCULLIS_ENVOY", &python.envoy)
            .env("PORTCULLIS_NODE", node.program())
            .env("PORTCULLIS_NODE_PACKAGES", node.packages())
            .env("PORTCULLIS_AUDIT_PAGE", &audit_page)
            .envs(chromium.as_ref().map(|program| (chromium::VARIABLE, program)))
            .envs(registry.as_ref().map(|program| (registry::PROGRAM.variable, program)))
            .envs(promtool.as_ref().map(|program| (PROMTOOL.variable, program)))
            .env("PORTCULLIS_SKIPPED", &skips)
            .env("NEXTEST_NO_TESTS", "pass")
            .envs(database.as_ref().map(|url| ("DATABASE_URL", url)));
        count.run(*runner, &mut command)?;
    }

    for line in std::fs::read_to_string(&skips)?.lines() {
        println!("SKIPPED {line}");
        count.passed = count.passed.saturating_sub(1);
        count.skipped = count.skipped.saturating_add(1);
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    Ok(count.good())
}

/// A private PostgreSQL, unless `DATABASE_URL` names one. Where none can be had, the tests
/// that need it are skipped, each counted.
fn postgres() -> Result<Option<Postgres>> {
    if std::env::var_os("DATABASE_URL").is_some() {
        println!("the tests use the PostgreSQL that DATABASE_URL names");
        return Ok(None);
    }
    if Postgres::programs().is_none() {
        let installed =
            progress::step("install PostgreSQL from the system's packages", |_| Postgres::install());
        if let Err(error) = installed {
            println!("NO PostgreSQL, and none can be installed ({error:#}): its tests are skipped");
            return Ok(None);
        }
    }
    let programs = Postgres::programs().context("PostgreSQL was installed, and is not to be found")?;
    let postgres =
        progress::step("start a private PostgreSQL for the tests", |_| Postgres::start(&programs))?;
    Ok(Some(postgres))
}

/// The system's Chromium, installed where it may be. Without one the tests of pages are skipped,
/// each counted.
fn chromium() -> Option<PathBuf> {
    if chromium::program().is_none() {
        let installed =
            progress::step("install Chromium from the system's packages", |_| chromium::install());
        if let Err(error) = installed {
            println!("NO Chromium, and none can be installed ({error:#}): the tests of pages are skipped");
        }
    }
    chromium::program()
}

/// A program of a system's package. Without one its tests are skipped, each counted.
fn unpacked(workspace: &Workspace, program: &Unpacked, without: &str) -> Option<PathBuf> {
    let name = program.name;
    if program.find(workspace).is_none() {
        let title = format!("unpack {name} from the system's packages");
        if let Err(error) = progress::step(&title, |_| program.unpack(workspace)) {
            println!("NO {name}, and none can be had ({error:#}): {without}");
        }
    }
    program.find(workspace)
}

/// Builds one of the workspace's programs; gives its path.
pub(crate) fn build_program(workspace: &Workspace, program: &str, title: &str) -> Result<PathBuf> {
    // With the features of the whole workspace: the libraries are then the ones that tests have too.
    progress::step(title, |step| {
        step.command(workspace.cargo().args(["build", "--workspace", "--bin", program]))
    })?;
    Ok(workspace.target.join("debug").join(program))
}

/// Builds a program as users have it, for what is measured.
pub(crate) fn release_program(workspace: &Workspace, program: &str, title: &str) -> Result<PathBuf> {
    progress::step(title, |step| {
        step.command(workspace.cargo().args(["build", "--release", "--workspace", "--bin", program]))
    })?;
    Ok(workspace.target.join("release").join(program))
}

/// Builds the control service as users have it, but for the audit page.
pub(crate) fn release_control(workspace: &Workspace) -> Result<PathBuf> {
    release_program(workspace, "portcullis-control", "build the control service, optimised")
}

/// Builds the control service, with the web package inside it.
pub(crate) fn build_control(workspace: &Workspace, package: &Path) -> Result<PathBuf> {
    progress::step("build the control service", |step| {
        let mut command = workspace.cargo();
        command.args(["build", "--workspace", "--bin=portcullis-control"]);
        step.command(command.env(WEB_PACKAGE, package))
    })?;
    Ok(workspace.target.join("debug/portcullis-control"))
}

/// Where `control/build.rs` finds what the audit page runs.
pub(crate) const WEB_PACKAGE: &str = "PORTCULLIS_WEB_PACKAGE";

/// A program that runs tests, and says so in its own way.
#[derive(Clone, Copy)]
enum Runner {
    /// `cargo test`.
    Libtest,
    /// `cargo nextest`, which repeats libtest's output of each failed test.
    Nextest,
}

impl Runner {
    /// How the line begins that sums up.
    fn summary(self) -> &'static str {
        match self {
            Self::Libtest => "test result:",
            Self::Nextest => "Summary [",
        }
    }
}

/// What the test runners reported.
#[derive(Debug, Default, PartialEq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// A runner failed without a failed test: the build, for one.
    broken: bool,
}

impl Count {
    /// Runs one test command, showing its output as it comes.
    fn run(&mut self, runner: Runner, command: &mut Command) -> Result<()> {
        // nextest writes to standard error, libtest to standard output.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = self.failed;
        let running = Running::start(command, &progress::shown(command))?;
        let (stdout, stderr) = running.with(|child| (child.stdout.take(), child.stderr.take()));
        let stdout = stdout.context("no standard output")?;
        let stderr = stderr.context("no standard error")?;
        let errors = std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            let mut count = Self::default();
            for line in lines {
                eprintln!("{line}");
                count.read(runner, &line);
            }
            count
        });
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            self.read(runner, &line);
        }
        let errors = errors.join().unwrap_or_default();
        self.passed = self.passed.saturating_add(errors.passed);
        self.failed = self.failed.saturating_add(errors.failed);
        self.skipped = self.skipped.saturating_add(errors.skipped);
        let status = running.with(std::process::Child::wait)?;
        if !status.success() && self.failed == failed {
            self.broken = true;
        }
        Ok(())
    }

    /// Takes up a runner's summary:
    /// libtest's `test result: ok. 3 passed; 0 failed; 1 ignored; …` and
    /// nextest's `Summary [ 0.1s] 4 tests run: 3 passed, 1 failed, 1 skipped`.
    fn read(&mut self, runner: Runner, line: &str) {
        if !line.trim_start().starts_with(runner.summary()) {
            return;
        }
        let mut before = "";
        for word in line.split_whitespace() {
            let number = before.parse::<u64>().unwrap_or(0);
            match word.trim_end_matches([',', ';', '.']) {
                "passed" => self.passed = self.passed.saturating_add(number),
                "failed" | "timed" => self.failed = self.failed.saturating_add(number),
                "ignored" | "skipped" => self.skipped = self.skipped.saturating_add(number),
                _ => {}
            }
            before = word;
        }
    }

    fn good(&self) -> bool {
        self.failed == 0 && !self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_summaries_are_counted() {
        const LIBTEST: &str = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.00s";
        const NEXTEST: &str = "     Summary [   0.011s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped";
        let mut count = Count::default();
        count.read(Runner::Libtest, LIBTEST);
        count.read(Runner::Nextest, NEXTEST);
        // A failed test's own output, which nextest repeats.
        count.read(Runner::Nextest, LIBTEST);
        count.read(Runner::Libtest, "test reads_the_3 passed; lines ... ok");
        let wanted = Count { passed: 7, failed: 2, skipped: 4, broken: false };
        assert_eq!(count, wanted);
        assert!(!count.good());
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_not_good() {
        let mut count = Count::default();
        count.run(Runner::Libtest, &mut Command::new("false")).unwrap();
        assert!(!count.good());
    }
}
