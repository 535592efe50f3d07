//! What has a price by the gate's catalogs: who must sign for it, who is refused, and what is kept
//! of a request that passes.

use crate::common::{NOW, config, draft, key};
use portcullis_core::catalog::{Price, PricingModel};
use portcullis_core::json::canonical_text;
use portcullis_core::modei::{CatalogPin, Issuer, RootKind, Signed, issue_pinned, self_issue};
use portcullis_core::receipt::{AgentProof, Charge, Consumer, Outcome, ProofForm, Rate, Receipt};
use portcullis_core::{
    Config, CredentialCache, GateConfiguration, LocalMemory, Permit, Process, ProofDraft, PublicKey, Refused,
    RequestHead, Snapshot, Step, UnixTime, Verifier, base64, sha256,
};

const FIRST: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const THIRD: &str = "3333333333333333333333333333333333333333333333333333333333333333";
/// When the process began.
const BEGAN: UnixTime = UnixTime::from_millis(NOW.as_millis() - 60_000);
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
        "keys":[{{"key_id":"k1","public_key":"{key}"}}]}},{{"id":"gate_other","type":"gate","tier":3,"actions":["*"],
        "keys":[{{"key_id":"k1","public_key":"{key}"}}]}},{{"id":"platform","type":"platform","tier":3,"actions":["*"],
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
    pinned_by("gate_test", &["flights:search", "flights:book"], version)
}

fn pinned_by(issuer: &str, actions: &[&str], version: i64) -> Signed {
    let by =
        Issuer { kind: RootKind::Gate, id: issuer.into(), key_id: "k1".into(), gate_id: Some(issuer.into()) };
    let draft = draft("pp_1", actions);
    issue_pinned(&key(8), &by, "bot", &key(1).public_key(), &draft, Some(&pin(version)))
}

fn pin(version: i64) -> CatalogPin {
    let hash = match version {
        1 => FIRST,
        2 => SECOND,
        _ => THIRD,
    };
    CatalogPin { version, content_hash: hash.into() }
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
    let credential = asked.credential.map(|passport| ("agent-passport", passport.to_header()));
    ask_with(gate, asked, credential, BEGAN)
}

/// Asks with the credential in this header, in a process that began then.
fn ask_with(
    gate: &Snapshot,
    asked: &Asked<'_>,
    credential: Option<(&'static str, String)>,
    began: UnixTime,
) -> Result<Permit, Box<Refused>> {
    let mut headers: Vec<(String, String)> = Vec::new();
    headers.extend(credential.iter().map(|(name, value)| ((*name).into(), value.clone())));
    if let (Some(agent), Some((carrier, credential))) = (asked.agent, &credential) {
        let proof = ProofDraft {
            method: "GET",
            authority: "api.example",
            path: asked.path,
            query: asked.query,
            credential: (carrier, credential),
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
    let process = Process::new([1; 32], began);
    let mut memory = LocalMemory::new(&process);
    let verifier = Verifier::new(gate).with_process(&process);
    let step = match verifier.begin(&head, NOW, &mut CredentialCache::new(0), &mut memory) {
        Step::NeedBody(pending) => verifier.finish(pending, NOW, &mut memory),
        step => step,
    };
    match step {
        Step::Permit(permit) => Ok(permit),
        Step::Deny(refused) => Err(Box::new(refused)),
        Step::Hold(_) | Step::NeedBody(_) | Step::NeedAuthority(_) => {
            panic!("neither held nor without its body")
        }
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
fn a_pin_that_others_than_this_gate_wrote_agrees_to_nothing() {
    let gate = gate(&priced(PRICES));
    let book = |credential: &Signed, agent| {
        reason(ask(
            &gate,
            &Asked { credential: Some(credential), path: "/bookings/1", query: None, agent: Some(agent) },
        ))
    };
    // The first version, whose hash is public, has no price for it.
    assert_eq!(book(&pinned(1), "bot"), "ok");
    let other = pinned_by("gate_other", &["flights:search", "flights:book"], 1);
    assert_eq!(book(&other, "bot"), "catalog_pin_missing");
    let platform =
        Issuer { kind: RootKind::Platform, id: "platform".into(), key_id: "k1".into(), gate_id: None };
    let granted = draft("pp_1", &["flights:book"]);
    let managed = issue_pinned(&key(8), &platform, "bot", &key(1).public_key(), &granted, Some(&pin(1)));
    assert_eq!(book(&managed, "bot"), "catalog_pin_missing");
    assert_eq!(book(&with_own_pin(1), &self_id()), "catalog_pin_missing");
    // Where nothing is asked, nobody looks at it.
    for version in [1, 7] {
        let other = pinned_by("gate_other", &["flights:search"], version);
        assert_eq!(reason(search(&gate, &other, Some("bot"))), "ok");
        assert_eq!(reason(search(&gate, &with_own_pin(version), Some(&self_id()))), "ok");
    }
}

/// A passport that its agent has signed, with a pin that it has written itself.
fn with_own_pin(version: i64) -> Signed {
    let CatalogPin { version, content_hash } = pin(version);
    let envelope = canonical_text(unpinned().envelope());
    let envelope = envelope
        .replacen("\"catalog_content_hash\":null", &format!("\"catalog_content_hash\":\"{content_hash}\""), 1)
        .replacen("\"catalog_version\":null", &format!("\"catalog_version\":{version}"), 1);
    assert!(envelope.contains(&content_hash));
    let signature = base64::encode(&key(1).sign(envelope.as_bytes()));
    Signed::from_json(format!(r#"{{"passport_json":{envelope},"signature":"{signature}"}}"#).as_bytes())
        .unwrap()
}

#[test]
fn who_spells_the_carrier_of_its_credential_otherwise_owes_the_same() {
    let gate = gate(&priced(PRICES));
    let passport = pinned(1);
    let token = passport.to_jwt(&key(8));
    let asked = Asked { credential: Some(&passport), path: "/flights", query: None, agent: Some("bot") };
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEARER    "] {
        let header = ("authorization", [scheme, &token].concat());
        let permit = ask_with(&gate, &asked, Some(header), BEGAN).unwrap();
        receipt(&permit).verify_proof(base(&permit)).unwrap();
    }
    let permit = ask(&gate, &asked).unwrap();
    receipt(&permit).verify_proof(base(&permit)).unwrap();
}

fn base(permit: &Permit) -> &str {
    std::str::from_utf8(permit.metered().unwrap().proof().base()).unwrap()
}

/// What a gate makes of it.
fn receipt(permit: &Permit) -> Receipt {
    let (metered, identity) = (permit.metered().unwrap(), permit.identity().unwrap());
    let proof = metered.proof();
    Receipt {
        action: identity.action().into(),
        agent: Consumer::new(identity, *metered.agent_key()),
        attestation_id: None,
        catalog: metered.pin().clone(),
        charge: Charge::of(metered.rate(), Outcome::Success, 1).unwrap(),
        duration_ms: None,
        gate_id: "gate_test".into(),
        issued_at: NOW,
        outcome: Outcome::Success,
        proof: AgentProof {
            base_sha256: sha256(proof.base()),
            created: proof.created(),
            form: ProofForm::Rfc9421,
            nonce: proof.nonce().into(),
            signature: *proof.signature(),
        },
        id: [0; 16],
        request_payload_hash: None,
        response_payload_hash: None,
        status: Some(200),
    }
}

#[test]
fn what_has_a_price_needs_a_proof_that_was_made_since_the_process_began() {
    let gate = gate(&priced(PRICES));
    let ask = |version, began| {
        let passport = pinned(version);
        let asked = Asked { credential: Some(&passport), path: "/flights", query: None, agent: Some("bot") };
        reason(ask_with(&gate, &asked, Some(("agent-passport", passport.to_header())), began))
    };
    assert_eq!(ask(1, NOW), "ok");
    assert_eq!(ask(1, NOW.plus_millis(1)), "proof_predates_gate");
    assert_eq!(ask(3, NOW.plus_millis(1)), "ok");
}

#[test]
fn a_proof_that_is_too_long_to_be_kept_with_a_receipt_is_refused() {
    let gate = gate(&priced(PRICES));
    let ask = |passport: &Signed, query: &str| {
        let query = Some(query);
        reason(ask(&gate, &Asked { credential: Some(passport), path: "/flights", query, agent: Some("bot") }))
    };
    assert_eq!(ask(&pinned(1), &"q".repeat(7 * 1024)), "ok");
    assert_eq!(ask(&pinned(1), &"q".repeat(8 * 1024)), "proof_malformed");
    // Where they are written as two bytes each.
    assert_eq!(ask(&pinned(1), &"\"".repeat(4 * 1024)), "proof_malformed");
    let long = |actions: u32| {
        let more: Vec<_> = (0..actions).map(|number| format!("{number:0>100}:{number:0>100}")).collect();
        let actions: Vec<_> = more.iter().map(String::as_str).chain(["flights:search"]).collect();
        pinned_by("gate_test", &actions, 1)
    };
    // Of its passport all is kept that both may have together.
    assert_eq!(ask(&long(120), ""), "ok");
    assert_eq!(ask(&long(220), ""), "proof_malformed");
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
    let process = Process::new([1; 32], BEGAN);
    let mut memory = LocalMemory::new(&process);
    let begun = Verifier::new(&before).begin(&head, now, &mut CredentialCache::new(0), &mut memory);
    let Step::NeedBody(pending) = begun else { panic!("a proof waits for its body") };
    let Step::Permit(permit) = Verifier::new(&after).with_process(&process).finish(pending, now, &mut memory)
    else {
        panic!("it passes")
    };
    assert_eq!(permit.metered().unwrap().rate().price.cents, 5);
}
