//! A control service, and gates that record there, as the service's own tests have them.

#![allow(dead_code, unreachable_pub, reason = "the tests of the service use the rest")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

#[path = "../../../control/tests/common/gates.rs"]
pub mod gates;
#[path = "../../../control/tests/common/metering.rs"]
pub mod metering;
#[path = "../../../control/tests/common/passports.rs"]
pub mod passports;
#[path = "../../../control/tests/common/records.rs"]
pub mod records;

use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;
use xtask::control::{Control, Service};

/// A service of its own, with a folder that goes with it.
pub struct Bench {
    pub service: Service,
    pub folder: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With further options of `serve`.
    pub fn with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::var_os("PORTCULLIS_CONTROL").map(PathBuf::from);
        let program = program.expect("PORTCULLIS_CONTROL is not set: run `cargo xtask test`");
        let service =
            Control::in_folder(&program, folder.path(), None).unwrap().with(options).start().unwrap();
        Bench { service, folder }
    }

    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let answer = self.service.call(method, path, body.as_deref()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}
