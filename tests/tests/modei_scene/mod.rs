//! The real control service, and both of the unmodified Modei clients.

use crate::sdk::Sdk;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use xtask::control::{Control, Service};

/// An agent's seed.
pub const AGENT: &str = "0101010101010101010101010101010101010101010101010101010101010101";
/// Another's.
pub const OTHER: &str = "0202020202020202020202020202020202020202020202020202020202020202";

/// The real service, and both clients.
pub struct Scene {
    pub sdk: Sdk,
    pub service: Service,
    pub is_async: bool,
    _folder: TempDir,
}

impl Scene {
    pub fn new(database: Option<&str>) -> Self {
        Self::with(database, None)
    }

    pub fn with(database: Option<&str>, options: Option<&[&str]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var_os("PORTCULLIS_CONTROL").map(PathBuf::from);
        let program = program.expect("PORTCULLIS_CONTROL is not set: run `cargo xtask test`");
        let mut control = Control::in_folder(&program, folder.path(), database).unwrap();
        if let Some(options) = options {
            control.options = options.iter().map(|option| (*option).to_owned()).collect();
        }
        let service = control.start().unwrap();
        Scene { sdk: Sdk::running("modei_client.py"), service, is_async: false, _folder: folder }
    }

    pub fn call_with(&mut self, key: &str, method: &str, args: Value, kwargs: Value) -> Value {
        let arguments = json!({
            "url": self.service.url(), "key": key, "method": method, "args": args, "kwargs": kwargs,
            "is_async": self.is_async,
        });
        self.sdk.ask("call", arguments)
    }

    /// The answer to one call of the client.
    pub fn call(&mut self, method: &str, args: Value, kwargs: Value) -> Value {
        let key = self.service.key.clone();
        let answer = self.call_with(&key, method, args, kwargs);
        assert!(answer.get("answer").is_some(), "{method}: {answer}");
        answer["answer"].clone()
    }

    /// The class and the status of the error that one call raises.
    pub fn error(&mut self, method: &str, args: Value, kwargs: Value) -> (String, u64) {
        let key = self.service.key.clone();
        let answer = self.call_with(&key, method, args, kwargs);
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        (answer["error"].as_str().expect("an error").to_owned(), answer["status"].as_u64().expect("a status"))
    }

    /// As whoever has no API key.
    pub fn post(&mut self, path: &str, body: &Value) -> (u64, Value) {
        let url = format!("{}{path}", self.service.url());
        let answer = self.sdk.ask("post", json!({"url": url, "body": body}));
        (answer["status"].as_u64().expect("a status"), answer["answer"].clone())
    }

    pub fn agent(&mut self, seed: &str) -> Value {
        self.sdk.ask("agent", json!({"seed": seed}))
    }

    pub fn issue(&mut self, gate: &str, kwargs: Value) -> Value {
        let key = self.agent(AGENT)["public_key"].clone();
        let mut asked =
            json!({"agent_id": "agent-001", "permissions": ["read", "write"], "agent_public_key": key});
        for (name, value) in kwargs.as_object().expect("an object") {
            asked[name] = value.clone();
        }
        self.call("issue_passport", json!([gate]), asked)
    }
}

/// With each of the clients, and a gate of its own.
pub fn with_both(database: Option<&str>, test: impl Fn(&mut Scene, &str)) {
    let mut scene = Scene::new(database);
    for (is_async, gate) in [(false, "gate_sync"), (true, "gate_async")] {
        scene.is_async = is_async;
        scene.call("create_gate", json!([]), json!({"name": "A gate", "gate_id": gate}));
        test(&mut scene, gate);
    }
}
