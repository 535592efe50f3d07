//! What has a price by the gate's catalogs: who must sign for it, who is refused, and what is kept
//! of a request that passes.

#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::{NOW, config, draft, key};
use portcullis_core::catalog::{Price, PricingModel};
use portcullis_core::modei::{CatalogPin, Issuer, RootKind, Signed, issue_pinned, self_issue};
use portcullis_core::receipt::Rate;
use portcullis_core::{
    Config, CredentialCache, GateConfiguration, LocalMemory, Permit, Process, ProofDraft, PublicKey, Refused,
    RequestHead, Snapshot, Step, UnixTime, Verifier, base64,
};

const FIRST: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const THIRD: &str = "3333333333333333333333333333333333333333333333333333333333333333";
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The first version has a price for searching, the third has none any more; booking has one from
/// the second on.
const PRICES: &str = r#"{
    "flights:search": [{"since":1,"model":"per_call","cents":5,"fee_basis_points":250},{"since":3}],
    "flights:book": [{"since":2,"model":"usage","cents":7}]}"#;

fn text(more: &str) -> String {
    let key = base64::encode(&key(8).public_key());
    let trust = format!(
        r#"{{"issuers":[{{"id":"gate_test","type":"gate","tier":3,"actions":["*"],
        "keys":[{{"key_id":"k1","public_key":"{key}"}}]}}],"self_issued":{{"actions":["flights:*"]}}}}"#
    );
    let hashes = format!(r#""catalog_hashes":["{FIRST}","{SECOND}","{THIRD}"],{more}"trust":"#);
    config(&trust).replacen("\"trust\":", &hashes, 1)
}

fn priced(prices: &str) -> String {
    text(&format!("\"catalog_prices\":{prices},"))
}

fn gate(text: &str) -> Snapshot {
    Snapshot::new(&Config::from_json(text.as_bytes()).unwrap()).unwrap()
}

fn pinned(version: i64) -> Signed {
    let by = Issuer {
        kind: RootKind::Gate,
        id: "gate_test".into(),
        key_id: "k1".into(),
        gate_id: Some("gate_test".into()),
    };
    let hash = match version {
        1 => FIRST,
        2 => SECOND,
        _ => THIRD,
    };
    let pin = CatalogPin { version, content_hash: hash.into() };
    let draft = draft("pp_1", &["flights:search", "flights:book"]);
    issue_pinned(&key(8), &by, "bot", &key(1).public_key(), &draft, Some(&pin))
}

fn unpinned() -> Signed {
    self_issue(&key(1), &draft("pp_2", &["flights:search", "flights:book"]))
}

struct Asked<'a> {
    credential: Option<&'a Signed>,
    path: &'a str,
    query: Option<&'a str>,
    agent: Option<&'a str>,
}

fn ask(gate: &Snapshot, asked: &Asked<'_>) -> Result<Permit, Box<Refused>> {
    let credential =
        asked.credential.map(|passport| format!(":{}:", base64::encode(passport.to_json().as_bytes())));
    let mut headers: Vec<(String, String)> = Vec::new();
    headers.extend(credential.iter().map(|value| ("agent-passport".into(), value.clone())));
    if let (Some(agent), Some(credential)) = (asked.agent, &credential) {
        let proof = ProofDraft {
            method: "GET",
            authority: "api.example",
            path: asked.path,
            query: asked.query,
            credential: ("agent-passport", credential),
            body: None,
            key_id: agent,
            created: NOW,
            expires: None,
            nonce: NONCE,
        };
        headers.extend(proof.sign(&key(1)).into_iter().map(|(name, value)| (name.into(), value)));
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let path = asked.query.map_or(asked.path.to_owned(), |query| format!("{}?{query}", asked.path));
    let head = RequestHead {
        method: b"GET",
        authority: b"api.example",
        path: path.as_bytes(),
        headers: &headers,
        source: Some(b"127.0.0.1"),
    };
    let mut memory = LocalMemory::new(&Process::new([1; 32], NOW));
    let verifier = Verifier::new(gate);
    let step = match verifier.begin(&head, NOW, &mut CredentialCache::new(0), &mut memory) {
        Step::NeedBody(pending) => verifier.finish(pending, NOW, &mut memory),
        step => step,
    };
    match step {
        Step::Permit(permit) => Ok(permit),
        Step::Deny(refused) => Err(Box::new(refused)),
        Step::Hold(_) | Step::NeedBody(_) => panic!("neither held nor without its body"),
    }
}

fn search(gate: &Snapshot, credential: &Signed, agent: Option<&str>) -> Result<Permit, Box<Refused>> {
    ask(gate, &Asked { credential: Some(credential), path: "/flights", query: None, agent })
}

fn reason(answer: Result<Permit, Box<Refused>>) -> &'static str {
    answer.map_or_else(|refused| refused.denial.reason.code(), |_| "ok")
}

fn self_id() -> String {
    portcullis_core::modei::self_agent_id(&key(1).public_key())
}

#[test]
fn a_request_that_has_a_price_is_metered_by_the_version_that_its_passport_is_pinned_to() {
    let gate = gate(&priced(PRICES));
    let permit = search(&gate, &pinned(1), Some("bot")).unwrap();
    let metered = permit.metered().unwrap();
    let price = Price { model: PricingModel::PerCall, cents: 5 };
    assert_eq!(metered.rate(), Rate { price, fee_basis_points: 250 });
    assert_eq!((metered.pin().version, metered.pin().content_hash.as_str()), (1, FIRST));
    assert_eq!(*metered.agent_key(), key(1).public_key());
    // What is kept of the proof is what the agent has signed.
    let proof = metered.proof();
    assert_eq!((proof.nonce(), proof.created()), (NONCE, NOW));
    let agent = PublicKey::from_bytes(metered.agent_key()).unwrap();
    assert!(agent.verify(proof.base(), proof.signature()));
    assert!(std::str::from_utf8(proof.base()).unwrap().contains("\"@path\": /flights\n"));

    // Its price holds until another version has another, and later ones do not change it.
    let permit = search(&gate, &pinned(2), Some("bot")).unwrap();
    assert_eq!(permit.metered().unwrap().rate().price.cents, 5);
    assert!(search(&gate, &pinned(3), Some("bot")).unwrap().metered().is_none());
    let book = Asked { credential: Some(&pinned(1)), path: "/bookings/1", query: None, agent: Some("bot") };
    assert!(ask(&gate, &book).unwrap().metered().is_none());
    let book = Asked { credential: Some(&pinned(3)), ..book };
    let permit = ask(&gate, &book).unwrap();
    let rate = Rate { price: Price { model: PricingModel::Usage, cents: 7 }, fee_basis_points: 0 };
    assert_eq!(permit.metered().map(|metered| metered.rate()), Some(rate));
}

#[test]
fn what_has_a_price_needs_a_proof_at_every_profile_and_the_answer_says_which() {
    let gate = gate(&priced(PRICES));
    let refused = search(&gate, &pinned(1), None).unwrap_err();
    assert_eq!(refused.denial.reason.code(), "proof_missing");
    let asked = refused.wanted.unwrap().accept_signature(None);
    assert!(asked.contains("\"agent-passport\"") && asked.contains("keyid=\"bot\""), "{asked}");
    // What has no price by the passport's version needs none.
    assert_eq!(reason(search(&gate, &pinned(3), None)), "ok");
}

#[test]
fn a_credential_without_a_pin_is_refused_while_the_newest_version_states_a_price() {
    let gate = gate(&priced(PRICES));
    let (passport, id) = (unpinned(), self_id());
    for agent in [None, Some(id.as_str())] {
        let book = Asked { credential: Some(&passport), path: "/bookings/1", query: None, agent };
        assert_eq!(reason(ask(&gate, &book)), "catalog_pin_missing");
        assert_eq!(reason(search(&gate, &passport, agent)), "ok");
    }
    assert!(search(&gate, &passport, Some(&id)).unwrap().metered().is_none());
}

#[test]
fn without_a_credential_nothing_passes_that_has_a_price() {
    let anonymous = r#""anonymous":{"enabled":true,"allowed_actions":["flights:search","flights:book"]},"#;
    let gate = gate(&priced(PRICES).replacen("\"trust\":", &format!("{anonymous}\"trust\":"), 1));
    let none = |path| Asked { credential: None, path, query: None, agent: None };
    assert_eq!(reason(ask(&gate, &none("/bookings/1"))), "anonymous_not_allowed");
    assert_eq!(reason(ask(&gate, &none("/flights"))), "ok");
}

#[test]
fn a_proof_that_is_too_long_to_be_kept_with_a_receipt_is_refused() {
    let gate = gate(&priced(PRICES));
    let ask = |query: &str| {
        let passport = pinned(1);
        let query = Some(query);
        reason(ask(
            &gate,
            &Asked { credential: Some(&passport), path: "/flights", query, agent: Some("bot") },
        ))
    };
    assert_eq!(ask(&"q".repeat(50 * 1024)), "ok");
    assert_eq!(ask(&"q".repeat(56 * 1024)), "proof_malformed");
    // Where they are written as two bytes each.
    assert_eq!(ask(&"\"".repeat(28 * 1024)), "proof_malformed");
}

#[test]
fn a_gate_that_records_nothing_takes_no_prices() {
    let wrong = |text: &str| match GateConfiguration::from_json(text.as_bytes()).unwrap() {
        GateConfiguration::Static(config) => Snapshot::of_static(&config).map(|_| ()).unwrap_err().path,
        GateConfiguration::Live(_) => panic!("no service"),
    };
    assert_eq!(wrong(&priced(PRICES)), "catalog_prices");
    let off = text(&format!(r#""attest":{{"policy":"off"}},"catalog_prices":{PRICES},"#));
    let error = Snapshot::new(&Config::from_json(off.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(error.path, "attest.policy");
}

#[test]
fn prices_are_read_strictly_and_written_as_they_were_read() {
    let read = |prices: &str| {
        let config = Config::from_json(priced(prices).as_bytes()).map_err(|error| error.path)?;
        Snapshot::new(&config).map(|_| ()).map_err(|error| error.path)
    };
    assert_eq!(read(PRICES), Ok(()));
    let of_search = |prices: &str| read(&format!(r#"{{"flights:search":{prices}}}"#));
    let at = |path: &str| Err(format!("catalog_prices{path}"));
    assert_eq!(of_search(r#"[{"since":1,"model":"monthly","cents":1}]"#), at(".flights:search[0].model"));
    assert_eq!(of_search(r#"[{"since":1,"model":"usage"}]"#), at(".flights:search[0].model"));
    assert_eq!(of_search(r#"[{"since":1,"fee_basis_points":1}]"#), at(".flights:search[0].model"));
    assert_eq!(of_search(r#"[{"since":0}]"#), at(".flights:search[0].since"));
    assert_eq!(
        of_search(r#"[{"since":1,"model":"usage","cents":100000000001}]"#),
        at(".flights:search[0].cents")
    );
    let fee = r#"[{"since":1,"model":"usage","cents":1,"fee_basis_points":10001}]"#;
    assert_eq!(of_search(fee), at(".flights:search[0].fee_basis_points"));
    assert_eq!(of_search(r#"[{"since":2},{"since":2}]"#), at(""));
    assert_eq!(of_search("[]"), at(""));
    assert_eq!(read(r#"{"*":[{"since":1}]}"#), at(""));

    let config = Config::from_json(priced(PRICES).as_bytes()).unwrap();
    let written = serde_json::to_value(&config).unwrap();
    let expected: serde_json::Value =
        serde_json::from_str(&PRICES.replace("\"cents\":7", "\"cents\":7,\"fee_basis_points\":0")).unwrap();
    assert_eq!(written.get("catalog_prices"), Some(&expected));
    assert_eq!(
        Config::from_json(written.to_string().as_bytes()).unwrap().catalog_prices,
        config.catalog_prices
    );
}

#[test]
fn a_price_that_comes_while_the_body_does_is_asked_of_the_request_too() {
    let (before, after) = (gate(&text("")), gate(&priced(PRICES)));
    let passport = pinned(1);
    let credential = format!(":{}:", base64::encode(passport.to_json().as_bytes()));
    let proof = ProofDraft {
        method: "GET",
        authority: "api.example",
        path: "/flights",
        query: None,
        credential: ("agent-passport", &credential),
        body: None,
        key_id: "bot",
        created: NOW,
        expires: None,
        nonce: NONCE,
    };
    let signed = proof.sign(&key(1));
    let mut headers: Vec<(&[u8], &[u8])> = vec![(b"agent-passport", credential.as_bytes())];
    headers.extend(signed.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let head = RequestHead {
        method: b"GET",
        authority: b"api.example",
        path: b"/flights",
        headers: &headers,
        source: None,
    };
    let now: UnixTime = NOW;
    let mut memory = LocalMemory::new(&Process::new([1; 32], now));
    let begun = Verifier::new(&before).begin(&head, now, &mut CredentialCache::new(0), &mut memory);
    let Step::NeedBody(pending) = begun else { panic!("a proof waits for its body") };
    let Step::Permit(permit) = Verifier::new(&after).finish(pending, now, &mut memory) else {
        panic!("it passes")
    };
    assert_eq!(permit.metered().unwrap().rate().price.cents, 5);
}
