//! The part of the service that people answer, as small as one can be.

use super::LiveWorkers;
use portcullis_core::UnixTime;
use serde_json::{Value, json};

/// As long as the real one lets an approval be used.
const IN_FORCE_MS: i64 = 300_000;

impl LiveWorkers {
    /// Answers a request that is held, by its record: an approval goes into the snapshot, and of
    /// what is denied the gate hears nothing.
    pub fn resolve(&mut self, approval: &str, approves: bool) {
        let records = self.keeper.records.iter().map(|text| serde_json::from_str(text).expect("a record"));
        let held = records.into_iter().find(|record: &Value| record["approval_request_id"] == approval);
        let held = held.unwrap_or_else(|| panic!("no record asks for {approval}"));
        if !approves {
            return;
        }
        let now = i64::try_from(self.host.now().as_millis()).expect("a time");
        let approved = json!({
            "id": approval,
            "binding": held["hold"]["binding"],
            "lane": held["lane"],
            "expires_at": UnixTime::from_millis(now).plus_millis(IN_FORCE_MS).to_iso(),
        });
        let mut config: Value = serde_json::from_str(&self.service.config).expect("a configuration");
        match config["approvals"].as_array_mut() {
            Some(others) => others.push(approved),
            None => config["approvals"] = json!([approved]),
        }
        self.service.configure(config.to_string());
    }
}
