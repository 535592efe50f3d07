//! Records: their canonical text, their chain, their signatures.

use portcullis_core::attestation::{
    AccessMode, Agent, AttestationError, AttestedRequest, Decision, Draft, Dropped, Evaluation, Hold,
    MAX_COST_CENTS, MAX_RECORD, Outcome, ReceiptName, Record, Signer, Unsigned, leaf,
};
use portcullis_core::json::{Limits, canonical_text, parse};
use portcullis_core::{Mode, PublicKey, SecretKey, UnixTime, base64, sha256};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LANE: [u8; 16] = [3; 16];

fn signer() -> Signer {
    Signer::new(&SecretKey::from_seed([1; 32]).attestation_key())
}

fn public_key() -> PublicKey {
    PublicKey::from_bytes(signer().public_key()).unwrap()
}

fn draft() -> Draft {
    Draft {
        access_mode: AccessMode::Credential,
        agent: Some(Agent {
            agent_id: "research-bot-001".into(),
            agent_name: Some("Research \"Bot\"".into()),
            issuer_id: "iss_01HABC".into(),
            passport_id: "pass_01HXYZ".into(),
            tier: 2,
        }),
        approval_request_id: None,
        id: [0xab; 16],
        decision: Decision::Allow,
        detail: None,
        dropped: None,
        gate_id: "gate_01HDEF".into(),
        gate_name: Some("Production API Gate".into()),
        guardrails: vec![Evaluation {
            name: "core:rate:max_per_minute".into(),
            result: Outcome::Pass,
            detail: "48/60 requests used this minute".into(),
        }],
        hold: None,
        mode: Mode::Enforce,
        reason_code: None,
        receipt: None,
        request: Some(AttestedRequest {
            action: Some("web:search".into()),
            cost_cents: 1,
            method: "GET".into(),
            path: "/search".into(),
            target_domain: Some("api.example.com".into()),
        }),
        time: UnixTime::from_millis(1_771_943_400_000),
    }
}

#[test]
fn a_record_has_the_members_of_its_decision_and_no_others() {
    let read = |draft: Draft| {
        let signed = draft.unsigned().sign(&LANE, 7, &[0; 32], &signer());
        Record::read(signed.text.as_bytes()).map(|record| record.decision())
    };
    let time = UnixTime::from_millis(1_771_943_400_000);
    let dropped = || Some(Dropped { count: 3, first_at: time, last_at: time });
    let hold = || {
        let (agent_key, summary) = (String::from("key"), String::from("a flight"));
        Some(Hold { agent_key, binding: [1; 32], expires_at: time, summary })
    };
    let gap = || Draft { decision: Decision::Gap, request: None, dropped: dropped(), ..draft() };
    let held = || Draft { decision: Decision::RequestHold, hold: hold(), ..draft() };
    let receipt = || Some(ReceiptName { id: [1; 16], sha256: [2; 32] });
    let used = || Draft { decision: Decision::Consumption, receipt: receipt(), ..draft() };
    for (whole, decision) in [
        (draft(), Decision::Allow),
        (gap(), Decision::Gap),
        (held(), Decision::RequestHold),
        (used(), Decision::Consumption),
    ] {
        assert_eq!(read(whole), Ok(decision));
    }
    for (what, part) in [
        ("a permit that dropped some", Draft { dropped: dropped(), ..draft() }),
        ("a permit of no request", Draft { request: None, ..draft() }),
        ("a permit that is held", Draft { hold: hold(), ..draft() }),
        ("a gap of none", Draft { dropped: None, ..gap() }),
        ("a gap of one request", Draft { request: draft().request, ..gap() }),
        ("a permit with a receipt", Draft { receipt: receipt(), ..draft() }),
        ("a use without one", Draft { receipt: None, ..used() }),
        ("a hold of nothing", Draft { hold: None, ..held() }),
    ] {
        assert!(matches!(read(part), Err(AttestationError::RecordMalformed(_))), "{what}");
    }
}

#[test]
fn a_record_is_the_text_that_the_contract_shows() {
    let signed = draft().unsigned().sign(&LANE, 7, &[0; 32], &signer());
    let key_id = signer().key_id().to_string();
    let chain: String = signed.chain_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let value = base64::encode_url(&signed.signature);
    let expected = format!(
        concat!(
            r#"{{"access_mode":"credential","agent":{{"agent_id":"research-bot-001","agent_name":"Research \"Bot\"","#,
            r#""issuer_id":"iss_01HABC","passport_id":"pass_01HXYZ","trust_tier":"L2"}},"#,
            r#""attestation_id":"att_abababababababababababababababab","chain_hash":"{}","decision":"allow","#,
            r#""detail":null,"gate":{{"gate_id":"gate_01HDEF","gate_name":"Production API Gate"}},"#,
            r#""guardrails_evaluated":[{{"detail":"48/60 requests used this minute","#,
            r#""name":"core:rate:max_per_minute","result":"pass"}}],"lane":"AwMDAwMDAwMDAwMDAwMDAw","mode":"enforce","#,
            r#""reason_code":null,"request":{{"action":"web:search","cost_cents":1,"estimated_cost_usd":0.01,"#,
            r#""method":"GET","path":"/search","target_domain":"api.example.com"}},"sequence_number":7,"#,
            r#""signature":{{"algorithm":"EdDSA","key_id":"{}","value":"{}"}},"#,
            r#""timestamp":"2026-02-24T14:30:00.000Z","version":"1.0"}}"#
        ),
        chain, key_id, value
    );
    assert_eq!(signed.text, expected);

    let without = expected.replace(
        &format!(r#","signature":{{"algorithm":"EdDSA","key_id":"{key_id}","value":"{value}"}}"#),
        "",
    );
    let chained = without.replace(&format!(r#","chain_hash":"{chain}""#), "");
    assert_eq!(signed.chain_hash, sha256(&[&[0; 32], chained.as_bytes()].concat()));
    assert!(public_key().verify(without.as_bytes(), &signed.signature));

    let record = Record::read(signed.text.as_bytes()).unwrap();
    assert_eq!(record.text(), signed.text);
    assert_eq!(record.signed_text(), without);
    assert_eq!(record.draft(), &draft());
    assert_eq!((record.lane(), record.number()), (&LANE, 7));
    assert_eq!(record.id(), "att_abababababababababababababababab");
    assert_eq!(record.id(), draft().unsigned().id());
    assert_eq!(record.key_id(), &sha256(signer().public_key()));
    assert!(record.previous_fits(&[0; 32]) && !record.previous_fits(&[1; 32]));
    assert_eq!(record.verify(&public_key()), Ok(()));
    let hashed = [&[0][..], &signed.chain_hash, &signed.signature].concat();
    assert_eq!(record.leaf(), sha256(&hashed));
    assert_eq!(leaf(&signed.chain_hash, &signed.signature), record.leaf());
}

#[test]
fn the_attestation_key_is_the_hmac_of_a_fixed_text() {
    // By Python: hmac.new(bytes([1]*32), b"portcullis attestation key 1", "sha256").
    let seed = *SecretKey::from_seed([1; 32]).attestation_key().seed();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "e88648e5d2c33fdabe512eb44e839884213b9e5b4ac122c8228ae040ab94ff2d");
}

#[test]
fn no_bit_of_a_record_can_be_changed() {
    let signed = draft().unsigned().sign(&LANE, 7, &[0; 32], &signer());
    for at in 0..signed.text.len() {
        for bit in [0, 3, 6] {
            let mut text = signed.text.clone().into_bytes();
            text[at] ^= 1 << bit;
            let found = Record::read(&text).and_then(|record| {
                record.verify(&public_key())?;
                if record.previous_fits(&[0; 32]) { Ok(()) } else { Err(AttestationError::ChainBroken) }
            });
            assert!(found.is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn another_key_did_not_sign_it() {
    let signed = draft().unsigned().sign(&LANE, 7, &[0; 32], &signer());
    let record = Record::read(signed.text.as_bytes()).unwrap();
    let other = PublicKey::from_bytes(&SecretKey::from_seed([9; 32]).public_key()).unwrap();
    assert_eq!(record.verify(&other), Err(AttestationError::KeyUnknown));
}

#[test]
fn what_says_the_same_in_another_text_is_not_read() {
    let text = draft().unsigned().sign(&LANE, 7, &[0; 32], &signer()).text;
    let canonical = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Record::read(text.replacen(from, to, 1).as_bytes()).unwrap_err().code()
    };
    for (from, to) in [
        (r#"{"access"#, r#"{ "access"#),
        ("0.01", "1e-2"),
        (r#""sequence_number":7"#, r#""sequence_number":7.0"#),
        ("research", "re\\u0073earch"),
        (r#""mode":"enforce","reason_code":null"#, r#""reason_code":null,"mode":"enforce""#),
    ] {
        assert!(["record_not_canonical", "record_malformed"].contains(&canonical(from, to)), "{to}");
    }
    assert_eq!(canonical("0.01", "1e-2"), "record_not_canonical");
    for (from, to) in [
        (r#""version":"1.0""#, r#""version":"1.1""#),
        (r#""version":"1.0""#, r#""version":"1.0","versions":"1.0""#),
        (r#""mode":"enforce","#, ""),
        ("0.01", "0.02"),
        (r#""sequence_number":7"#, r#""sequence_number":0"#),
        (r#""sequence_number":7"#, r#""sequence_number":-7"#),
        ("EdDSA", "none"),
        (r#""trust_tier":"L2""#, r#""trust_tier":"L4""#),
        (r#""decision":"allow""#, r#""decision":"gap""#),
        (r#""decision":"allow""#, r#""decision":"request_hold""#),
        (r#""decision":"allow""#, r#""decision":"permit""#),
        ("att_ab", "att_AB"),
        ("att_ab", "atx_ab"),
    ] {
        assert_eq!(canonical(from, to), "record_malformed", "{to}");
    }
    assert!(Record::read(&text.as_bytes()[..text.len() - 1]).is_err());
    assert!(Record::read(format!("{text}\n").as_bytes()).is_err());
    assert!(Record::read(b"").is_err());
}

#[test]
fn a_queue_gives_back_what_it_was_given_and_nothing_cut_off() {
    let unsigned = draft().unsigned();
    let bytes = unsigned.to_bytes();
    assert_eq!(Unsigned::from_bytes(&bytes), Some(unsigned));
    for length in 0..6 {
        assert_eq!(Unsigned::from_bytes(&bytes[..length]), None);
    }
    assert_eq!(Unsigned::from_bytes(&[0, 1, 0, 2, 0, 3, b'x']), None);
    assert_eq!(Unsigned::from_bytes(&[0, 0, 0, 0, 0, 0, 0xff]), None);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z:/_-]{0,20}", ".{0,30}", "\\PC{0,400}", "[\\x00-\\x1f\"\\\\]{0,400}"]
}

prop_compose! {
    fn agents()(
        agent_id in text(), agent_name in option::of(text()), issuer_id in text(), passport_id in text(),
        tier in 1_u8..=3,
    ) -> Agent {
        Agent { agent_id, agent_name, issuer_id, passport_id, tier }
    }
}

prop_compose! {
    fn requests()(
        action in option::of(text()), cost_cents in prop_oneof![0..100_000_u64, 0..=MAX_COST_CENTS],
        method in text(), path in text(), target_domain in option::of(text()),
    ) -> AttestedRequest {
        AttestedRequest { action, cost_cents, method, path, target_domain }
    }
}

prop_compose! {
    fn evaluations()(
        name in text(), detail in text(),
        result in prop::sample::select(vec![Outcome::Pass, Outcome::Block, Outcome::Hold, Outcome::Recorded]),
    ) -> Evaluation {
        Evaluation { name, result, detail }
    }
}

prop_compose! {
    fn drafts()(
        access_mode in prop::sample::select(vec![
            AccessMode::Credential, AccessMode::Anonymous, AccessMode::Public, AccessMode::None,
        ]),
        agent in option::of(agents()), approval_request_id in option::of(text()), id in any::<[u8; 16]>(),
        decision in prop::sample::select(vec![
            Decision::Allow, Decision::Approved, Decision::Block, Decision::Denied, Decision::Gap,
            Decision::RequestHold, Decision::Consumption,
        ]),
        texts in (option::of(text()), text(), option::of(text()), option::of(text()), text(), text()),
        guardrails in vec(evaluations(), 0..80), request in requests(), binding in any::<[u8; 32]>(),
        millis in 0..4_000_000_000_000_i64, count in 0..1_u64 << 53, mode in any::<bool>(),
    ) -> Draft {
        let (detail, gate_id, gate_name, reason_code, agent_key, summary) = texts;
        let time = UnixTime::from_millis(millis);
        let is_gap = decision == Decision::Gap;
        Draft {
            access_mode, agent, approval_request_id, id, decision, detail,
            dropped: is_gap.then_some(Dropped { count, first_at: time, last_at: time }),
            gate_id, gate_name, guardrails,
            hold: (decision == Decision::RequestHold)
                .then_some(Hold { agent_key, binding, expires_at: time, summary }),
            mode: if mode { Mode::Enforce } else { Mode::Report },
            reason_code,
            receipt: (decision == Decision::Consumption).then_some(ReceiptName { id, sha256: binding }),
            request: (!is_gap).then_some(request),
            time,
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_maker_is_given_makes_a_record_that_is_canonical_bounded_and_read_back(
        draft in drafts(), lane in any::<[u8; 16]>(), number in 1..=1_u64 << 53, previous in any::<[u8; 32]>(),
    ) {
        let unsigned = Unsigned::from_bytes(&draft.unsigned().to_bytes()).unwrap();
        let signed = unsigned.sign(&lane, number, &previous, &signer());
        prop_assert!(signed.text.len() <= MAX_RECORD, "{}", signed.text.len());
        prop_assert!(!signed.text.contains('\n'));
        let limits = Limits { bytes: MAX_RECORD, depth: 3, values: 400 };
        let value = parse(signed.text.as_bytes(), limits).unwrap();
        prop_assert_eq!(&canonical_text(&value), &signed.text);
        let record = Record::read(signed.text.as_bytes()).unwrap();
        prop_assert_eq!(&record.text(), &signed.text);
        prop_assert!(record.previous_fits(&previous));
        prop_assert_eq!(record.verify(&public_key()), Ok(()));
        prop_assert_eq!(record.id(), unsigned.id());
        // What refused or held is there as long as it fits at all.
        let told = |list: &[Evaluation]| list.iter().filter(|one| one.result == Outcome::Block).count();
        prop_assert!(draft.guardrails.len() > 8 || told(&draft.guardrails) == 0 || told(&record.draft().guardrails) > 0
            || signed.text.len() > MAX_RECORD - 400);
    }

    #[test]
    fn a_cost_is_written_as_json_writes_the_number(cents in 0..=MAX_COST_CENTS) {
        let mut draft = draft();
        draft.request.as_mut().unwrap().cost_cents = cents;
        let text = draft.unsigned().sign(&LANE, 1, &[0; 32], &signer()).text;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let usd = value["request"]["estimated_cost_usd"].as_f64().unwrap();
        prop_assert_eq!(usd, cents as f64 / 100.0);
    }
}

#[test]
fn costs_beyond_the_highest_are_written_as_it() {
    let mut draft = draft();
    draft.request.as_mut().unwrap().cost_cents = u64::MAX;
    let text = draft.unsigned().sign(&LANE, 1, &[0; 32], &signer()).text;
    assert_eq!(
        Record::read(text.as_bytes()).unwrap().draft().request.as_ref().unwrap().cost_cents,
        MAX_COST_CENTS
    );
}
