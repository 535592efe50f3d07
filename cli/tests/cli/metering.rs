//! Receipts of both sides, compared; settlements, recomputed.

use crate::log::{gate_key, key_config};
use crate::support::Desk;
use portcullis_core::attestation::Signer;
use portcullis_core::catalog::{Price, PricingModel};
use portcullis_core::json::{self, Limits, canonical_text};
use portcullis_core::live::hex;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::{
    AgentProof, Attachment, Charge, Consumer, Outcome, PopDraft, ProofForm, Rate, Receipt,
};
use portcullis_core::{SecretKey, UnixTime, base64, sha256};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// 2026-02-24T14:30:00.000Z
const BEGIN: UnixTime = UnixTime::from_millis(1_771_943_400_000);

fn signer(number: u8) -> Signer {
    Signer::new(&gate_key(number))
}

fn agent() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

/// The receipt of this number, and what the agent signed.
fn used(number: u8, model: PricingModel, outcome: Outcome) -> (Receipt, String) {
    let rate = Rate { price: Price { model, cents: 5 }, fee_basis_points: 250 };
    let at = BEGIN.plus_millis(i64::from(number));
    let nonce = format!("n-{number}");
    let content_hash = "ab".repeat(32);
    let pop = PopDraft {
        action: "flights:search",
        catalog_content_hash: &content_hash,
        gate_id: "gate_a",
        nonce: &nonce,
        outcome,
        passport_id: "pp_1",
        quantity: 3,
        request_payload_hash: None,
        response_payload_hash: None,
        created: at,
    };
    let base = pop.canonical();
    let receipt = Receipt {
        action: "flights:search".to_owned(),
        agent: Consumer {
            agent_id: "agent-1".to_owned(),
            issuer_id: "gate_a".to_owned(),
            passport_id: "pp_1".to_owned(),
            public_key: agent().public_key(),
        },
        attestation_id: None,
        catalog: CatalogPin { version: 1, content_hash },
        charge: Charge::of(rate, outcome, 3).expect("a sum"),
        duration_ms: None,
        gate_id: "gate_a".to_owned(),
        issued_at: at,
        outcome,
        proof: AgentProof {
            base_sha256: sha256(base.as_bytes()),
            created: at,
            form: ProofForm::AgentPopJcs,
            nonce,
            signature: agent().sign(base.as_bytes()),
        },
        id: [number; 16],
        request_payload_hash: None,
        response_payload_hash: None,
        status: None,
    };
    (receipt, base)
}

fn call(number: u8) -> (Receipt, String) {
    used(number, PricingModel::PerCall, Outcome::Success)
}

fn line((receipt, base): &(Receipt, String), key: u8) -> String {
    Attachment { base: base.clone(), receipt: receipt.sign(&signer(key)) }.to_json()
}

/// As `Agent-Receipt` has it.
fn header((receipt, _): &(Receipt, String)) -> String {
    format!(":{}:", base64::encode(receipt.sign(&signer(1)).as_bytes()))
}

fn desk() -> Desk {
    let desk = Desk::new();
    let mut service = json!(key_config(&gate_key(3), None));
    service["of"] = json!("service");
    let keys = json!({"keys": [key_config(&gate_key(1), None), service], "service_keys": []});
    desk.write("keys.json", keys.to_string());
    desk
}

fn compare(desk: &Desk, operator: &[String], agent: &[String]) -> (i32, Value) {
    desk.write("operator.jsonl", operator.join("\n") + "\n");
    desk.write("agent.jsonl", agent.join("\n") + "\n");
    let run =
        desk.run(&["receipts", "compare", "operator.jsonl", "agent.jsonl", "--keys", "keys.json", "--json"]);
    (run.code, serde_json::from_str(&run.out).expect("JSON"))
}

#[test]
fn the_same_receipts_are_the_same_in_whatever_form_the_agent_has_them() {
    let desk = desk();
    let all: Vec<_> = (1..5).map(call).collect();
    let operator: Vec<_> = all.iter().map(|used| line(used, 1)).collect();
    let agent = [
        line(&all[0], 1),
        header(&all[1]),
        format!("\"{}\"", all[2].0.receipt_id()),
        all[3].0.sign(&signer(1)),
        // What it has twice is no more.
        header(&all[1]),
    ];
    let (code, found) = compare(&desk, &operator, &agent);
    assert_eq!((code, &found["same"], &found["findings"]), (0, &json!(4), &json!([])), "{found}");
    assert_eq!(found["operator"], json!({"receipts": 4, "total_cents": 60, "fee_cents": 4}));
    // The one of which it has the id alone.
    assert_eq!(found["agent"], json!({"receipts": 4, "total_cents": 45, "fee_cents": 3}));
}

#[test]
fn what_one_side_alone_has_is_judged_by_the_others_signature() {
    let desk = desk();
    let mut unasked = call(2);
    unasked.0.proof.signature = SecretKey::from_seed([9; 32]).sign(unasked.1.as_bytes());
    let operator = [line(&call(1), 1), line(&unasked, 1)];
    let agent = [line(&call(3), 1), line(&call(4), 2)];
    let (code, found) = compare(&desk, &operator, &agent);
    assert_eq!((code, &found["only_operator"], &found["only_agent"]), (1, &json!(2), &json!(2)), "{found}");
    let says = |number: u8| {
        let id = call(number).0.receipt_id();
        let finding =
            found["findings"].as_array().expect("a list").iter().find(|one| one["receipt_id"] == json!(id));
        finding.expect("one of this id").clone()
    };
    assert_eq!(says(1)["operator"]["agent_proof"], "valid");
    assert_eq!(says(1)["says"], "the agent did sign for this use, and has no receipt of it here");
    assert_eq!(says(2)["operator"]["agent_proof"], "proof_invalid");
    assert!(
        says(2)["says"].as_str().is_some_and(|says| says.starts_with("nothing shows that the agent owes it"))
    );
    assert_eq!(says(3)["agent"]["gate_signature"], "valid");
    assert_eq!(says(3)["says"], "the gate did sign it, and the operator leaves it out");
    assert_eq!(says(4)["agent"]["gate_signature"], "key_unknown");
    assert!(
        says(4)["says"].as_str().is_some_and(|says| says.starts_with("nothing shows that the gate made it"))
    );
}

#[test]
fn two_texts_under_one_id_are_told_with_whose_signatures_hold() {
    let desk = desk();
    let mut dearer = call(1);
    dearer.0.charge = Charge::of(
        Rate { price: Price { model: PricingModel::PerCall, cents: 6 }, fee_basis_points: 250 },
        Outcome::Success,
        3,
    )
    .expect("a sum");
    let (code, found) = compare(&desk, &[line(&dearer, 1)], &[header(&call(1))]);
    assert_eq!((code, &found["differing"]), (1, &json!(1)));
    let finding = &found["findings"][0];
    assert_eq!((&finding["kind"], &finding["operator"]["total_cents"]), (&json!("differ"), &json!(18)));
    assert_eq!(finding["agent"]["total_cents"], 15);
    assert_eq!([&finding["operator"]["gate_signature"], &finding["agent"]["gate_signature"]], ["valid"; 2]);
    // The same text, but not by the gate; not asked for; and what is no receipt.
    let mut unasked = call(3);
    unasked.1.push(' ');
    let forged = line(&call(2), 2);
    let (code, found) = compare(
        &desk,
        &[forged.clone(), line(&unasked, 1)],
        &[forged, header(&call(3)), "{}".to_owned(), "::".to_owned()],
    );
    assert_eq!((code, &found["same"], &found["invalid"]), (1, &json!(0), &json!(4)), "{found}");
    let says: Vec<_> =
        found["findings"].as_array().expect("a list").iter().map(|one| one["says"].to_string()).collect();
    for part in ["key_unknown", "base_mismatch", "line 3", "line 4"] {
        assert!(says.iter().any(|says| says.contains(part)), "{part}: {says:?}");
    }
    // An operator that gives one id to two receipts.
    let (code, found) = compare(&desk, &[line(&call(1), 1), line(&dearer, 1)], &[header(&call(1))]);
    assert_eq!((code, &found["invalid"]), (1, &json!(1)));
}

#[test]
fn what_the_agent_signed_once_pays_for_one_receipt() {
    let desk = desk();
    let mut again = call(1);
    again.0.id = [9; 16];
    let both = [line(&call(1), 1), line(&again, 1)];
    let (code, found) = compare(&desk, &both, &both);
    assert_eq!((code, &found["same"], &found["invalid"]), (1, &json!(1), &json!(1)), "{found}");
    let finding = &found["findings"][0];
    assert_eq!(finding["receipt_id"], again.0.receipt_id());
    assert_eq!(finding["operator"]["agent_proof"], "proof_used");
    assert!(finding["says"].as_str().is_some_and(|says| says.contains("an earlier receipt")), "{finding}");
}

#[test]
fn files_that_cannot_be_used_are_told_from_those_that_differ() {
    let desk = desk();
    desk.write("a.jsonl", "");
    let missing = desk.run(&["receipts", "compare", "a.jsonl", "none.jsonl", "--keys", "keys.json"]);
    assert_eq!(missing.code, 2, "{}", missing.err);
    desk.write("long.jsonl", format!("{{\"base\":\"{}\"}}\n", "x".repeat(80_000)));
    let long = desk.run(&["receipts", "compare", "a.jsonl", "long.jsonl", "--keys", "keys.json"]);
    assert_eq!(long.code, 2, "{}", long.err);
    desk.write("other.json", "{\"keys\":[{\"key_id\":\"k\",\"public_key\":\"AAAA\"}],\"service_keys\":[]}");
    let keys = desk.run(&["receipts", "compare", "a.jsonl", "a.jsonl", "--keys", "other.json"]);
    assert_eq!(keys.code, 2, "{}", keys.err);
}

fn canonical(value: &Value) -> String {
    let limits = Limits { bytes: 1 << 20, depth: 8, values: 10_000 };
    canonical_text(&json::parse(value.to_string().as_bytes(), limits).expect("JSON"))
}

/// A receipt, its base, what is charged of it, the platform's part, and how it is marked.
type Record = (Receipt, String, u64, u64, Option<&'static str>);

/// A settlement of these records, by its definition: what is charged of each, and how it is marked.
fn settlement(records: &[Record]) -> (Value, Vec<String>) {
    let (mut lines, mut chain) = (Vec::new(), [0; 32]);
    let mut part = BTreeMap::<&str, u64>::new();
    let mut excluded = BTreeMap::<&str, u64>::new();
    for (receipt, base, cents, fee, mark) in records {
        let text = receipt.sign(&signer(1));
        lines.push(json!({"base": base, "charged_cents": cents, "charged_fee_cents": fee, "mark": mark, "receipt": text}).to_string());
        let link = json!({"charged_cents": cents, "charged_fee_cents": fee, "mark": mark, "receipt_sha256": hex(&sha256(text.as_bytes()))});
        chain = sha256(&[&chain[..], canonical(&link).as_bytes()].concat());
        if let Some(mark) = mark.filter(|mark| !["free", "subscription"].contains(mark)) {
            let count = excluded.entry(mark).or_default();
            *count = count.saturating_add(1);
            continue;
        }
        for (name, number) in [
            ("transactions", 1),
            ("quantity", receipt.charge.quantity()),
            ("cost_cents", *cents),
            ("platform_fee_cents", *fee),
            ("free_calls", u64::from(*mark == Some("free"))),
            ("subscription_months", u64::from(*mark == Some("subscription"))),
        ] {
            let sum = part.entry(name).or_default();
            *sum = sum.saturating_add(number);
        }
    }
    let mut agent = json!(part);
    (agent["issuer_id"], agent["agent_id"]) = (json!("gate_a"), json!("agent-1"));
    let summary = json!({
        "typ": "settlement", "version": "1.0", "id": "stl_1", "settlement_run_id": "run_1", "gate_id": "gate_a",
        "agent_id": null, "period_type": "monthly", "period_start": "2026-02-01", "period_end": "2026-02-28",
        "total_cost_cents": part["cost_cents"], "total_platform_fee_cents": part["platform_fee_cents"],
        "total_transactions": records.len(), "verified_count": part["transactions"],
        "excluded_count": excluded.values().sum::<u64>(), "exclusion_breakdown": excluded, "currency": "USD",
        "permission_breakdown": {"flights:search": part}, "outcome_breakdown": {"success": part},
        "agent_breakdown": [agent], "records_sha256": hex(&chain), "created_at": "2026-03-01T00:00:00.000Z",
    });
    (summary, lines)
}

/// Signs a summary.
fn sealed(mut summary: Value, key: u8) -> String {
    let text = canonical(&summary);
    let signature = base64::encode_url(&gate_key(key).sign(text.as_bytes()));
    summary["content_hash"] = json!(hex(&sha256(text.as_bytes())));
    summary["signature"] = json!({"algorithm": "EdDSA", "key_id": signer(key).key_id(), "value": signature});
    canonical(&summary)
}

fn verify(desk: &Desk, summary: &str, lines: &[String]) -> (i32, Value) {
    desk.write("summary.json", summary);
    desk.write("records.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let run =
        desk.run(&["settlement", "verify", "summary.json", "records.jsonl", "--keys", "keys.json", "--json"]);
    (run.code, serde_json::from_str(&run.out).expect("JSON"))
}

fn records() -> Vec<Record> {
    let of = |number, model, cents, fee, mark| {
        let (receipt, base) = used(number, model, Outcome::Success);
        (receipt, base, cents, fee, mark)
    };
    vec![
        of(1, PricingModel::PerCall, 0, 0, Some("free")),
        of(2, PricingModel::PerCall, 15, 1, None),
        of(3, PricingModel::Subscription, 5, 1, Some("subscription")),
        of(4, PricingModel::Subscription, 0, 0, None),
        of(5, PricingModel::PerCall, 0, 0, Some("terms_mismatch")),
    ]
}

#[test]
fn a_settlement_is_valid_where_its_records_come_to_it() {
    let desk = desk();
    let (summary, lines) = settlement(&records());
    let text = sealed(summary, 3);
    for file in [text.clone(), json!({"status": "paid", "summary": text}).to_string()] {
        let (code, found) = verify(&desk, &file, &lines);
        assert_eq!((code, &found["valid"]), (0, &json!(true)), "{found}");
        for (member, expected) in [
            ("records", 5),
            ("total_cost_cents", 20),
            ("total_platform_fee_cents", 2),
            ("free_calls", 1),
            ("subscription_months", 1),
        ] {
            assert_eq!(found[member], expected, "{member}");
        }
        assert_eq!(found["excluded"], json!({"terms_mismatch": 1}));
    }
}

#[test]
fn a_settlement_in_which_anything_is_changed_is_refused() {
    let desk = desk();
    let (summary, lines) = settlement(&records());
    let refused = |summary: &str, lines: &[String], part: &str| {
        let (code, found) = verify(&desk, summary, lines);
        assert_eq!((code, &found["valid"]), (1, &json!(false)), "{part}: {found}");
        assert!(found["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{part}: {found}");
    };
    let text = sealed(summary.clone(), 3);
    refused(&text.replace("\"total_cost_cents\":20", "\"total_cost_cents\":21"), &lines, "content_hash");
    refused(&text.replace("\"typ\":", " \"typ\":"), &lines, "canonical");
    // The gate signs receipts, and no settlements.
    for key in [1, 2] {
        refused(&sealed(summary.clone(), key), &lines, "not the service's among --keys");
    }
    let mut other: Value = serde_json::from_str(&text).expect("JSON");
    other["signature"]["value"] = json!(base64::encode_url(&[1; 64]));
    refused(&canonical(&other), &lines, "signature does not hold");
    // By the gate's own key, but not what the records come to.
    for (member, wrong) in [
        ("total_cost_cents", json!(21)),
        ("total_platform_fee_cents", json!(1)),
        ("verified_count", json!(5)),
        ("excluded_count", json!(0)),
        ("total_transactions", json!(6)),
        ("exclusion_breakdown", json!({})),
        ("permission_breakdown", json!({})),
        ("outcome_breakdown", json!({})),
        ("agent_breakdown", json!([])),
        ("records_sha256", json!("00")),
    ] {
        let mut summary = summary.clone();
        summary[member] = wrong;
        refused(&sealed(summary, 3), &lines, member);
    }
    // Records that were left out, come twice, or are in another order.
    refused(&text, &lines[..4], "records_sha256");
    refused(&text, &[&lines[..2], &lines[1..]].concat(), "does not follow");
    refused(&text, &[&lines[1..2], &lines[..1]].concat(), "does not follow");
    // Records that say something else, with a summary that goes with it.
    let changed = |change: &dyn Fn(&mut Vec<Record>), part: &str| {
        let mut records = records();
        change(&mut records);
        let (summary, lines) = settlement(&records);
        refused(&sealed(summary, 3), &lines, part);
    };
    changed(&|all| all[1].2 = 16, "another sum");
    changed(&|all| all[1].3 = 0, "another sum");
    changed(&|all| all[0].2 = 15, "another sum");
    changed(&|all| all[1].4 = Some("subscription"), "a month that it does not begin");
    changed(
        &|all| (all[3].2, all[3].3, all[3].4) = (5, 1, Some("subscription")),
        "a month that it does not begin",
    );
    changed(&|all| all[4].2 = 15, "left out and charged");
    changed(
        &|all| {
            let mut again = all[1].clone();
            again.0.id = [9; 16];
            all.insert(2, again);
        },
        "signed once",
    );
    changed(&|all| all[1].1.push(' '), "not the one whose hash");
    changed(&|all| all[1].0.proof.signature = [1; 64], "agent's key has not signed");
    changed(&|all| all[1].0.gate_id = "gate_b".to_owned(), "");
    changed(&|all| all[4].4 = None, "another sum");
    let mut of_march = summary.clone();
    (of_march["period_start"], of_march["period_end"]) = (json!("2026-03-01"), json!("2026-03-31"));
    refused(&sealed(of_march, 3), &lines, "another period");
    let mut of_other = summary.clone();
    of_other["agent_id"] = json!("agent-2");
    refused(&sealed(of_other, 3), &lines, "another agent");
    let mut of_issuer = summary.clone();
    of_issuer["issuer_id"] = json!("gate_b");
    refused(&sealed(of_issuer, 3), &lines, "another agent");
    let mut gate = summary;
    gate["gate_id"] = json!("gate_b");
    refused(&sealed(gate, 3), &lines, "another gate");
}
