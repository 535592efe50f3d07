//! Receipts held against each other, and against the log of their gate.

use crate::common;
use crate::common::Bench;
use crate::common::metering::{self, Shop, at, batch_of, bring, record_of};
use crate::common::passports::{agent, draft};
use crate::common::records::{Lane, allowed};
use crate::common::settling::{SEARCH, Used, march, requested, settle, verified};
use portcullis_core::attestation::{Decision, Draft};
use portcullis_core::modei::{self, Issuer, RootKind};
use portcullis_core::receipt::Outcome;
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    what_the_agent_signed_once_pays_for_one_receipt,
    a_receipt_counts_only_for_what_its_record_and_its_permit_are_about,
    a_permit_pays_for_one_receipt_whoever_settles_first,
    a_receipt_from_the_future_does_not_count,
);

fn what_the_agent_signed_once_pays_for_one_receipt(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let first = shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"));
    let again = |when: &str| {
        let mut again = first.clone();
        (again.0.id, again.0.issued_at) = (common::metering::unique(), at(when));
        again
    };
    bring(&mut lane, &[again("2025-03-04T00:00:01Z"), first.clone(), again("2025-03-05T00:00:00Z")]);
    let day = |day: &str| {
        let (status, summary) = settle(&bench, "daily", day, day);
        assert_eq!(status, 201, "{summary}");
        verified(&bench, &summary);
        (summary["total_cost_cents"].clone(), summary["exclusion_breakdown"].clone())
    };
    let used = json!({"proof_used": 1});
    // Whether the first is settled or not.
    assert_eq!(day("2025-03-05"), (json!(0), used.clone()));
    assert_eq!(day("2025-03-04"), (json!(5), used.clone()));
    // One that comes late, and says that it was made before.
    bring(&mut lane, &[again("2025-03-03T23:59:59Z"), again("2025-03-06T00:00:00Z")]);
    assert_eq!(day("2025-03-03"), (json!(0), used.clone()));
    // Where a settlement is of a small part of a long log, each is looked up.
    assert_eq!(bench.sql("UPDATE record_logs SET size = size + 1000"), 1);
    assert_eq!(day("2025-03-06"), (json!(0), used));
}

/// A shop whose gate has let an agent with a passport through, some times.
struct Let {
    bench: Bench,
    shop: Shop,
    passport: modei::Signed,
}

impl Let {
    fn open(database: Option<&str>) -> Self {
        let bench = Bench::new(database);
        let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
        let by = Issuer {
            kind: RootKind::Gate,
            id: "gate_a".to_owned(),
            key_id: "gk".to_owned(),
            gate_id: Some("gate_a".to_owned()),
        };
        let key = agent(1).public_key();
        let passport = modei::issue_pinned(
            &agent(9),
            &by,
            "agent-1",
            &key,
            &draft("pp_1", &[SEARCH.action]),
            Some(&shop.pin),
        );
        Let { bench, shop, passport }
    }

    fn lane(&self) -> Lane<'_> {
        self.shop.gate.lane(self.bench.service.address, 1)
    }

    /// The record of a permit for the passport.
    fn permit(&self) -> Draft {
        let mut draft = allowed("gate_a", 1).remove(0);
        let agent = draft.agent.as_mut().unwrap();
        agent.issuer_id = "gate_a".to_owned();
        agent.passport_id = "pp_1".to_owned();
        draft.request.as_mut().unwrap().action = Some(SEARCH.action.to_owned());
        draft
    }

    /// A receipt for what a permit let through.
    fn used(&self, permit: &Draft, millis: i64) -> Used {
        let (mut receipt, base) = requested(&self.shop, SEARCH, &self.passport, 1, millis);
        receipt.attestation_id = Some(named(permit));
        (receipt, base)
    }
}

fn named(permit: &Draft) -> String {
    let id: String = permit.id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("att_{id}")
}

fn marks(bench: &Bench, summary: &Value) -> Vec<Value> {
    verified(bench, summary).iter().map(|line| line["mark"].clone()).collect()
}

fn a_receipt_counts_only_for_what_its_record_and_its_permit_are_about(database: Option<&str>) {
    let open = Let::open(database);
    let mut lane = open.lane();
    let mut permits: Vec<_> = (0..8).map(|_| open.permit()).collect();
    permits[1].decision = Decision::Block;
    permits[1].reason_code = Some("permission_not_granted".to_owned());
    permits[2].agent.as_mut().unwrap().passport_id = "pp_2".to_owned();
    permits[3].agent.as_mut().unwrap().agent_id = "agent-2".to_owned();
    permits[4].request.as_mut().unwrap().action = Some("flights:book".to_owned());
    permits[5].agent = None;
    lane.record(&permits[..7]);
    // The last is not in the log: where a worker was killed, what it had let through is lost.
    let mut used: Vec<_> = permits.iter().zip(1..).map(|(permit, at)| open.used(permit, at)).collect();
    // An id that another gate has given is none of this one's, and is as one that was lost: who has the
    // key of a gate can bring any.
    let other = metering::Shop::open(&open.bench, "gate_b", 2, &[SEARCH]);
    let mut permit = open.permit();
    permit.gate_id = "gate_b".to_owned();
    other.gate.lane(open.bench.service.address, 2).record(std::slice::from_ref(&permit));
    used.push(open.used(&permit, 9));
    used.push(open.used(&open.permit(), 10));
    used.last_mut().unwrap().0.attestation_id = None;
    bring(&mut lane, &used);
    let lies: Vec<_> = (0..4).map(|_| open.permit()).collect();
    let used: Vec<_> = lies.iter().zip(20..).map(|(permit, at)| open.used(permit, at)).collect();
    let mut records: Vec<_> = used.iter().map(|used| record_of(&lane, used)).collect();
    records[0].agent.as_mut().unwrap().agent_id = "agent-2".to_owned();
    records[1].agent.as_mut().unwrap().issuer_id = "gate_b".to_owned();
    records[2].agent.as_mut().unwrap().passport_id = "pp_2".to_owned();
    records[3].request.as_mut().unwrap().action = Some("flights:book".to_owned());
    let (body, records) = batch_of(&mut lane, &used, &records);
    let answer = lane.gate.post(lane.to, "attestations", &body);
    lane.believe(&answer, &records);

    let wrong = "permit_mismatch";
    let expected = json!([
        null,
        wrong,
        wrong,
        wrong,
        wrong,
        wrong,
        null,
        null,
        null,
        "permit_missing",
        "record_mismatch",
        "record_mismatch",
        "record_mismatch",
        "record_mismatch"
    ]);
    assert_eq!(json!(marks(&open.bench, &march(&open.bench))), expected);
}

fn a_permit_pays_for_one_receipt_whoever_settles_first(database: Option<&str>) {
    let open = Let::open(database);
    let mut lane = open.lane();
    let permit = open.permit();
    lane.record(std::slice::from_ref(&permit));
    let day = 86_400_000;
    bring(&mut lane, &[open.used(&permit, day), open.used(&permit, 2 * day), open.used(&permit, 1)]);
    let settled = |day: &str| {
        let (status, summary) = settle(&open.bench, "daily", day, day);
        assert_eq!(status, 201, "{summary}");
        marks(&open.bench, &summary)
    };
    assert_eq!(settled("2025-03-05"), [json!("permit_used")]);
    assert_eq!(settled("2025-03-04"), [Value::Null]);
    assert_eq!(settled("2025-03-06"), [json!("permit_used")]);
}

fn a_receipt_from_the_future_does_not_count(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let times = ["2025-03-04T00:00:00Z", "2025-03-05T00:00:00Z"].map(at);
    let used = times.map(|at| shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at));
    bring(&mut lane, &used);
    // A gate's clock may be ahead by a minute, and no more.
    for (at, early) in times.into_iter().zip([60_000, 60_001]) {
        let at = at.as_millis();
        bench.sql(&format!("UPDATE receipts SET received_at = {} WHERE issued_at = {at}", at - early));
    }
    assert_eq!(marks(&bench, &march(&bench)), [Value::Null, json!("time_implausible")]);
}
