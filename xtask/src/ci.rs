//! `cargo xtask ci`: what a change must pass, in the order of its cost.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::envoy_config::EnvoyConfig;
use crate::workspace::Workspace;
use crate::{capabilities, envoy, named_paths, plugin, progress, release, test, tools, up, web};

/// Runs every check, even after one has failed, and lists what did.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let mut checks = Checks::default();
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.cargo();
        command.args(arguments);
        command
    };

    checks.run("paths named in documents", || named_paths::check(workspace));
    checks.run("format", || succeed(&mut cargo(&["fmt", "--all", "--check"])));
    checks.run("licences, sources, duplicates", || {
        if !tools::runs("cargo-deny") {
            return Ok(NO_CARGO_DENY);
        }
        succeed(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
        Ok(Outcome::Passed)
    });
    checks.run("advisories", || {
        if !tools::runs("cargo-deny") {
            return Ok(NO_CARGO_DENY);
        }
        // Apart from the check: a database out of reach is no finding.
        if succeed(&mut cargo(&["deny", "fetch", "db"])).is_err() {
            return Ok(Outcome::Skipped("the advisory database is out of reach"));
        }
        succeed(&mut cargo(&["deny", "check", "advisories"]))?;
        Ok(Outcome::Passed)
    });
    checks.run("the core without std", || {
        tools::wasm_target(workspace, "wasm32v1-none")?;
        let target = "--target=wasm32v1-none";
        succeed(&mut cargo(&["build", "--package=portcullis-core", target]))
    });
    checks.run("the core's tests with the compact signatures", || {
        let features = ["--no-default-features", "--features=compact"];
        succeed(cargo(&["test", "--quiet", "--package=portcullis-core"]).args(features))
    });
    checks.run("lints", || {
        succeed(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"]))
    });
    checks.run("lints of the plugin as it is built", || {
        tools::wasm_target(workspace, "wasm32-wasip1")?;
        succeed(&mut cargo(&[
            "clippy",
            "--package=portcullis-plugin",
            "--target=wasm32-wasip1",
            "--",
            "--deny=warnings",
        ]))
    });
    checks.run("lints of the web package as it is built", || {
        tools::wasm_target(workspace, web::TARGET)?;
        let packages = web::packages().map(|package| format!("--package={package}"));
        let target = format!("--target={}", web::TARGET);
        succeed(cargo(&["clippy"]).args(packages).args([&target, "--", "--deny=warnings"]))
    });
    checks.run("documentation", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
        succeed(command.env("RUSTDOCFLAGS", "--deny=warnings"))
    });
    checks.run("the plugin's size, imports, capabilities", || {
        let wasm = plugin::build(workspace)?;
        plugin::check(workspace, &wasm)?;
        capabilities::check(workspace, &wasm)
    });
    checks.run("the list of what is in the plugin", || {
        plugin::build(workspace)?;
        release::listed(workspace, None).map(|_| ())
    });
    checks.run("the web package's size", || {
        web::build(workspace)?;
        web::check(workspace)
    });
    checks.run("Envoy accepts envoy/envoy.yaml", || {
        let wasm = plugin::build(workspace)?;
        let config = EnvoyConfig::shipped(workspace)?.with_plugin(&wasm)?;
        envoy::validate(workspace, &tools::python(workspace)?.envoy, &config)
    });
    checks.run("the tour, on Envoy", || tour(workspace, up::Host::Envoy));
    checks.run("the tour, on the embedded gate", || tour(workspace, up::Host::Wasmtime));
    checks.run("tests", || {
        ensure!(test::run(workspace, &test::Options::all())?, "tests failed");
        Ok(())
    });
    Ok(checks.report())
}

fn tour(workspace: &Workspace, host: up::Host) -> Result<()> {
    ensure!(up::run(workspace, &up::Options::once(host))?, "the tour came out otherwise than it says");
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "`{}` failed", progress::shown(command));
    Ok(())
}

/// What became of one check.
enum Outcome {
    Passed,
    /// It could not run here, and this would let it.
    Skipped(&'static str),
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Passed
    }
}

const NO_CARGO_DENY: Outcome =
    Outcome::Skipped("cargo-deny is not here: `cargo install --locked cargo-deny`");

/// The checks that ran.
#[derive(Default)]
struct Checks {
    lines: Vec<String>,
    failed: bool,
}

impl Checks {
    fn run<T: Into<Outcome>>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) {
        println!("\n== {name}");
        let began = Instant::now();
        let outcome = match check().map(T::into) {
            Ok(Outcome::Passed) => "passed ".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("SKIPPED ({why})"),
            Err(error) => {
                eprintln!("error: {error:#}");
                self.failed = true;
                "FAILED ".to_owned()
            }
        };
        let seconds = began.elapsed().as_secs();
        self.lines.push(format!("{seconds:>5} s  {outcome} {name}"));
    }

    fn report(&self) -> bool {
        println!("\n{}", self.lines.join("\n"));
        !self.failed
    }
}
