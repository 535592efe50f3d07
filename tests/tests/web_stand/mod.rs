//! The package for JavaScript, packed and installed by npm, in a Node of its own.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// What `cargo xtask test` provides.
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

/// A project that has the package installed as `npm pack` has packed it, and the scripts of
/// `tests/web/`.
pub fn project() -> &'static Path {
    static PROJECT: OnceLock<tempfile::TempDir> = OnceLock::new();
    PROJECT.get_or_init(install).path()
}

fn install() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let npm = |arguments: &[&str]| {
        let program = given("PORTCULLIS_NODE");
        let cli = program.parent().unwrap().join("../lib/node_modules/npm/bin/npm-cli.js");
        let mut command = Command::new(&program);
        command.arg(cli).args(arguments).current_dir(folder.path());
        // Nothing of the machine's settings, and nothing from elsewhere.
        command.args(["--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        command.arg("--cache").arg(folder.path().join("cache"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "npm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let package = given("PORTCULLIS_WEB_PACKAGE");
    let packed = npm(&["pack", package.to_str().unwrap(), "--silent"]);
    let project = json!({"name": "user", "private": true, "type": "module"});
    std::fs::write(folder.path().join("package.json"), project.to_string()).unwrap();
    npm(&["install", &format!("./{}", packed.trim())]);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    for script in std::fs::read_dir(scripts).unwrap() {
        let script = script.unwrap();
        std::fs::copy(script.path(), folder.path().join(script.file_name())).unwrap();
    }
    folder
}

/// Node with what a strict Content-Security-Policy forbids forbidden: code from strings.
pub fn node() -> Command {
    let mut command = Command::new(given("PORTCULLIS_NODE"));
    command.arg("--disallow-code-generation-from-strings").current_dir(project());
    command
}

/// A running Node, or another runtime, that has the package. Ended when dropped.
pub struct Package {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Package {
    pub fn start() -> Self {
        Package::start_in(node())
    }

    /// In another runtime than Node.
    pub fn start_in(mut runtime: Command) -> Self {
        let mut process =
            runtime.arg("api.mjs").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Package { process, requests, answers }
    }

    /// Does it; what the package throws is an error.
    pub fn ask(&mut self, operation: &str, given: &[Value]) -> Result<Value, Thrown> {
        writeln!(self.requests, "{}", json!({"operation": operation, "given": given})).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the runtime ended; its own message stands above");
        let mut said: Value = serde_json::from_str(&line).unwrap();
        if said["thrown"].is_null() {
            return Ok(said["answer"].take());
        }
        let text = |name: &str| said["thrown"][name].as_str().unwrap().to_owned();
        Err(Thrown { code: text("code"), detail: text("detail") })
    }

    /// Calls what it exports.
    pub fn call(&mut self, name: &str, given: &[Value]) -> Result<Value, Thrown> {
        self.ask("call", &[name.into(), given.into()])
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A `PortcullisError`.
#[derive(Debug, PartialEq, Eq)]
pub struct Thrown {
    pub code: String,
    pub detail: String,
}

/// Bytes, as `api.mjs` takes them.
pub fn bytes(bytes: &[u8]) -> Value {
    json!({"$bytes": portcullis_core::base64::encode(bytes)})
}

/// What the command line says, with `--json`.
pub fn command_line(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(given("PORTCULLIS_CLI"));
    command.args(arguments).arg("--json").current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // A program that has seen enough may stop reading before the end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}
