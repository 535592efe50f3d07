//! The documents of live trust material: what is read, and all that is refused.

use crate::common;
use crate::common::service::{FINGERPRINTS, GATE, Service, service_config};
use crate::common::{NOW, SELF_ISSUED, config, key};
use portcullis_core::json::{Limits, Object, Value, canonical_text, parse};
use portcullis_core::live::{
    FingerprintKey, Head, LiveError, RevocationDelta, RevocationPage, ServiceKeys, SnapshotDocument,
    SnapshotDraft, TrustResponse, hex,
};
use portcullis_core::{Config, GateConfiguration, KeyConfig, UnixTime, base64, sha256};
use proptest::prelude::*;
use std::hash::Hasher;

const LIMITS: Limits = Limits { bytes: 1 << 24, depth: 32, values: 1 << 16 };
const TYPES: [&str; 4] =
    ["portcullis-head+jws", "portcullis-snapshot+jws", "portcullis-revocations+jws", "portcullis-delta+jws"];

fn pinned(id: &str, name: u8) -> KeyConfig {
    KeyConfig {
        key_id: id.into(),
        public_key: base64::encode(&key(name).public_key()),
        not_before: None,
        not_after: None,
    }
}

fn keys() -> ServiceKeys {
    ServiceKeys::new(&[pinned("k1", 9), pinned("k2", 8)]).unwrap()
}

/// Signs what nobody should sign.
fn signed(header: &str, payload: &str) -> String {
    let input = [header, payload].map(|part| base64::encode_url(part.as_bytes())).join(".");
    let signature = base64::encode_url(&key(9).sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn header(typ: &str) -> String {
    format!(r#"{{"alg":"EdDSA","kid":"k1","typ":"{typ}"}}"#)
}

fn payload(token: &str) -> String {
    String::from_utf8(base64::decode_url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// One good document of each kind, with what reads it.
fn documents() -> [(&'static str, String); 4] {
    let mut service = Service::new(config(SELF_ISSUED));
    for one in 1..=3 {
        service.change(one << 60, true);
    }
    service.followed = vec![("https://registry.example".into(), NOW)];
    let [head, snapshot, page, delta] = TYPES;
    [
        (head, service.head(NOW).sign(&key(9), "k1")),
        (snapshot, service.snapshot().token),
        (page, service.page(0).sign(&key(9), "k1")),
        (delta, service.delta(1).sign(&key(9), "k1")),
    ]
}

/// The code of what comes of reading a token as a document of this type.
fn read(typ: &str, token: &str, gate: &str, keys: &ServiceKeys, now: UnixTime) -> &'static str {
    let bytes = token.as_bytes();
    let result = match typ {
        "portcullis-head+jws" => Head::read(bytes, gate, keys, now).map(|_| ()),
        "portcullis-snapshot+jws" => {
            let hash = token.split('.').nth(1).and_then(base64::decode_url).map(|payload| sha256(&payload));
            SnapshotDocument::read(bytes, gate, keys, now, &hash.unwrap_or_default()).map(|_| ())
        }
        "portcullis-revocations+jws" => RevocationPage::read(bytes, gate, keys, now).map(|_| ()),
        "portcullis-delta+jws" => RevocationDelta::read(bytes, gate, keys, now).map(|_| ()),
        _ => panic!("{typ}"),
    };
    result.map_or_else(|error| error.code(), |()| "ok")
}

fn read_changed(typ: &str, token: &str, change: impl FnOnce(&mut Object<'static>)) -> &'static str {
    let text = payload(token);
    let mut object = parse(text.as_bytes(), LIMITS).unwrap().into_owned().as_object().unwrap().clone();
    change(&mut object);
    let changed = signed(&header(typ), &canonical_text(&object.into()));
    read(typ, &changed, GATE, &keys(), NOW)
}

#[test]
fn each_document_is_read_as_it_was_signed() {
    for (typ, token) in documents() {
        assert_eq!(read(typ, &token, GATE, &keys(), NOW), "ok", "{typ}");
    }
    let [(_, head), (_, snapshot), (_, page), (_, delta)] = documents();
    let read_head = Head::read(head.as_bytes(), GATE, &keys(), NOW).unwrap();
    assert_eq!(read_head.sign(&key(9), "k1"), head);
    let read_page = RevocationPage::read(page.as_bytes(), GATE, &keys(), NOW).unwrap();
    assert_eq!(read_page.sign(&key(9), "k1"), page);
    let read_delta = RevocationDelta::read(delta.as_bytes(), GATE, &keys(), NOW).unwrap();
    assert_eq!(read_delta.sign(&key(9), "k1"), delta);
    let hash = sha256(payload(&snapshot).as_bytes());
    let document = SnapshotDocument::read(snapshot.as_bytes(), GATE, &keys(), NOW, &hash).unwrap();
    assert_eq!((document.number, document.time, document.config.gate.id.as_str()), (1, NOW, GATE));
}

#[test]
fn a_document_of_one_kind_is_never_taken_for_another() {
    for (typ, token) in documents() {
        for other in TYPES.into_iter().filter(|other| *other != typ) {
            assert_eq!(read(other, &token, GATE, &keys(), NOW), "unreadable", "{typ} as {other}");
        }
    }
}

#[test]
fn only_the_pinned_keys_in_their_time_are_believed() {
    let (before, after) = (NOW.plus_millis(-1), NOW.plus_millis(1));
    for (typ, token) in documents() {
        let code = |pinned: KeyConfig| read(typ, &token, GATE, &ServiceKeys::new(&[pinned]).unwrap(), NOW);
        assert_eq!(code(pinned("k1", 9)), "ok");
        assert_eq!(code(pinned("k1", 8)), "signature");
        assert_eq!(code(pinned("k2", 9)), "unknown_key");
        let within = |from: UnixTime, until: UnixTime| KeyConfig {
            not_before: Some(from.to_iso()),
            not_after: Some(until.to_iso()),
            ..pinned("k1", 9)
        };
        assert_eq!(code(within(NOW, after)), "ok");
        assert_eq!(code(within(before, NOW)), "unknown_key");
        assert_eq!(code(within(after, NOW.plus_millis(2))), "unknown_key");
    }
    assert_eq!(ServiceKeys::new(&[]).unwrap_err().path, "service.keys");
    assert_eq!(
        ServiceKeys::new(&[pinned("k", 1), pinned("k", 2)]).unwrap_err().path,
        "service.keys[1].key_id"
    );
}

#[test]
fn a_changed_document_is_refused_wherever_it_was_changed() {
    for (typ, token) in documents() {
        for at in (0..token.len()).step_by(7) {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_ne!(read(typ, &changed, GATE, &keys(), NOW), "ok", "{typ} at {at}");
        }
    }
}

#[test]
fn what_is_longer_than_its_kind_may_be_is_refused_unread() {
    for (typ, token) in documents() {
        if typ == TYPES[1] {
            // 64 MiB of a configuration are other tests' business.
            continue;
        }
        // Signed, and of one member: only its length is wrong.
        let long = format!(r#"{{"gate":"{}"}}"#, "a".repeat(2 * 1024 * 1024));
        let code = read(typ, &signed(&header(typ), &long), GATE, &keys(), NOW);
        assert_eq!(code, "unreadable", "{typ}");
        // Its length is judged first: not even its key is looked for.
        let code = read(typ, &token, GATE, &ServiceKeys::new(&[pinned("k", 1)]).unwrap(), NOW);
        assert_eq!(code, "unknown_key", "{typ}");
        let long = signed(&header(typ), &long);
        let code = read(typ, &long, GATE, &ServiceKeys::new(&[pinned("k", 1)]).unwrap(), NOW);
        assert_eq!(code, "unreadable", "{typ}");
    }
}

#[test]
fn a_document_for_another_gate_is_refused() {
    for (typ, token) in documents() {
        assert_eq!(read(typ, &token, "gate_other", &keys(), NOW), "wrong_gate", "{typ}");
    }
}

#[test]
fn a_header_has_three_members_in_one_order() {
    for (typ, token) in documents() {
        let payload = payload(&token);
        let code = |header: &str| read(typ, &signed(header, &payload), GATE, &keys(), NOW);
        assert_eq!(code(&header(typ)), "ok");
        for wrong in [
            format!(r#"{{"alg":"EdDSA","kid":"k1","typ":"{typ}","x":1}}"#),
            format!(r#"{{"alg":"EdDSA","kid":"k1","kid":"k1","typ":"{typ}"}}"#),
            format!(r#"{{"kid":"k1","alg":"EdDSA","typ":"{typ}"}}"#),
            format!(r#"{{"alg":"EdDSA", "kid":"k1","typ":"{typ}"}}"#),
            format!(r#"{{"alg":"none","kid":"k1","typ":"{typ}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"k1","typ":"{typ}"}}"#),
            format!(r#"{{"kid":"k1","typ":"{typ}"}}"#),
            format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#),
            r#"{"alg":"EdDSA","kid":"k1"}"#.into(),
            r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#.into(),
            format!(r#"{{"alg":"EdDSA","crit":["x"],"kid":"k1","typ":"{typ}"}}"#),
        ] {
            assert_eq!(code(&wrong), "unreadable", "{wrong}");
        }
    }
}

#[test]
fn every_member_must_be_there_once_and_of_its_type_and_no_other_may() {
    for (typ, token) in documents() {
        let text = payload(&token);
        let value = parse(text.as_bytes(), LIMITS).unwrap();
        let object = value.as_object().unwrap();
        for (name, value) in object.iter() {
            let without: Vec<_> = object.iter().filter(|(other, _)| *other != name).collect();
            let mut left = Object::default();
            for (name, value) in without {
                left.set(name, value.clone());
            }
            let missing = signed(&header(typ), &canonical_text(&left.into()));
            let expected = if name == "followed" { "ok" } else { "unreadable" };
            assert_eq!(read(typ, &missing, GATE, &keys(), NOW), expected, "{typ} without {name}");

            let doubled = format!(r#"{{"{name}":{},{}"#, canonical_text(value), &text[1..]);
            let doubled = signed(&header(typ), &doubled);
            assert_eq!(read(typ, &doubled, GATE, &keys(), NOW), "unreadable", "{typ} with {name} twice");

            for wrong in [Value::Null, true.into(), Value::Array(vec![]), "?".into(), Value::integer(-1)] {
                let code = read_changed(typ, &token, |object| object.set(name, wrong.clone()));
                assert!(
                    ["unreadable", "wrong_gate", "config"].contains(&code),
                    "{typ}: {name} is {wrong:?}: {code}"
                );
            }
        }
        let code = read_changed(typ, &token, |object| object.set("other", Value::Null));
        assert_eq!(code, "unreadable", "{typ} with another member");
        let code = read(typ, &signed(&header(typ), "[]"), GATE, &keys(), NOW);
        assert_eq!(code, "unreadable", "{typ} that is an array");
        let code = read(typ, &signed(&header(typ), &format!("{text} x")), GATE, &keys(), NOW);
        assert_eq!(code, "unreadable", "{typ} with something after it");
    }
}

#[test]
fn a_head_says_nothing_that_contradicts_itself() {
    let [(typ, token), ..] = documents();
    let code = |name: &str, json: &str| {
        let value = parse(json.as_bytes(), LIMITS).unwrap().into_owned();
        read_changed(typ, &token, |object| object.set(name, value))
    };
    let hash = hex(&[1; 32]);
    assert_eq!(code("number", "4"), "ok");
    for wrong in ["3", "5", "4.5", "4.0", "9007199254740993"] {
        let text = payload(&token)
            .replace(r#""number":4,"revocations""#, &format!(r#""number":{wrong},"revocations""#));
        assert_eq!(read(typ, &signed(&header(typ), &text), GATE, &keys(), NOW), "unreadable", "{wrong}");
    }
    assert_eq!(code("snapshot", &format!(r#"{{"number":1,"sha256":"{hash}"}}"#)), "ok");
    for wrong in [
        format!(r#"{{"number":0,"sha256":"{hash}"}}"#),
        format!(r#"{{"number":1,"sha256":"{}"}}"#, hash.replace('0', "A")),
        format!(r#"{{"number":1,"sha256":"{}"}}"#, &hash[1..]),
        format!(r#"{{"number":1,"sha256":"{hash}00"}}"#),
        format!(r#"{{"number":1,"sha256":"{hash}","x":1}}"#),
        r#"{"number":1}"#.into(),
    ] {
        assert_eq!(code("snapshot", &wrong), "unreadable", "{wrong}");
    }
    assert_eq!(code("revocations", r#"{"count":3,"digest":"0000000000000000","number":4}"#), "ok");
    for wrong in [
        r#"{"count":4194305,"digest":"0000000000000000","number":4}"#,
        r#"{"count":-1,"digest":"0000000000000000","number":4}"#,
        r#"{"count":3,"digest":"000000000000000","number":4}"#,
        r#"{"count":3,"digest":"000000000000000G","number":4}"#,
        r#"{"count":3,"digest":"0000000000000000"}"#,
    ] {
        assert_eq!(code("revocations", wrong), "unreadable", "{wrong}");
    }
    for wrong in [
        r#"{"http://registry.example":"2026-06-01T12:00:00.000Z"}"#,
        r#"{"https://registry.example/":"2026-06-01T12:00:00.000Z"}"#,
        r#"{"https://registry.example":"2026-06-01T12:00:00Z"}"#,
        r#"{"https://registry.example":1}"#,
    ] {
        assert_eq!(code("followed", wrong), "unreadable", "{wrong}");
    }
    assert_eq!(code("followed", "{}"), "ok");
    for wrong in
        ["\"\"", "\"AAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAAA==\"", "\"AAAAAAAAAAAAAAAAAAAAAAAA\""]
    {
        assert_eq!(code("echo", wrong), "unreadable", "{wrong}");
    }
}

#[test]
fn a_head_of_the_future_is_refused_beyond_60_s() {
    let head = |ahead| Service::new(config(SELF_ISSUED)).head(NOW.plus_millis(ahead)).sign(&key(9), "k1");
    assert_eq!(read(TYPES[0], &head(60_000), GATE, &keys(), NOW), "ok");
    assert_eq!(read(TYPES[0], &head(60_001), GATE, &keys(), NOW), "from_the_future");
}

fn encoded(fingerprints: &[u64]) -> Value<'static> {
    let bytes: Vec<_> = fingerprints.iter().flat_map(|one| one.to_be_bytes()).collect();
    Value::from(base64::encode(&bytes).as_str()).into_owned()
}

#[test]
fn fingerprints_ascend_and_lie_in_their_page() {
    let [.., (typ, token), _] = documents();
    let code = |from: u64, to: u64, fingerprints: &[u64]| {
        read_changed(typ, &token, |object| {
            object.set("from", Value::from(hex(&from.to_be_bytes()).as_str()).into_owned());
            object.set("to", Value::from(hex(&to.to_be_bytes()).as_str()).into_owned());
            object.set("fingerprints", encoded(fingerprints));
        })
    };
    assert_eq!(code(5, 9, &[5, 7, 9]), "ok");
    assert_eq!(code(5, 5, &[]), "ok");
    assert_eq!(code(5, 9, &[7, 7]), "unreadable");
    assert_eq!(code(5, 9, &[8, 7]), "unreadable");
    assert_eq!(code(5, 9, &[4, 7]), "unreadable");
    assert_eq!(code(5, 9, &[7, 10]), "unreadable");
    assert_eq!(code(9, 5, &[]), "unreadable");
    let most: Vec<u64> = (1..=8192).collect();
    assert_eq!(code(0, u64::MAX, &most), "ok");
    let more: Vec<u64> = (1..=8193).collect();
    assert_eq!(code(0, u64::MAX, &more), "unreadable");
    let half = read_changed(typ, &token, |object| object.set("fingerprints", "AAAA".into()));
    assert_eq!(half, "unreadable");
}

#[test]
fn a_delta_leads_forward_and_says_one_thing_of_each_fingerprint() {
    let [.., (typ, token)] = documents();
    let code = |since: i64, number: i64, added: &[u64], removed: &[u64]| {
        read_changed(typ, &token, |object| {
            object.set("since", Value::integer(since));
            object.set("number", Value::integer(number));
            object.set("added", encoded(added));
            object.set("removed", encoded(removed));
        })
    };
    assert_eq!(code(1, 2, &[1, 3], &[2]), "ok");
    assert_eq!(code(2, 2, &[1], &[]), "unreadable");
    assert_eq!(code(3, 2, &[1], &[]), "unreadable");
    assert_eq!(code(1, 2, &[1, 3], &[3]), "unreadable");
    assert_eq!(code(1, 2, &[3, 1], &[]), "unreadable");
    assert_eq!(code(1, 2, &[], &[3, 1]), "unreadable");
    let (low, high): (Vec<u64>, Vec<u64>) = ((1..=4096).collect(), (4097..=8192).collect());
    assert_eq!(code(1, 2, &low, &high), "ok");
    let high: Vec<u64> = (4097..=8193).collect();
    assert_eq!(code(1, 2, &low, &high), "unreadable");
}

#[test]
fn a_snapshot_is_the_one_of_the_hash_and_its_configuration_that_of_the_gate() {
    let [_, (typ, token), ..] = documents();
    let result = SnapshotDocument::read(token.as_bytes(), GATE, &keys(), NOW, &[0; 32]);
    assert_eq!(result.unwrap_err(), LiveError::Hash);
    let config = |change: &dyn Fn(&mut Object<'static>)| {
        let text = config(SELF_ISSUED);
        let mut config = parse(text.as_bytes(), LIMITS).unwrap().into_owned().as_object().unwrap().clone();
        change(&mut config);
        read_changed(typ, &token, |object| object.set("config", config.into()))
    };
    assert_eq!(config(&|_| ()), "ok");
    assert_eq!(
        config(&|config| config.set("gate", Object::from([("id", "gate_other".into())]).into())),
        "config"
    );
    // A snapshot does not lead to another service.
    assert_eq!(config(&|config| config.set("service", Object::default().into())), "config");
    assert_eq!(config(&|config| config.set("other", Value::Null)), "config");
    let draft = |gate, config| SnapshotDraft { gate, number: 1, time: NOW, config }.sign(&key(9), "k1");
    let text = common::config(SELF_ISSUED);
    assert_eq!(draft("gate_other", &text).unwrap_err().path, "gate.id");
    assert_eq!(draft(GATE, "{}").unwrap_err().path, "gate");
    let signed = draft(GATE, &text).unwrap();
    assert_eq!(signed.sha256, sha256(payload(&signed.token).as_bytes()));
}

#[test]
fn an_answer_has_a_head_and_nothing_that_is_unknown() {
    let code = |text: &str| TrustResponse::read(text.as_bytes()).map_or_else(|error| error.code(), |_| "ok");
    assert_eq!(code(r#"{"head":"a"}"#), "ok");
    assert_eq!(code(r#"{"head":"a","snapshot":"b","delta":"c"}"#), "ok");
    assert_eq!(code(r#"{"head":"a","snapshot":"b","reload":true}"#), "ok");
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"head":1}"#,
        r#"{"head":"a","head":"a"}"#,
        r#"{"head":"a","reload":false}"#,
        r#"{"head":"a","snapshot":null}"#,
        r#"{"head":"a","delta":true}"#,
        r#"{"head":"a","delta":"c","reload":true}"#,
        r#"{"head":"a","other":1}"#,
        r#"{"head":"a"} x"#,
    ] {
        assert_eq!(code(wrong), "unreadable", "{wrong}");
    }
    let response = TrustResponse { head: "a".into(), snapshot: Some("b".into()), delta: None, reload: true };
    assert_eq!(TrustResponse::read(response.to_json().as_bytes()).unwrap(), response);
}

#[test]
fn a_gate_with_a_service_has_nothing_else_in_its_configuration() {
    let public = base64::encode(&key(9).public_key());
    let service = format!(
        r#""cluster":"c","authority":"control.internal:443","keys":[{{"key_id":"k1","public_key":"{public}"}}]"#
    );
    let path = |gate: &str, service: &str, more: &str| {
        let text = format!(r#"{{"gate":{gate},"service":{{{service}}}{more}}}"#);
        match GateConfiguration::from_json(text.as_bytes()) {
            Ok(GateConfiguration::Live(config)) => portcullis_core::live::LiveTrust::new(&config)
                .map_or_else(|error| error.path, |_| "ok".into()),
            Ok(GateConfiguration::Static(_)) => "static".into(),
            Err(error) => error.path,
        }
    };
    let gate = r#"{"id":"g"}"#;
    assert_eq!(path(gate, &service, ""), "ok");
    assert_eq!(path(gate, &service, r#","cache_bytes":0"#), "ok");
    for member in [
        "profile",
        "mode",
        "authorities",
        "routes",
        "trust",
        "reserved_headers",
        "audiences",
        "max_body_bytes",
        "nonce_authority",
    ] {
        assert_eq!(path(gate, &service, &format!(r#","{member}":[]"#)), member);
    }
    // nginx gives a plugin no key, and no randomness that nobody can guess.
    assert_eq!(path(gate, &service, r#","host":"envoy""#), "ok");
    assert_eq!(path(gate, &service, r#","host":"nginx""#), "host");
    assert_eq!(path(r#"{"id":"a b"}"#, &service, ""), "gate.id");
    assert_eq!(path("{}", &service, ""), "gate.id");
    assert_eq!(path(gate, &format!(r#"{service},"max_age_seconds":604800"#), ""), "ok");
    for age in ["0", "604801"] {
        assert_eq!(
            path(gate, &format!(r#"{service},"max_age_seconds":{age}"#), ""),
            "service.max_age_seconds"
        );
    }
    for (from, to, wrong) in [
        ("\"c\"", "\"\"", "service.cluster"),
        ("\"c\"", "\"a b\"", "service.cluster"),
        ("control.internal", "Control", "service.authority"),
        ("control.internal", "https://control", "service.authority"),
        ("\"key_id\":\"k1\",", "", "service.keys[0].key_id"),
        ("\"cluster\":\"c\",", "", "service.cluster"),
        ("\"cluster\"", "\"other\":1,\"cluster\"", "service.other"),
        (public.as_str(), "AAAA", "service.keys[0].public_key"),
    ] {
        assert_eq!(path(gate, &service.replace(from, to), ""), wrong);
    }
    let config = service_config();
    assert_eq!((config.service.max_age_seconds, config.cache_bytes), (600, 4 * 1024 * 1024));
    assert_eq!(config.service.authority, "control.internal");
    let whole = common::config(SELF_ISSUED);
    assert!(matches!(GateConfiguration::from_json(whole.as_bytes()).unwrap(), GateConfiguration::Static(_)));
    let both = whole.replacen('{', r#"{"service":{},"#, 1);
    assert_eq!(Config::from_json(both.as_bytes()).unwrap_err().path, "service");
}

#[test]
fn fingerprints_are_those_of_siphash_2_4() {
    // The reference implementation's vector for 15 bytes, 0 to 14, by the key 0 to 15, is
    // of no use here: our input begins with a letter. So: against one call over all of it.
    let whole = |text: &[u8]| siphasher::sip::SipHasher24::new_with_key(FINGERPRINTS.as_bytes()).hash(text);
    assert_eq!(FINGERPRINTS.passport("issuer:acme", "pp_1"), whole(b"pissuer:acme\0pp_1"));
    assert_eq!(FINGERPRINTS.badge("https://registry.example", "x"), whole(b"bhttps://registry.example\0x"));
    assert_eq!(FINGERPRINTS.agent("simpleguard", ""), whole(b"asimpleguard\0"));
    // And the hash itself against the reference: 0xa129ca6149be45e5.
    let mut reference = siphasher::sip::SipHasher24::new_with_key(&std::array::from_fn(|at| at as u8));
    reference.write(&std::array::from_fn::<u8, 15, _>(|at| at as u8));
    assert_eq!(reference.finish(), 0xa129_ca61_49be_45e5);
    let other = FingerprintKey::new([8; 16]);
    assert_ne!(other.passport("i", "p"), FINGERPRINTS.passport("i", "p"));
    assert_eq!(format!("{other:?}"), "FingerprintKey");
}

proptest! {
    #[test]
    fn any_head_reads_back(
        number in 1_u64..=1 << 53,
        revocations in 0_u64..=1 << 53,
        count in 0_u64..=4 << 20,
        digest: u64,
        sha256: [u8; 32],
        random: [u8; 16],
        age in 0_i64..1 << 40,
        followed in proptest::collection::btree_map("https://[a-z0-9]{1,9}\\.example", 0_i64..1 << 42, 0..5),
    ) {
        let head = Head {
            gate: GATE.into(),
            time: NOW.plus_millis(-age),
            number: number.max(revocations),
            snapshot_number: number,
            snapshot_sha256: sha256,
            revocations: portcullis_core::live::RevocationState { number: revocations, count, digest },
            followed: followed.into_iter().map(|(name, time)| (name, UnixTime::from_millis(time))).collect(),
            echo: base64::encode_url(&random),
        };
        let token = head.sign(&key(9), "k1");
        prop_assert_eq!(Head::read(token.as_bytes(), GATE, &keys(), NOW).unwrap(), head);
    }

    #[test]
    fn any_page_and_delta_read_back(
        sets in proptest::collection::btree_map(any::<u64>(), any::<bool>(), 0..50),
        since in 0_u64..1 << 52,
        steps in 1_u64..1 << 52,
        secret: [u8; 16],
    ) {
        let (key_of_gate, number) = (FingerprintKey::new(secret), since + steps);
        let all: Vec<u64> = sets.keys().copied().collect();
        let (from, to) = (all.first().copied().unwrap_or(0), all.last().copied().unwrap_or(u64::MAX));
        let page = RevocationPage { gate: GATE.into(), number, key: key_of_gate, from, to, fingerprints: all };
        let token = page.sign(&key(8), "k2");
        prop_assert_eq!(RevocationPage::read(token.as_bytes(), GATE, &keys(), NOW).unwrap(), page);

        let part = |is_added| sets.iter().filter(|(_, added)| **added == is_added).map(|(one, _)| *one).collect();
        let (added, removed) = (part(true), part(false));
        let delta = RevocationDelta { gate: GATE.into(), since, number, key: key_of_gate, added, removed };
        let token = delta.sign(&key(8), "k2");
        prop_assert_eq!(RevocationDelta::read(token.as_bytes(), GATE, &keys(), NOW).unwrap(), delta);
    }

    #[test]
    fn any_bytes_are_no_document(bytes: Vec<u8>) {
        prop_assert!(Head::read(&bytes, GATE, &keys(), NOW).is_err());
        prop_assert!(RevocationPage::read(&bytes, GATE, &keys(), NOW).is_err());
        let _ = TrustResponse::read(&bytes);
    }
}
