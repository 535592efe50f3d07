//! Real client packages, each in a Python process of its own.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running client. Ended when dropped.
pub struct Sdk {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Sdk {
    /// Starts the Modei client.
    pub fn start() -> Self {
        Self::running("sdk.py")
    }

    /// Starts the client that a script in `tests/python/` drives.
    ///
    /// # Panics
    /// Where no Python with the client is named. A test of agreement with a client that
    /// is not there must not pass.
    pub fn running(script: &str) -> Self {
        let python = std::env::var_os("PORTCULLIS_PYTHON").unwrap_or_else(|| {
            panic!(
                "PORTCULLIS_PYTHON must name a Python that has tests/python/requirements.txt installed; \
                 `cargo xtask test` makes one and sets it"
            )
        });
        let mut process = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script))
            // Bytecode beside the sources would be a change to the checkout.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let requests = process.stdin.take().expect("piped above");
        let answers = BufReader::new(process.stdout.take().expect("piped above"));
        Sdk { process, requests, answers }
    }

    /// One request, one answer; see `OPERATIONS` in the script.
    pub fn ask(&mut self, operation: &str, mut arguments: Value) -> Value {
        arguments["op"] = json!(operation);
        writeln!(self.requests, "{arguments}").expect("the client reads requests as long as it runs");
        self.next()
    }

    /// The next answer to a request that has many.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the client's answers are UTF-8");
        assert!(!line.is_empty(), "the client ended; its own message stands above");
        serde_json::from_str(&line).expect("the client answers in JSON")
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        // It may be blocked in writing answers that nobody reads any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
