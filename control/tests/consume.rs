//! Metering for callers outside a gate, and receipts that gates bring.

use crate::common;
use crate::common::Bench;
use crate::common::audit::{audit, export, keys};
use crate::common::metering::{Offer, Shop, at, batch, bring, publish};
use crate::common::passports::{agent, now, public};
use crate::common::records::refusal;
use portcullis_core::catalog::PricingModel;
use portcullis_core::receipt::{Attachment, Outcome, PopDraft, SignedReceipt};
use portcullis_core::{PublicKey, base64};
use serde_json::{Value, json};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_use_outside_a_gate_makes_a_receipt_that_both_sides_have_signed,
    each_model_of_price_is_reckoned_in_whole_cents,
    what_is_wrong_in_a_use_is_refused_by_its_member_and_leaves_the_ledger_as_it_was,
    a_nonce_is_used_once_even_by_those_that_come_at_once,
    nonces_are_forgotten_after_a_day_and_no_sooner,
    receipts_of_a_gate_come_with_their_records_or_not_at_all,
    receipts_are_read_by_both_sides,
);

const SEARCH: Offer = Offer::new("flights:search", PricingModel::PerCall, 5);
const CALL: Offer = Offer::new("calls:hold", PricingModel::PerMinute, 7);
const TOKENS: Offer = Offer::new("models:ask", PricingModel::Usage, 3);
const NEWS: Offer = Offer::new("news:read", PricingModel::Subscription, 900);
const DEAR: Offer = Offer::new("jets:buy", PricingModel::PerCall, 100_000_000_000);

fn shop(bench: &Bench) -> (Shop, String) {
    let shop = Shop::open(bench, "gate_a", 1, &[SEARCH, CALL, TOKENS, NEWS, DEAR]);
    let passport = shop.issue(bench, 1);
    (shop, passport)
}

/// A use of `flights:search`, signed by agent 1 as Modei's clients sign it, with these members
/// in place of others.
fn used(shop: &Shop, passport: &str, nonce: &str, more: Value) -> Value {
    let mut asked = json!({"passport_id": passport, "gate_id": "gate_a", "action": "flights:search", "outcome": "success"});
    merge(&mut asked, more);
    let timestamp = now().as_millis();
    let action = asked["action"].as_str().unwrap_or_default();
    let base = format!("{timestamp}:{nonce}:{action}:{passport}");
    let pop = json!({
        "signature": base64::encode(&agent(1).sign(base.as_bytes())), "public_key": public(&agent(1)),
        "timestamp": timestamp, "nonce": nonce, "catalog_content_hash": shop.pin.content_hash,
    });
    let given = asked.get("agent_pop").cloned();
    asked["agent_pop"] = pop;
    if let Some(given) = given {
        merge(&mut asked["agent_pop"], given);
    }
    asked
}

fn merge(into: &mut Value, more: Value) {
    for (name, value) in more.as_object().unwrap() {
        into[name] = value.clone();
    }
}

fn consume(bench: &Bench, asked: Value) -> (u16, Value) {
    bench.call("POST", "/api/consume", Some(asked))
}

fn lines(bench: &Bench, query: &str) -> Vec<Attachment> {
    let answer = bench.service.call("GET", &format!("/api/gates/gate_a/receipts?{query}"), None).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().map(|line| Attachment::read(line.as_bytes()).unwrap()).collect()
}

/// The service's key for records of the gate.
fn service_key(bench: &Bench, receipt: &SignedReceipt) -> PublicKey {
    let answer = bench.call("GET", "/api/gates/gate_a/attestation-keys", None).1;
    let found = answer["keys"].as_array().unwrap().iter().find_map(|key| {
        let is_it = key["key_id"] == json!(base64::encode_url(receipt.key_id()));
        is_it.then(|| base64::decode_array(key["public_key"].as_str().unwrap()).unwrap())
    });
    PublicKey::from_bytes(&found.unwrap()).unwrap()
}

fn a_use_outside_a_gate_makes_a_receipt_that_both_sides_have_signed(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    let hash = "ab".repeat(32);
    let more = json!({"quantity": 3, "metadata": {"order": 7}, "request_payload_hash": hash,
        "response_payload_hash": format!("sha256:{hash}"), "agent_pop": {"request_payload_hash": hash}});
    let (status, made) = consume(&bench, used(&shop, &passport, "n-1", more));
    assert_eq!(status, 201, "{made}");
    for (member, expected) in [
        ("cost_cents", json!("15")),
        ("platform_fee_cents", json!("1")),
        ("currency", json!("USD")),
        ("pricing_model", json!("per_call")),
        ("catalog_version", json!(1)),
        ("catalog_content_hash", json!(shop.pin.content_hash)),
    ] {
        assert_eq!(made[member], expected, "{made}");
    }
    let text = made["receipt"].as_str().unwrap();
    let signed = SignedReceipt::read(text.as_bytes()).unwrap();
    signed.verify(&service_key(&bench, &signed)).unwrap();
    signed.receipt.verify_proof(made["base"].as_str().unwrap()).unwrap();
    assert_eq!(signed.receipt.request_payload_hash, Some([0xab; 32]));
    assert_eq!(signed.receipt.response_payload_hash, Some([0xab; 32]));
    // The gate's log names it, so that it cannot be dropped unseen.
    let path = format!("/api/enforcement/{}", made["attestation_id"].as_str().unwrap());
    let record = bench.call("GET", &path, None).1;
    assert_eq!(
        (&record["decision"], &record["receipt"]["receipt_id"]),
        (&json!("consumption"), &made["receipt_id"])
    );
    assert_eq!(record["reported"]["metadata"], json!({"order": 7}));
    let verdict =
        audit(&keys(&bench, "gate_a"), &export(&bench, "format=jsonl&gate_id=gate_a"), None).unwrap();
    assert_eq!(verdict.decisions["consumption"], 1);

    // The same with all of it under the agent's signature.
    let mut asked = used(&shop, &passport, "n-2", json!({"outcome": "partial", "quantity": 2}));
    let pop = PopDraft {
        action: "flights:search",
        catalog_content_hash: &shop.pin.content_hash,
        gate_id: "gate_a",
        nonce: "n-2",
        outcome: Outcome::Partial,
        passport_id: &passport,
        quantity: 2,
        request_payload_hash: None,
        response_payload_hash: None,
        created: portcullis_core::UnixTime::from_millis(asked["agent_pop"]["timestamp"].as_i64().unwrap()),
    };
    asked["agent_pop"]["signature"] = json!(base64::encode(&agent(1).sign(pop.canonical().as_bytes())));
    let (status, made) = consume(&bench, asked.clone());
    assert_eq!((status, &made["cost_cents"]), (201, &json!("10")), "{made}");
    // It is of no other quantity than that.
    asked["quantity"] = json!(1);
    asked["agent_pop"]["nonce"] = json!("n-3");
    assert_eq!(consume(&bench, asked).1["field"], "agent_pop.signature");
}

fn each_model_of_price_is_reckoned_in_whole_cents(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    for (index, (more, cost, fee)) in [
        (json!({}), "5", "1"),
        (json!({"outcome": "error"}), "0", "0"),
        (json!({"outcome": "timeout", "quantity": 1000}), "0", "0"),
        (json!({"outcome": "partial", "quantity": 100}), "500", "13"),
        (json!({"action": "calls:hold", "duration_ms": 60_001}), "14", "1"),
        (json!({"action": "calls:hold", "duration_ms": 0}), "7", "1"),
        (json!({"action": "calls:hold", "quantity": 3}), "21", "1"),
        (json!({"action": "models:ask", "quantity": 1_000_000}), "3000000", "75000"),
        (json!({"action": "news:read"}), "0", "0"),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, made) = consume(&bench, used(&shop, &passport, &format!("n-{index}"), more.clone()));
        assert_eq!(status, 201, "{more}: {made}");
        assert_eq!((&made["cost_cents"], &made["platform_fee_cents"]), (&json!(cost), &json!(fee)), "{more}");
    }
}

fn what_is_wrong_in_a_use_is_refused_by_its_member_and_leaves_the_ledger_as_it_was(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    let other = base64::encode(&agent(2).sign(b"anything"));
    let hash = |digit: &str| digit.repeat(64);
    for (more, status, field) in [
        (json!({"quantity": -1}), 422, "quantity"),
        (json!({"quantity": 1.5}), 422, "quantity"),
        (json!({"quantity": "1"}), 422, "quantity"),
        (json!({"quantity": 0}), 422, "quantity"),
        (json!({"quantity": 1_000_000_001}), 422, "quantity"),
        (json!({"quantity": 18_446_744_073_709_551_615_u64}), 422, "quantity"),
        (json!({"action": "jets:buy", "quantity": 1_000_000_000}), 422, "quantity"),
        (json!({"action": "calls:hold", "duration_ms": 60_001, "quantity": 3}), 422, "quantity"),
        (json!({"duration_ms": -1}), 422, "duration_ms"),
        (json!({"duration_ms": 60_000_000_000_001_u64}), 422, "duration_ms"),
        (json!({"outcome": "done"}), 422, "outcome"),
        (json!({"outcome": "Success"}), 422, "outcome"),
        (json!({"action": "boats:buy"}), 403, "passport_id"),
        (json!({"gate_id": "gate_none"}), 404, ""),
        (json!({"agent_pop": {"timestamp": now().as_millis() - 301_000}}), 422, "agent_pop.timestamp"),
        (json!({"agent_pop": {"timestamp": now().as_millis() + 302_000}}), 422, "agent_pop.timestamp"),
        (json!({"agent_pop": {"timestamp": 1.5}}), 422, "agent_pop.timestamp"),
        (json!({"agent_pop": {"nonce": "a:b"}}), 422, "agent_pop.nonce"),
        (json!({"agent_pop": {"nonce": ""}}), 422, "agent_pop.nonce"),
        (json!({"agent_pop": {"nonce": "x".repeat(129)}}), 422, "agent_pop.nonce"),
        (json!({"agent_pop": {"nonce": "another"}}), 422, "agent_pop.signature"),
        (json!({"agent_pop": {"signature": other}}), 422, "agent_pop.signature"),
        (json!({"agent_pop": {"signature": "AAAA"}}), 422, "agent_pop.signature"),
        (json!({"agent_pop": {"public_key": public(&agent(2))}}), 422, "agent_pop.public_key"),
        (json!({"agent_pop": {"catalog_content_hash": hash("0")}}), 422, "agent_pop.catalog_content_hash"),
        (json!({"request_payload_hash": "ABCD"}), 422, "request_payload_hash"),
        (json!({"response_payload_hash": hash("G")}), 422, "response_payload_hash"),
        (
            json!({"request_payload_hash": hash("a"), "agent_pop": {"request_payload_hash": hash("b")}}),
            422,
            "agent_pop.request_payload_hash",
        ),
        (json!({"metadata": {"note": "x".repeat(17_000)}}), 422, "metadata"),
    ] {
        let (found, answer) = consume(&bench, used(&shop, &passport, "n-1", more.clone()));
        assert_eq!(
            (found, answer["field"].as_str().unwrap_or_default()),
            (status, field),
            "{more}: {answer}"
        );
        assert!(field.is_empty() || answer["message"].as_str().unwrap().starts_with(field), "{answer}");
    }
    let mut bare = used(&shop, &passport, "n-1", json!({}));
    bare.as_object_mut().unwrap().remove("agent_pop");
    assert_eq!(consume(&bench, bare).1["field"], "agent_pop");
    assert_eq!(consume(&bench, used(&shop, "pp_none", "n-1", json!({}))).0, 404);
    // A permission that has no price.
    let offer = json!({"permissions": [{"permission_key": "maps:show", "display_name": "Maps", "description": "", "constraints": {}}]});
    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog", Some(offer)).0, 200);
    let published = bench.call("POST", "/api/gates/gate_a/catalog/publish", None).1;
    let asked =
        json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)), "permissions": ["maps:show"]});
    let free = bench.call("POST", "/api/gates/gate_a/passports", Some(asked)).1["passport_id"].clone();
    let pop = json!({"catalog_content_hash": published["content_hash"]});
    let asked = used(&shop, free.as_str().unwrap(), "n-1", json!({"action": "maps:show", "agent_pop": pop}));
    let (status, answer) = consume(&bench, asked);
    assert_eq!((status, &answer["field"]), (422, &json!("action")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("has no price in version"), "{answer}");
    publish(&bench, "gate_a", &[SEARCH, CALL, TOKENS, NEWS, DEAR]);
    // A passport from before the first catalog.
    assert_eq!(bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_b", "name": "B"}))).0, 201);
    let asked = json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)), "permissions": ["flights:search"]});
    let unpinned = bench.call("POST", "/api/gates/gate_b/passports", Some(asked)).1["passport_id"].clone();
    let (status, answer) =
        consume(&bench, used(&shop, unpinned.as_str().unwrap(), "n-1", json!({"gate_id": "gate_b"})));
    assert_eq!((status, &answer["code"]), (422, &json!("catalog_pin_missing")), "{answer}");
    assert_eq!(answer["field"], "passport_id");
    // One whose pin another has written.
    let foreign = shop.issue(&bench, 1);
    bench.sql(&format!("UPDATE passports SET gate_id = 'gate_b' WHERE passport_id = '{foreign}'"));
    let (status, answer) = consume(&bench, used(&shop, &foreign, "n-1", json!({})));
    assert_eq!((status, &answer["code"]), (422, &json!("catalog_pin_missing")), "{answer}");
    // A passport that is revoked.
    let revoked = shop.issue(&bench, 1);
    assert_eq!(bench.call("DELETE", &format!("/api/v1/passports/{revoked}"), None).0, 200);
    let (status, answer) = consume(&bench, used(&shop, &revoked, "n-1", json!({})));
    assert_eq!((status, &answer["code"]), (403, &json!("passport_revoked")));
    // Nobody without the scope.
    let key = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "k", "scopes": ["check"]}))).1;
    let mut request = Request::new("POST", "/api/consume");
    request.headers.push(("authorization".to_owned(), format!("Bearer {}", key["key"].as_str().unwrap())));
    request.body = used(&shop, &passport, "n-1", json!({})).to_string().into_bytes();
    assert_eq!(request.send(bench.service.address).unwrap().status, 403);
    // The nonce of all these is still good, and nothing else is left of them.
    assert!(lines(&bench, "").is_empty());
    let attestations = bench.call("GET", "/api/gates/gate_a/attestations", None).1;
    assert_eq!(attestations, json!([]));
    assert_eq!(consume(&bench, used(&shop, &passport, "n-1", json!({}))).0, 201);
}

fn a_nonce_is_used_once_even_by_those_that_come_at_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    let asked = used(&shop, &passport, "n-1", json!({}));
    let made = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| consume(&bench, asked.clone()))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|(status, _)| *status == 201).count(), 1, "{made:?}");
    for (status, answer) in made.iter().filter(|(status, _)| *status != 201) {
        assert_eq!((*status, &answer["code"]), (409, &json!("nonce_already_used")));
        assert_eq!(answer["field"], "agent_pop.nonce");
    }
    assert_eq!(lines(&bench, "").len(), 1);
    // With another passport it is another one.
    let second = shop.issue(&bench, 1);
    assert_eq!(consume(&bench, used(&shop, &second, "n-1", json!({}))).0, 201);
    // And at another gate, whose passports are others.
    let other = Shop::open(&bench, "gate_b", 2, &[SEARCH]);
    let theirs = other.issue(&bench, 1);
    let there = || used(&other, &theirs, "n-1", json!({"gate_id": "gate_b"}));
    assert_eq!(consume(&bench, there()).0, 201);
    assert_eq!(consume(&bench, there()).0, 409);
}

fn nonces_are_forgotten_after_a_day_and_no_sooner(database: Option<&str>) {
    let mut bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    assert_eq!(consume(&bench, used(&shop, &passport, "n-1", json!({}))).0, 201);
    assert_eq!(consume(&bench, used(&shop, &passport, "n-2", json!({}))).0, 201);
    let ago = |ms: i64| now().as_millis() - ms;
    bench.sql(&format!("UPDATE consumption_nonces SET used_at = {} WHERE nonce = 'n-1'", ago(86_401_000)));
    bench.sql(&format!("UPDATE consumption_nonces SET used_at = {} WHERE nonce = 'n-2'", ago(86_300_000)));
    // Upkeep is done at the start.
    let key = bench.service.key.clone();
    bench.service.end().unwrap();
    bench.service = bench.control.start_with_key(&key).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while consume(&bench, used(&shop, &passport, "n-1", json!({}))).0 != 201 {
        assert!(std::time::Instant::now() < until, "it is not forgotten");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(consume(&bench, used(&shop, &passport, "n-2", json!({}))).0, 409);
}

fn receipts_of_a_gate_come_with_their_records_or_not_at_all(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let when = at("2025-03-04T05:06:07Z");
    let one = || shop.used((&passport, 1), "flights:search", Outcome::Success, 1, when);
    let (next, previous) = (lane.next, lane.previous);
    let mut refused = |what: &str, change: &dyn Fn(&mut Vec<String>)| {
        (lane.next, lane.previous) = (next, previous);
        let (body, _) = batch(&mut lane, &[one(), one()]);
        let mut lines: Vec<String> = String::from_utf8(body).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        let answer = shop.gate.post(lane.to, "attestations", (lines.join("\n") + "\n").as_bytes());
        assert_eq!(refusal(&answer), (422, what.to_owned()), "{}", String::from_utf8_lossy(&answer.body));
    };
    let changed = |line: &str, from: &str, with: &str| {
        assert!(line.contains(from), "{line}");
        line.replacen(from, with, 1)
    };
    refused("receipt_missing", &|lines| drop(lines.remove(4)));
    refused("receipt_mismatch", &|lines| lines.swap(2, 4));
    refused("receipt_mismatch", &|lines| {
        lines[2] = changed(&lines[2], "\\\"status\\\":200", "\\\"status\\\":201")
    });
    refused("receipt_malformed", &|lines| lines[2] = changed(&lines[2], "\"base\":", "\"base\":1,\"bass\":"));
    refused("charge_wrong", &|lines| {
        lines[2] = changed(&lines[2], "\\\"total_cents\\\":5", "\\\"total_cents\\\":4");
    });
    refused("receipt_malformed", &|lines| lines[2] = format!("{{\"base\":\"{}\"}}", "x".repeat(70_000)));
    // Good by themselves, but not these: of another gate, another sum, by another key.
    let mut of = |used: (portcullis_core::receipt::Receipt, String),
                  key: Option<&portcullis_core::SecretKey>,
                  cost: u64| {
        (lane.next, lane.previous) = (next, previous);
        let signer =
            portcullis_core::attestation::Signer::new(key.unwrap_or(&shop.gate.key.attestation_key()));
        let text = used.0.sign(&signer);
        let mut draft =
            common::records::draft("gate_a", "agent-1", portcullis_core::attestation::Decision::Consumption);
        let sha256 = portcullis_core::sha256(text.as_bytes());
        draft.receipt = Some(portcullis_core::attestation::ReceiptName { id: used.0.id, sha256 });
        draft.request.as_mut().unwrap().cost_cents = cost;
        let records = lane.sign(&[draft]);
        let line = Attachment { base: used.1, receipt: text }.to_json();
        let body = format!("{}\n{}\n{line}\n", lane.head().to_json(), records[0].text);
        refusal(&shop.gate.post(lane.to, "attestations", body.as_bytes()))
    };
    let mut elsewhere = one();
    elsewhere.0.gate_id = "gate_b".to_owned();
    assert_eq!(of(elsewhere, None, 5), (422, "receipt_mismatch".to_owned()));
    assert_eq!(of(one(), None, 4), (422, "receipt_mismatch".to_owned()));
    assert_eq!(of(one(), Some(&agent(9)), 5), (422, "key_unknown".to_owned()));
    // An attachment of a record that stands for no receipt.
    (lane.next, lane.previous) = (next, previous);
    let records = lane.sign(&common::records::allowed("gate_a", 1));
    let (receipt, base) = one();
    let line = Attachment { base, receipt: receipt.sign(&lane.signer) }.to_json();
    let body = format!("{}\n{}\n{line}\n", lane.head().to_json(), records[0].text);
    let answer = shop.gate.post(lane.to, "attestations", body.as_bytes());
    assert_eq!(refusal(&answer), (422, "receipt_unexpected".to_owned()));
    assert!(lines(&bench, "").is_empty(), "nothing of all that is stored");

    (lane.next, lane.previous) = (next, previous);
    let both = [one(), one()];
    let (body, records) = batch(&mut lane, &both);
    for _ in 0..2 {
        // The second time it is known.
        let answer = shop.gate.post(lane.to, "attestations", &body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        lane.known = None;
        lane.believe(&answer, &records);
    }
    assert_eq!(lines(&bench, "").len(), 2);
    // Another record for a receipt that is stored.
    lane.known = None;
    let (body, _) = batch(&mut lane, &both[..1]);
    assert_eq!(
        refusal(&shop.gate.post(lane.to, "attestations", &body)),
        (409, "receipt_conflict".to_owned())
    );
}

fn receipts_are_read_by_both_sides(database: Option<&str>) {
    let bench = Bench::new(database);
    let (shop, passport) = shop(&bench);
    let other = shop.issue(&bench, 2);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let all: Vec<_> = (0..300)
        .map(|number| {
            let who = if number % 2 == 0 { (passport.as_str(), 1) } else { (other.as_str(), 2) };
            shop.used(who, "flights:search", Outcome::Success, 1, day.plus_millis(number / 3 * 1000))
        })
        .collect();
    bring(&mut lane, &all);
    let found = lines(&bench, "");
    assert_eq!(found.len(), 300);
    let times: Vec<_> = found
        .iter()
        .map(|line| SignedReceipt::read(line.receipt.as_bytes()).unwrap().receipt.issued_at)
        .collect();
    assert!(times.is_sorted());
    assert_eq!(lines(&bench, &format!("passport_id={other}")).len(), 150);
    assert_eq!(lines(&bench, "agent_id=agent-1&to=2025-03-04T00:00:10Z").len(), 15);
    assert_eq!(lines(&bench, "from=2025-03-05").len(), 0);
    assert_eq!(bench.call("GET", "/api/gates/gate_a/receipts?from=x", None).1["field"], "from");
    assert_eq!(bench.call("GET", "/api/gates/gate_none/receipts", None).0, 404);
    // The agent knows the id, and nobody else: it needs no key.
    let id = all[0].0.receipt_id();
    let answer = Request::new("GET", &format!("/api/receipts/{id}")).send(bench.service.address).unwrap();
    assert_eq!((answer.status, String::from_utf8(answer.body).unwrap()), (200, all[0].0.sign(&lane.signer)));
    assert_eq!(Request::new("GET", "/api/receipts/rcpt_0").send(bench.service.address).unwrap().status, 404);
    assert_eq!(
        Request::new("GET", "/api/gates/gate_a/receipts").send(bench.service.address).unwrap().status,
        401
    );
}
