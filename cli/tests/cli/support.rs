//! A folder to work in, and the program run there.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A moment within the lifetime of what [`Desk::new`] has issued.
pub(crate) const NOON: &str = "2026-06-01T12:00:00Z";

/// A folder of its own, with the program at hand.
pub(crate) struct Desk {
    folder: TempDir,
}

/// What the program said, and how it ended.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Desk { folder: TempDir::new().expect("a folder") }
    }

    /// A folder with the keys of an agent, a helper and an issuer, `agent.json`,
    /// `helper.jwk` and `issuer.pem`, and the delegable passport `agent.passport`, which
    /// the agent issued itself for flights:search, and flights:book within 500.
    pub(crate) fn furnished() -> Self {
        let desk = Desk::new();
        desk.done(&["keygen", "--out", "agent.json"]);
        desk.done(&["keygen", "--out", "helper.jwk", "--format", "jwk"]);
        desk.done(&["keygen", "--out", "issuer.pem", "--format", "pem"]);
        desk.issue(
            "agent.passport",
            &[
                "--permission",
                "flights:search",
                "--permission",
                r#"flights:book={"max_per_action_cost":500}"#,
                "--delegable",
            ],
        );
        desk
    }

    /// Issues a passport with the agent's key, an hour around [`NOON`].
    pub(crate) fn issue(&self, file: &str, more: &[&str]) {
        let arguments = ["issue", "--key", "agent.json", "--at", "2026-06-01T11:30:00Z"];
        self.done(&[&arguments, ["--expires-in", "1h", "--out", file].as_slice(), more].concat());
    }

    /// Issues a passport for the agent as the platform `issuer:org_1`.
    pub(crate) fn issue_as_platform(&self, file: &str, more: &[&str]) {
        let issuer = ["issue", "--key", "issuer.pem", "--as", "platform", "--issuer", "issuer:org_1"];
        let agent = ["--key-id", "ik_1", "--agent-id", "acme-agent", "--agent-key", "agent.json"];
        let times = ["--at", "2026-06-01T11:30:00Z", "--expires-in", "1h", "--out", file];
        self.done(&[issuer.as_slice(), &agent, &times, more].concat());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    pub(crate) fn read_json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect(name);
    }

    /// The permission bits of a file.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(self.path(name)).expect(name).permissions().mode() & 0o777
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).expect(name);
    }

    /// The names of all files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, Stdio::null())
    }

    /// Runs the program with a file as its standard input.
    pub(crate) fn run_reading(&self, input: &str, arguments: &[&str]) -> Outcome {
        let file = std::fs::File::open(self.path(input)).expect(input);
        self.run_with(arguments, Stdio::from(file))
    }

    fn run_with(&self, arguments: &[&str], input: Stdio) -> Outcome {
        let mut program = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = program.args(arguments).current_dir(self.folder.path()).stdin(input).output();
        let output = output.expect("the program");
        let code = output.status.code().expect("an exit code");
        // A panic would exit with 101 and a message that is meant for nobody.
        assert!((0..=2).contains(&code), "{arguments:?}: {code}");
        Outcome { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs what must be done without a word on standard error.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{arguments:?}");
        outcome.out
    }

    /// Runs what must be done, as JSON.
    pub(crate) fn done_json(&self, arguments: &[&str]) -> Value {
        parsed(&self.done(&[arguments, &["--json"]].concat()))
    }

    /// Runs what must be refused, as JSON.
    pub(crate) fn refused_json(&self, arguments: &[&str]) -> Value {
        let outcome = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(outcome.code, 1, "{arguments:?}: {}{}", outcome.out, outcome.err);
        parsed(&outcome.out)
    }

    /// Runs what must be unusable, in both forms; gives the message.
    pub(crate) fn unusable(&self, arguments: &[&str]) -> String {
        let plain = self.run(arguments);
        assert_eq!((plain.code, plain.out.as_str()), (2, ""), "{arguments:?}");
        let message = plain.err.strip_prefix("portcullis: error: ").expect("a message").trim_end();
        let json = self.run(&[arguments, &["--json"]].concat());
        assert_eq!((json.code, json.err.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(parsed(&json.out), serde_json::json!({ "error": message }), "{arguments:?}");
        message.to_owned()
    }

    /// Runs what the argument parser must refuse; gives the message.
    pub(crate) fn misused(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{arguments:?}");
        outcome.err
    }
}

/// The members of an object.
pub(crate) fn members(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}
