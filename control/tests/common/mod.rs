//! A real service for a test, and JSON in and out of it.

pub mod audit;
pub mod gates;
pub mod metering;
pub mod outside;
pub mod passports;
pub mod records;
pub mod settling;

use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use xtask::control::{Control, Service};

/// A service of its own, with a folder that goes with it.
pub struct Bench {
    pub service: Service,
    pub control: Control,
    pub folder: TempDir,
}

impl Bench {
    /// On SQLite, or on the PostgreSQL database given.
    pub fn new(database: Option<&str>) -> Self {
        Self::with(database, &[])
    }

    /// With further options of `serve`.
    pub fn with(database: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
        let control = Control::in_folder(program, folder.path(), database).unwrap().with(options);
        let service = control.start().unwrap();
        Bench { service, control, folder }
    }

    /// Calls with the key that may do everything.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let answer = self.service.call(method, path, body.as_deref()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// With these options of `serve` and no others.
    pub fn with_only(database: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
        let mut control = Control::in_folder(program, folder.path(), database).unwrap();
        control.options = options.iter().map(|option| (*option).to_owned()).collect();
        let service = control.start().unwrap();
        Bench { service, control, folder }
    }

    /// Writes into the database, past the service, what another part of it would. Answers
    /// how many rows that were.
    pub fn sql(&self, statement: &str) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = portcullis_control::db::Db::open(&self.control.database).await.unwrap();
            let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(db.pool()).await.unwrap();
            db.close().await;
            done.rows_affected()
        })
    }
}
