//! What must hold of a passport that was let in.

use super::gate::{GATE, NOW, issuers};
use super::keys::key;
use portcullis_core::modei::{
    Passport, RootKind, SelfContained, SignedEnvelope, self_agent_id, self_issuer_id, verify,
};
use portcullis_core::{Denial, Reason, UnixTime, base64, json};
use serde_json::Value;

/// The verdict of a gate that trusts some; checked against that of one that trusts
/// nobody, of Modei's own rule, and of itself when asked again.
pub(super) fn judged(signed: &SignedEnvelope) -> Result<Passport, Denial> {
    let (trusted, alone) = (verdict(signed), verify(signed, &SelfContained));
    assert_eq!(format!("{trusted:?}"), format!("{:?}", verdict(signed)), "the same passport, another answer");
    let nobodys = verify(signed, &GATE.nobody.roots_at(NOW));
    assert!(nobodys.is_err(), "a gate that trusts nobody let in {nobodys:?}");

    match (&alone, &trusted) {
        (Ok(alone), Ok(trusted)) => {
            assert_eq!(contents(alone), contents(trusted));
            assert_eq!(alone.root().kind(), RootKind::SelfIssued);
        }
        (Ok(alone), Err(denial)) => {
            panic!("the gate takes self-issued passports, but not {alone:?}: {denial}")
        }
        (Err(denial), Ok(trusted)) => {
            assert_eq!(denial.reason, Reason::SignatureKeyUnavailable, "{trusted:?}");
            assert_ne!(trusted.root().kind(), RootKind::SelfIssued);
        }
        (Err(_), Err(_)) => {}
    }
    trusted
}

/// The gate's verdict alone.
pub(super) fn verdict(signed: &SignedEnvelope) -> Result<Passport, Denial> {
    verify(signed, &GATE.trust.roots_at(NOW))
}

/// Everything about a passport but how it was signed, and how its numbers were written:
/// `5` and `5.0` are signed alike.
pub(super) fn contents(passport: &Passport) -> String {
    let hops: Vec<_> = passport.hops().collect();
    let limits = |(key, limits): (&str, &json::Object<'static>)| {
        (key.to_owned(), json::canonical_text(&limits.clone().into()))
    };
    let permissions: Vec<_> = passport.permissions().iter().map(limits).collect();
    let (name, key, root) = (passport.agent_name(), passport.public_key(), passport.root());
    format!("{name:?} {key:?} {root:?} {hops:?} {permissions:?}")
}

/// The bytes that a passport's text has signed, whatever way it writes them.
pub(super) fn signed_text(text: &[u8]) -> Option<String> {
    let value = json::parse(text, LIMITS).ok()?;
    Some(json::canonical_text(value.as_object()?.get("passport_json")?))
}

/// The same passport, written otherwise: by another writer, with space around everything.
pub(super) fn rewritten(text: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(text).expect("what was let in is JSON to others too");
    serde_json::to_vec_pretty(&value).expect("a value is JSON")
}

/// Holds an accepted passport against the envelope that it was read from, as another
/// parser reads it.
pub(super) fn check_contents(passport: &Passport, envelope: &Value) {
    let none = Vec::new();
    let chain = envelope["provenance"]["delegation_chain"].as_array().unwrap_or(&none);
    let envelopes: Vec<_> = chain.iter().map(|link| &link["passport_json"]).chain([envelope]).collect();
    let hops: Vec<_> = passport.hops().collect();
    assert_eq!(hops.len(), envelopes.len());
    assert_eq!(passport.depth(), chain.len());
    assert!(passport.depth() <= 5, "delegated {} times", passport.depth());

    for (index, (hop, envelope)) in hops.iter().zip(&envelopes).enumerate() {
        let provenance = &envelope["provenance"];
        assert_eq!(hop.passport_id(), envelope["passport_id"]);
        assert_eq!(hop.agent_id(), envelope["identity"]["agent_id"]);
        assert_eq!(Some(hop.issued_at()), time(&provenance["issued_at"]));
        assert_eq!(Some(hop.expires_at()), time(&provenance["expires_at"]));
        assert!(hop.issued_at() < hop.expires_at());
        assert!(passport.issued_at() >= hop.issued_at() && passport.expires_at() <= hop.expires_at());
        assert!(index == 0 || hop.expires_at() <= hops[index - 1].expires_at(), "it outlives its parent");
        for id in [hop.passport_id(), hop.agent_id()] {
            assert!(
                (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
                "{id:?}"
            );
        }
        let is_own = index > 0 || passport.root().kind() == RootKind::SelfIssued;
        let key = envelope["identity"]["public_key"].as_str().and_then(base64::decode_array::<32>);
        assert!(!is_own || Some(hop.agent_id().into()) == key.map(|key| self_agent_id(&key)));
        if index < chain.len() {
            assert_eq!(envelope["delegation_authority"], true);
            let own_chain = provenance["delegation_chain"].as_array();
            assert_eq!(
                own_chain.unwrap_or(&none).as_slice(),
                &chain[..index],
                "a chain within tells another story"
            );
        }
    }
    assert_eq!(base64::encode(passport.public_key()), envelope["identity"]["public_key"]);
    assert_eq!(passport.root().issuer(), envelopes[0]["provenance"]["issuer"]["id"]);
    check_root(passport, &envelopes[0]["provenance"]["issuer"]);
    check_permissions(passport, &envelopes);
}

fn check_root(passport: &Passport, issuer: &Value) {
    let root = passport.root();
    assert_eq!(issuer["type"], root.kind().name());
    assert_eq!(issuer["key_id"], root.key_id());
    let managed = issuers().into_iter().find(|(managed, _)| managed.id == root.issuer());
    match managed {
        Some((managed, owner)) => {
            assert_eq!(managed.kind, root.kind());
            assert_eq!(managed.key_id, root.key_id());
            assert_eq!(root.key(), &key(owner).public_key());
        }
        None => assert_eq!(root.issuer(), self_issuer_id(root.key())),
    }
}

/// Nothing is granted that an ancestor was not granted, and no limit is lost on the way.
fn check_permissions(passport: &Passport, envelopes: &[&Value]) {
    let granted = envelopes.last().expect("a leaf")["permissions"].as_array().expect("permissions");
    assert_eq!(passport.permissions().iter().count(), granted.len());
    for (parent, child) in envelopes.iter().zip(envelopes.iter().skip(1)) {
        check_added_limits(parent, child);
    }
    for (key, effective) in passport.permissions().iter() {
        let effective: Value =
            serde_json::from_str(&json::canonical_text(&effective.clone().into())).expect("JSON");
        for envelope in envelopes {
            let permissions = envelope["permissions"].as_array().expect("permissions");
            let own = permissions.iter().find(|permission| permission["permission_key"] == *key);
            let own = own.unwrap_or_else(|| panic!("an ancestor was not granted {key:?}"));
            for (dimension, limit) in own["constraints"].as_object().expect("constraints") {
                let kept = effective.get(dimension);
                let kept = kept.unwrap_or_else(|| panic!("{dimension:?} of {key:?} was lost"));
                assert!(is_within(kept, limit, dimension), "{dimension:?} of {key:?} is {kept}, not {limit}");
            }
        }
    }
}

/// A limit that the parent does not have would be one that the parent's issuer never
/// spoke of.
fn check_added_limits(parent: &Value, child: &Value) {
    let permissions = |envelope: &Value| envelope["permissions"].as_array().expect("permissions").clone();
    for permission in permissions(child) {
        let key = &permission["permission_key"];
        let parents = permissions(parent).into_iter().find(|other| other["permission_key"] == *key);
        let parents = parents.unwrap_or_else(|| panic!("the parent was not granted {key}"));
        for dimension in permission["constraints"].as_object().expect("constraints").keys() {
            assert!(parents["constraints"].get(dimension).is_some(), "{dimension:?} of {key} was added");
        }
    }
}

fn is_within(kept: &Value, limit: &Value, dimension: &str) -> bool {
    match (kept, limit) {
        (Value::Number(kept), Value::Number(limit))
            if dimension.starts_with("max_") || dimension.starts_with("rate_") =>
        {
            kept.as_f64() <= limit.as_f64()
        }
        (Value::Array(kept), Value::Array(limit)) if dimension.starts_with("allowed_") => {
            kept.iter().all(|entry| limit.iter().any(|other| is_same(entry, other)))
        }
        _ => is_same(kept, limit),
    }
}

/// Equal, numbers by what they are and not by how they are written.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => super::json::is_close(left.as_f64(), right.as_f64()),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| is_same(left, right)))
        }
        (left, right) => left == right,
    }
}

fn time(value: &Value) -> Option<UnixTime> {
    UnixTime::from_iso(value.as_str()?)
}

/// Wider than the core's own for passports, so that these doors never refuse first.
pub(super) const LIMITS: json::Limits = json::Limits { bytes: 1 << 20, depth: 80, values: 1 << 17 };
