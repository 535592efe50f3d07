//! What the proxy's own access log can show of a decision. Each is a text that the host keeps for the
//! request; Envoy has it as `%FILTER_STATE(wasm.portcullis.decision:PLAIN)%`.

use crate::host::{self, Level};
use crate::metrics::Outcome;
use crate::root::Works;
use crate::shown::word;
use alloc::format;
use portcullis_core::Identity;

impl Works {
    /// Counts what became of a request, and tells the access log. `attestation_id` is empty where
    /// there is no record.
    pub(crate) fn decided(&self, outcome: Outcome, identity: Option<&Identity>, attestation_id: &str) {
        self.metrics.count(outcome);
        let (decision, reason) = outcome.words();
        let (agent, issuer) = identity.map_or(("", ""), |identity| (identity.agent_id(), identity.issuer()));
        for (name, value) in [
            ("portcullis.decision", decision),
            ("portcullis.reason", reason),
            ("portcullis.agent", agent),
            ("portcullis.issuer", issuer),
            ("portcullis.attestation", attestation_id),
        ] {
            // Nothing is shown as nothing.
            if value.is_empty() {
                continue;
            }
            if let Err(fault) = host::set_property(name, &word(value)) {
                // A host that keeps none would say so for each request.
                if !self.is_log_silent.replace(true) {
                    host::log(Level::Warn, &format!("the access log is told of no decisions: {fault}"));
                }
                return;
            }
        }
    }
}
