//! Live trust material: documents, the set of what is revoked, and how a gate takes both up.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;

use common::{NOW, config, key};
use portcullis_core::live::{
    FingerprintKey, Head, LiveError, LiveTrust, Next, RevocationDelta, RevocationPage, RevocationState,
    Revocations, ServiceKeys, SnapshotDocument, SnapshotDraft, TrustResponse,
};
use portcullis_core::{GateConfiguration, KeyConfig, Reason, UnixTime, base64};

const GATE: &str = "gate_test";
const KEY: FingerprintKey = FingerprintKey::new([7; 16]);
const ECHO: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn service_key(id: &str, name: u8) -> KeyConfig {
    KeyConfig {
        key_id: id.into(),
        public_key: base64::encode(&key(name).public_key()),
        not_before: None,
        not_after: None,
    }
}

fn gate() -> LiveTrust {
    let key = base64::encode(&key(9).public_key());
    let text = format!(
        r#"{{"gate":{{"id":"gate_test"}},"service":{{"cluster":"control","authority":"control.internal",
            "keys":[{{"key_id":"k1","public_key":"{key}"}}],"max_age_seconds":60}}}}"#
    );
    match GateConfiguration::from_json(text.as_bytes()).unwrap() {
        GateConfiguration::Live(config) => LiveTrust::new(&config).unwrap(),
        GateConfiguration::Static(_) => panic!("it has a service"),
    }
}

/// A control service, as small as one can be: it remembers every change.
struct Service {
    snapshot: (u64, UnixTime, String),
    changes: Vec<(u64, u64, bool)>,
    number: u64,
}

impl Service {
    fn new(trust: &str) -> Self {
        Service { snapshot: (1, NOW, config(trust)), changes: vec![], number: 1 }
    }

    fn change(&mut self, fingerprint: u64, is_revoked: bool) {
        self.number += 1;
        self.changes.push((self.number, fingerprint, is_revoked));
    }

    fn revoked(&self) -> std::collections::BTreeSet<u64> {
        let mut set = std::collections::BTreeSet::new();
        for (_, fingerprint, is_revoked) in &self.changes {
            if *is_revoked {
                set.insert(*fingerprint)
            } else {
                set.remove(fingerprint)
            };
        }
        set
    }

    fn state(&self) -> RevocationState {
        let number = self.changes.last().map_or(0, |(number, ..)| *number);
        let set = self.revoked();
        RevocationState {
            number,
            count: set.len() as u64,
            digest: set.iter().fold(0, |digest, one| digest ^ one),
        }
    }

    fn snapshot(&self) -> portcullis_core::live::SignedSnapshot {
        let (number, time, config) = &self.snapshot;
        SnapshotDraft { gate: GATE, number: *number, time: *time, config }.sign(&key(9), "k1").unwrap()
    }

    fn head(&self, time: UnixTime) -> Head {
        Head {
            gate: GATE.into(),
            time,
            number: self.snapshot.0.max(self.state().number),
            snapshot_number: self.snapshot.0,
            snapshot_sha256: self.snapshot().sha256,
            revocations: self.state(),
            followed: vec![],
            echo: ECHO.into(),
        }
    }

    fn delta(&self, since: u64) -> RevocationDelta {
        let set = self.revoked();
        let changed: std::collections::BTreeSet<u64> =
            self.changes.iter().filter(|(number, ..)| *number > since).map(|(_, one, _)| *one).collect();
        let (added, removed) = changed.into_iter().partition(|one| set.contains(one));
        RevocationDelta { gate: GATE.into(), since, number: self.state().number, key: KEY, added, removed }
    }

    fn page(&self, from: u64, most: usize) -> RevocationPage {
        let set: Vec<u64> = self.revoked().range(from..).copied().collect();
        let fingerprints: Vec<u64> = set.iter().copied().take(most).collect();
        let to = if set.len() > most { fingerprints[most - 1] } else { u64::MAX };
        RevocationPage { gate: GATE.into(), number: self.state().number, key: KEY, from, to, fingerprints }
    }

    /// Answers like the real one.
    fn answer(&self, snapshot: u64, revocations: u64, time: UnixTime) -> TrustResponse {
        TrustResponse {
            head: self.head(time).sign(&key(9), "k1"),
            snapshot: (snapshot < self.snapshot.0).then(|| self.snapshot().token),
            delta: (revocations > 0 && revocations < self.state().number)
                .then(|| self.delta(revocations).sign(&key(9), "k1")),
            reload: revocations == 0 && self.state().number > 0,
        }
    }

    /// Lets a gate take one step.
    fn step(&self, gate: &mut LiveTrust, now: UnixTime) -> Result<(), LiveError> {
        match gate.next() {
            Next::Ask { snapshot, revocations } => {
                let answer = self.answer(snapshot, revocations, now).to_json();
                gate.accept(&TrustResponse::read(answer.as_bytes()).unwrap(), now, Some(ECHO))
            }
            Next::Page { from } => gate.accept_page(self.page(from, 2).sign(&key(9), "k1").as_bytes(), now),
        }
    }
}

#[test]
fn a_gate_takes_up_a_snapshot_and_pages_and_then_deltas() {
    let mut service = Service::new(common::SELF_ISSUED);
    for one in 1..=5 {
        service.change(one << 60, true);
    }
    let mut gate = gate();
    assert_eq!(gate.current().unwrap_err().reason, Reason::TrustMaterialMissing);
    while !matches!(gate.next(), Next::Ask { revocations: 6, .. }) {
        service.step(&mut gate, NOW).unwrap();
    }
    let current = gate.current().unwrap();
    assert_eq!(current.live.revocations().state(), service.state());
    assert_eq!(current.snapshot.gate(), GATE);

    service.change(3 << 60, false);
    service.change(7, true);
    service.step(&mut gate, NOW).unwrap();
    assert_eq!(gate.current().unwrap().live.revocations().state(), service.state());
}
