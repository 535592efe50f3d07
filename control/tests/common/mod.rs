//! A real service for a test, and JSON in and out of it.

#![allow(dead_code, reason = "each test that has this module uses a part of it")]

use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use xtask::control::{Control, Service};

/// A service of its own, with a folder that goes with it.
pub(crate) struct Bench {
    pub(crate) service: Service,
    pub(crate) control: Control,
    pub(crate) folder: TempDir,
}

impl Bench {
    /// On SQLite, or on the PostgreSQL database given.
    pub(crate) fn new(database: Option<&str>) -> Self {
        Self::with(database, &[])
    }

    /// With further options of `serve`.
    pub(crate) fn with(database: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
        let control = Control::in_folder(program, folder.path(), database).unwrap().with(options);
        let service = control.start().unwrap();
        Bench { service, control, folder }
    }

    /// Calls with the key that may do everything.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let answer = self.service.call(method, path, body.as_deref()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}
