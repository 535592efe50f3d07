//! A control service as small as one can be: it remembers every change.

use crate::common::{NOW, key};
use portcullis_core::live::{
    FingerprintKey, Head, LiveError, LiveTrust, Next, RevocationDelta, RevocationPage, RevocationState,
    SignedSnapshot, SnapshotDraft, TrustResponse,
};
use portcullis_core::{GateConfiguration, ServiceConfig, UnixTime, base64};
use std::collections::BTreeSet;

pub const GATE: &str = "gate_test";
pub const FINGERPRINTS: FingerprintKey = FingerprintKey::new([7; 16]);
pub const ECHO: &str = "AAAAAAAAAAAAAAAAAAAAAA";
pub const MAX_AGE: i64 = 600_000;

pub fn service_config() -> ServiceConfig {
    let public = base64::encode(&key(9).public_key());
    let text = format!(
        r#"{{"gate":{{"id":"gate_test"}},"service":{{"cluster":"control","authority":"control.internal",
            "keys":[{{"key_id":"k1","public_key":"{public}"}}],"max_age_seconds":600}}}}"#
    );
    match GateConfiguration::from_json(text.as_bytes()).unwrap() {
        GateConfiguration::Live(config) => config,
        GateConfiguration::Static(_) => panic!("it has a service"),
    }
}

pub fn gate() -> LiveTrust {
    LiveTrust::new(&service_config()).unwrap()
}

#[derive(Clone)]
pub struct Service {
    pub gate: String,
    pub config: String,
    pub snapshot: u64,
    /// Numbers, fingerprints, and whether they are revoked from then on.
    pub changes: Vec<(u64, u64, bool)>,
    pub number: u64,
    pub followed: Vec<(String, UnixTime)>,
    /// How many fingerprints a page has.
    pub page: usize,
    pub key: FingerprintKey,
}

impl Service {
    pub fn new(config: String) -> Self {
        Service {
            gate: GATE.into(),
            config,
            snapshot: 1,
            changes: vec![],
            number: 1,
            followed: vec![],
            page: 2,
            key: FINGERPRINTS,
        }
    }

    pub fn configure(&mut self, config: String) {
        self.number += 1;
        self.snapshot = self.number;
        self.config = config;
    }

    pub fn change(&mut self, fingerprint: u64, is_revoked: bool) {
        self.number += 1;
        self.changes.push((self.number, fingerprint, is_revoked));
    }

    pub fn revoked(&self) -> BTreeSet<u64> {
        let mut set = BTreeSet::new();
        for (_, fingerprint, is_revoked) in &self.changes {
            if *is_revoked {
                set.insert(*fingerprint)
            } else {
                set.remove(fingerprint)
            };
        }
        set
    }

    pub fn state(&self) -> RevocationState {
        let number = self.changes.last().map_or(0, |(number, ..)| *number);
        let set = self.revoked();
        let digest = set.iter().fold(0, |digest, one| digest ^ one);
        RevocationState { number, count: set.len() as u64, digest }
    }

    pub fn snapshot(&self) -> SignedSnapshot {
        let draft =
            SnapshotDraft { gate: &self.gate, number: self.snapshot, time: NOW, config: &self.config };
        draft.sign(&key(9), "k1").unwrap()
    }

    pub fn head(&self, time: UnixTime) -> Head {
        Head {
            gate: self.gate.clone(),
            time,
            number: self.snapshot.max(self.state().number),
            snapshot_number: self.snapshot,
            snapshot_sha256: self.snapshot().sha256,
            revocations: self.state(),
            followed: self.followed.clone(),
            echo: ECHO.into(),
        }
    }

    pub fn delta(&self, since: u64) -> RevocationDelta {
        let set = self.revoked();
        let changed = self.changes.iter().filter(|(number, ..)| *number > since).map(|(_, one, _)| *one);
        let (added, removed) =
            changed.collect::<BTreeSet<_>>().into_iter().partition(|one| set.contains(one));
        RevocationDelta {
            gate: self.gate.clone(),
            since,
            number: self.state().number,
            key: self.key,
            added,
            removed,
        }
    }

    pub fn page(&self, from: u64) -> RevocationPage {
        let set: Vec<u64> = self.revoked().range(from..).copied().collect();
        let is_last = set.len() <= self.page;
        let fingerprints: Vec<u64> = set.into_iter().take(self.page).collect();
        let to = if is_last { u64::MAX } else { fingerprints.last().copied().unwrap() };
        let number = self.state().number;
        RevocationPage { gate: self.gate.clone(), number, key: self.key, from, to, fingerprints }
    }

    /// As the real one answers: with a delta from whatever the gate has.
    pub fn answer(&self, snapshot: u64, revocations: u64, time: UnixTime) -> TrustResponse {
        let is_behind = revocations < self.state().number;
        TrustResponse {
            head: self.head(time).sign(&key(9), "k1"),
            snapshot: (snapshot < self.snapshot).then(|| self.snapshot().token),
            delta: (revocations > 0 && is_behind).then(|| self.delta(revocations).sign(&key(9), "k1")),
            reload: revocations == 0 && is_behind,
        }
    }

    /// Lets a gate take one step.
    pub fn step(&self, gate: &mut LiveTrust, now: UnixTime) -> Result<(), LiveError> {
        match gate.next() {
            Next::Ask { snapshot, revocations } => {
                let answer = self.answer(snapshot, revocations, now).to_json();
                gate.accept(&TrustResponse::read(answer.as_bytes()).unwrap(), now, Some(ECHO))
            }
            Next::Page { from } => gate.accept_page(self.page(from).sign(&key(9), "k1").as_bytes(), now),
        }
    }

    /// Lets a gate take steps until it has taken up all.
    pub fn bring(&self, gate: &mut LiveTrust, now: UnixTime) {
        for _ in 0..100 {
            self.step(gate, now).unwrap();
            let head = gate.current().ok().map(|current| current.live.head().clone());
            if head.is_some_and(|head| head == self.head(now)) {
                return;
            }
        }
        panic!("the gate does not get there");
    }
}
