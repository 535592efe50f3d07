//! Trust material for gates on the harness that can have it from a control service only: a
//! service that never changes its mind.

use super::credential::key;
use portcullis_core::live::{
    FingerprintKey, Head, RevocationPage, RevocationState, SnapshotDraft, TrustResponse,
};
use portcullis_core::{Config, Profile, UnixTime, base64};

/// The upstream by which the gate reaches the service.
pub const CLUSTER: &str = "control";

/// Who signs, by its name; the key's id.
const SIGNER: &str = "trust";

/// A gate's configuration as a service would send it, and what the service answers.
#[derive(Debug)]
pub struct LiveGate {
    id: String,
    config: String,
}

/// Whether a gate of this configuration takes it from a control service: above L1 static
/// trust material is refused.
///
/// # Panics
/// Where it cannot be read.
pub fn is_live(configuration: &str) -> bool {
    let config = Config::from_json(configuration.as_bytes());
    config.unwrap_or_else(|error| panic!("a gate's configuration: {error}")).profile != Profile::L1
}

impl LiveGate {
    /// For a gate with this configuration, if it is of L2 or L3.
    ///
    /// # Panics
    /// As [`is_live`].
    pub fn new(configuration: &str) -> Option<Self> {
        let id = Config::from_json(configuration.as_bytes()).ok()?.gate.id;
        is_live(configuration).then(|| LiveGate { id, config: configuration.to_owned() })
    }

    /// What the gate itself is configured with.
    pub fn configuration(&self) -> String {
        let public = base64::encode(&key(SIGNER).public_key());
        format!(
            r#"{{"gate":{{"id":"{}"}},"service":{{"cluster":"{CLUSTER}","authority":"control.internal",
                "keys":[{{"key_id":"{SIGNER}","public_key":"{public}"}}]}}}}"#,
            self.id
        )
    }

    /// What the service answers to a call with this path and query.
    ///
    /// # Panics
    /// Where the gate asks for something that there is not.
    pub fn answer(&self, target: &str, now: UnixTime) -> String {
        let (path, query) = target.split_once('?').expect("a gate's calls have a query");
        if path.ends_with("/revocations") {
            return self.page().sign(&key(SIGNER), SIGNER);
        }
        let member = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        let draft = SnapshotDraft { gate: &self.id, number: 1, time: now, config: &self.config };
        let snapshot = draft.sign(&key(SIGNER), SIGNER).expect("a gate's configuration");
        let head = Head {
            gate: self.id.clone(),
            time: now,
            number: 1,
            snapshot_number: 1,
            snapshot_sha256: snapshot.sha256,
            revocations: RevocationState::default(),
            followed: Vec::new(),
            echo: member("random=").expect("a gate sends a random").to_owned(),
        };
        let response = TrustResponse {
            head: head.sign(&key(SIGNER), SIGNER),
            snapshot: (member("snapshot=") == Some("0")).then_some(snapshot.token),
            delta: None,
            reload: false,
        };
        response.to_json()
    }

    /// Nothing is revoked.
    fn page(&self) -> RevocationPage {
        RevocationPage {
            gate: self.id.clone(),
            number: 0,
            key: FingerprintKey::new([1; 16]),
            from: 0,
            to: u64::MAX,
            fingerprints: Vec::new(),
        }
    }
}
