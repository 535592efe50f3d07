//! Passports that are pinned to a catalog, at a gate that has published some.

use crate::common::{NOW, Request, config, decide, decide_once, draft, key, snapshot};
use portcullis_core::json::canonical_text;
use portcullis_core::modei::{
    CatalogPin, Issuer, RootKind, Signed, delegate, from_json, issue, issue_pinned, verify,
};
use portcullis_core::{Config, CredentialCache, Snapshot, Trust, TrustConfig, base64};

const FIRST: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn trust() -> String {
    let key = base64::encode(&key(8).public_key());
    format!(
        r#"{{"issuers":[{{"id":"gate_test","type":"gate","tier":3,"actions":["*"],
        "keys":[{{"key_id":"k1","public_key":"{key}"}}]}}]}}"#
    )
}

/// A gate that has published these.
fn gate(hashes: &str) -> Snapshot {
    let config =
        config(&trust()).replacen("\"trust\":", &format!("\"catalog_hashes\":{hashes},\"trust\":"), 1);
    Snapshot::new(&Config::from_json(config.as_bytes()).unwrap()).unwrap()
}

fn by() -> Issuer {
    Issuer {
        kind: RootKind::Gate,
        id: "gate_test".into(),
        key_id: "k1".into(),
        gate_id: Some("gate_test".into()),
    }
}

fn pinned(version: i64, hash: &str) -> Signed {
    let pin = CatalogPin { version, content_hash: hash.into() };
    issue_pinned(&key(8), &by(), "bot", &key(1).public_key(), &draft("pp_1", &["flights:search"]), Some(&pin))
}

fn header(passport: &Signed) -> String {
    format!(":{}:", base64::encode(passport.to_json().as_bytes()))
}

fn ask(gate: &Snapshot, passport: &Signed) -> &'static str {
    let header = header(passport);
    decide_once(gate, &Request { headers: vec![("agent-passport", &header)], ..Request::default() })
}

#[test]
fn a_pin_must_be_a_version_that_the_gate_has_published_with_its_hash() {
    let gate = gate(&format!(r#"["{FIRST}","{SECOND}"]"#));
    for (version, hash, expected) in [
        (1, FIRST, "ok"),
        (2, SECOND, "ok"),
        (1, SECOND, "catalog_pin_mismatch"),
        (2, FIRST, "catalog_pin_mismatch"),
        (3, SECOND, "catalog_pin_mismatch"),
        (0, FIRST, "catalog_pin_mismatch"),
        (-1, FIRST, "catalog_pin_mismatch"),
        (i64::MAX, FIRST, "catalog_pin_mismatch"),
        (1, "", "catalog_pin_mismatch"),
        (1, "sha256:1111", "catalog_pin_mismatch"),
    ] {
        assert_eq!(ask(&gate, &pinned(version, hash)), expected, "{version} {hash}");
    }
}

#[test]
fn a_gate_that_has_published_nothing_takes_no_pin_and_whoever_has_none_needs_none() {
    let unpinned = issue(&key(8), &by(), "bot", &key(1).public_key(), &draft("pp_1", &["flights:search"]));
    for gate in [snapshot(&trust()), gate("[]"), gate(&format!(r#"["{FIRST}"]"#))] {
        assert_eq!(ask(&gate, &unpinned), "ok");
    }
    assert_eq!(ask(&snapshot(&trust()), &pinned(1, FIRST)), "catalog_pin_mismatch");
}

#[test]
fn half_a_pin_is_one_that_nothing_fits() {
    let whole = pinned(1, FIRST);
    let envelope = canonical_text(whole.envelope());
    for (from, to) in [
        (format!("\"catalog_content_hash\":\"{FIRST}\""), "\"catalog_content_hash\":null"),
        ("\"catalog_version\":1".to_owned(), "\"catalog_version\":null"),
    ] {
        let half = envelope.replacen(&from, to, 1);
        assert_ne!(half, envelope);
        let signature = base64::encode(&key(8).sign(half.as_bytes()));
        let text = format!(r#"{{"passport_json":{half},"signature":"{signature}"}}"#);
        let header = format!(":{}:", base64::encode(text.as_bytes()));
        let request = Request { headers: vec![("agent-passport", &header)], ..Request::default() };
        assert_eq!(decide_once(&gate(&format!(r#"["{FIRST}"]"#)), &request), "catalog_pin_mismatch");
    }
}

#[test]
fn a_delegated_passport_has_the_pin_of_its_root() {
    let root = pinned(1, FIRST);
    let child = delegate(&root, &key(1), &key(2).public_key(), &draft("pp_2", &["flights:search"])).unwrap();
    let trust =
        Trust::new(&TrustConfig::from_json(trust().as_bytes()).unwrap(), portcullis_core::Profile::L1);
    let verified = verify(&from_json(child.to_json().into_bytes()), &trust.unwrap().roots_at(NOW)).unwrap();
    assert_eq!(verified.catalog_pin(), Some(&CatalogPin { version: 1, content_hash: FIRST.into() }));
    assert_eq!(ask(&gate(&format!(r#"["{FIRST}"]"#)), &child), "ok");
    assert_eq!(ask(&gate(&format!(r#"["{SECOND}"]"#)), &child), "catalog_pin_mismatch");
}

#[test]
fn a_known_passport_is_judged_by_the_catalogs_of_the_day() {
    let (header, mut cache) = (header(&pinned(2, SECOND)), CredentialCache::new(1 << 20));
    let request = || Request { headers: vec![("agent-passport", &header)], ..Request::default() };
    let both = gate(&format!(r#"["{FIRST}","{SECOND}"]"#));
    let one = gate(&format!(r#"["{FIRST}"]"#));
    assert_eq!(decide(&both, &request(), NOW, &mut cache), "ok");
    assert_eq!(decide(&one, &request(), NOW, &mut cache), "catalog_pin_mismatch");
}

#[test]
fn hashes_are_sixty_four_digits_each_and_not_without_end() {
    let read = |hashes: String| {
        let text =
            config(&trust()).replacen("\"trust\":", &format!("\"catalog_hashes\":{hashes},\"trust\":"), 1);
        let config = Config::from_json(text.as_bytes()).and_then(|config| Snapshot::new(&config));
        config.map(|_| ()).map_err(|error| error.path)
    };
    let many = |count: usize| format!("[{}]", vec![format!("\"{FIRST}\""); count].join(","));
    assert_eq!(read(many(1000)), Ok(()));
    let wrong = Err("catalog_hashes".to_owned());
    assert_eq!(read(many(1001)), wrong);
    assert_eq!(read(r#"["11"]"#.to_owned()), wrong);
    assert_eq!(read(format!("[\"{}\"]", FIRST.replace('1', "A"))), wrong);
}
