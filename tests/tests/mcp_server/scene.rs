//! The real control service, and the official MCP client with its sessions.

use crate::sdk::Sdk;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tempfile::TempDir;
use xtask::control::{Control, Service};

/// How a client reaches the tools.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Http,
    Stdio,
}

/// Both transports, each with a version of the protocol that begins with a handshake, and
/// with one that needs none.
pub(crate) const WAYS: [(Transport, &str, &str); 4] = [
    (Transport::Http, "legacy", "2025-11-25"),
    (Transport::Http, "auto", "2026-07-28"),
    (Transport::Stdio, "legacy", "2025-11-25"),
    (Transport::Stdio, "auto", "2026-07-28"),
];

pub(crate) struct Scene {
    pub client: Sdk,
    pub service: Service,
    /// The tools that have answered.
    pub called: BTreeSet<String>,
    program: PathBuf,
    _folder: TempDir,
}

impl Scene {
    pub(crate) fn new(database: Option<&str>) -> Self {
        Self::with(database, &[])
    }

    pub(crate) fn with(database: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var_os("PORTCULLIS_CONTROL").map(PathBuf::from);
        let program = program.expect("PORTCULLIS_CONTROL is not set: run `cargo xtask test`");
        let control = Control::in_folder(&program, folder.path(), database).unwrap().with(options);
        let service = control.start().unwrap();
        let client = Sdk::running("mcp_client.py");
        Scene { client, service, called: BTreeSet::new(), program, _folder: folder }
    }

    /// Opens a session with the service's key; what the client learned of the server.
    pub(crate) fn open(&mut self, session: &str, transport: Transport, mode: &str) -> Value {
        let (url, key) = (self.service.url(), self.service.key.clone());
        self.open_with(session, transport, mode, &url, &key)
    }

    /// Opens a session at this service with this key.
    pub(crate) fn open_with(
        &mut self,
        session: &str,
        transport: Transport,
        mode: &str,
        url: &str,
        key: &str,
    ) -> Value {
        match transport {
            Transport::Http => {
                let headers = json!({"authorization": format!("Bearer {key}")});
                self.open_http(session, mode, &format!("{url}/mcp"), headers)
            }
            Transport::Stdio => {
                let env = json!({"MODEI_API_URL": url, "MODEI_API_KEY": key});
                let asked = json!({"session": session, "command": self.program, "args": ["mcp"], "env": env, "mode": mode});
                self.client.ask("open_stdio", asked)
            }
        }
    }

    pub(crate) fn open_http(&mut self, session: &str, mode: &str, url: &str, headers: Value) -> Value {
        let asked = json!({"session": session, "url": url, "headers": headers, "mode": mode});
        self.client.ask("open_http", asked)
    }

    /// A call, as the client tells of it.
    pub(crate) fn try_call(&mut self, session: &str, tool: &str, arguments: Value) -> Value {
        let asked = json!({"session": session, "name": tool, "arguments": arguments});
        self.client.ask("call", asked)
    }

    /// The answer to a call that succeeds.
    pub(crate) fn call(&mut self, session: &str, tool: &str, arguments: Value) -> Value {
        let answer = self.try_call(session, tool, arguments);
        assert_eq!(
            (&answer["is_error"], &answer["type"]),
            (&json!(false), &json!("text")),
            "{tool}: {answer}"
        );
        self.called.insert(tool.to_owned());
        serde_json::from_str(answer["text"].as_str().expect("a text")).expect("JSON")
    }

    /// The refusal of a call.
    pub(crate) fn refused(&mut self, session: &str, tool: &str, arguments: Value) -> Value {
        let answer = self.try_call(session, tool, arguments);
        assert_eq!(
            (&answer["is_error"], &answer["type"]),
            (&json!(true), &json!("text")),
            "{tool}: {answer}"
        );
        let refusal: Value = serde_json::from_str(answer["text"].as_str().expect("a text")).expect("JSON");
        assert!(refusal["message"].as_str().is_some_and(|message| !message.is_empty()), "{refusal}");
        assert_eq!(refusal["code"], refusal["error"]);
        refusal
    }

    /// What REST says, with the service's key.
    pub(crate) fn rest(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let answer = self.service.call(method, path, body.as_deref()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// What REST has at a path.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, answer) = self.rest("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}
