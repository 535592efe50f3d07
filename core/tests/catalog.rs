//! Catalogs: what one may say, what it takes to believe it, and what a newer one changes.

use portcullis_core::catalog::{
    Catalog, CatalogError, Change, ChangeKind, Permission, PricingModel, Published, changes, draft,
    verify_answer,
};
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};

fn permission(key: &str, constraints: Value) -> Value {
    json!({"permission_key": key, "display_name": key, "description": "", "constraints": constraints})
}

fn read(permissions: Value) -> Result<Vec<Permission>, String> {
    let text = json!({ "permissions": permissions }).to_string();
    draft(text.as_bytes()).map_err(|error| error.to_string())
}

fn one(constraints: Value) -> Result<Permission, String> {
    read(json!([permission("flights:search", constraints)])).map(|mut all| all.remove(0))
}

fn catalog() -> Catalog {
    let terms = json!({"core:pricing:per_call_cents": 5, "core:sla:uptime_basis_points": 9990});
    Catalog {
        gate_id: "gate_a".to_owned(),
        version: 3,
        published_at: UnixTime::from_iso("2026-06-01T12:00:00.000Z").unwrap(),
        permissions: vec![one(terms).unwrap()],
    }
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

fn verify(snapshot: &str, hash: &str, signature: &str, key: &SecretKey) -> Result<Catalog, CatalogError> {
    let public_key = base64::encode(&key.public_key());
    let published =
        Published { snapshot: snapshot.as_bytes(), content_hash: hash, signature, public_key: &public_key };
    published.verify()
}

#[test]
fn what_a_gate_has_signed_is_read_back_whatever_the_form_of_its_json() {
    let signed = catalog().sign(&key(1)).unwrap();
    assert_eq!(
        signed.snapshot,
        r#"{"gate_id":"gate_a","permissions":[{"constraints":{"core:pricing:currency":"USD","core:pricing:model":"per_call","core:pricing:per_call_cents":5,"core:sla:uptime_basis_points":9990},"description":"","display_name":"flights:search","min_trust_level":1,"permission_key":"flights:search","risk_level":"low"}],"published_at":"2026-06-01T12:00:00.000Z","version":3}"#
    );
    let pretty = serde_json::from_str::<Value>(&signed.snapshot).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    for (text, hash) in [
        (signed.snapshot.as_str(), signed.content_hash.clone()),
        (pretty.as_str(), format!("sha256:{}", signed.content_hash)),
    ] {
        assert_eq!(verify(text, &hash, &signed.signature, &key(1)), Ok(catalog()));
    }
}

#[test]
fn terms_that_were_changed_are_found_whatever_else_was_changed_with_them() {
    let signed = catalog().sign(&key(1)).unwrap();
    let cheaper = signed.snapshot.replace("per_call_cents\":5", "per_call_cents\":4");
    let (hash, signature) = (&signed.content_hash, &signed.signature);
    let found = verify(&cheaper, hash, signature, &key(1));
    let Err(CatalogError::HashMismatch { found }) = found else { panic!("{found:?}") };
    // With a hash that fits, the signature does not.
    assert_eq!(verify(&cheaper, &found, signature, &key(1)), Err(CatalogError::SignatureInvalid));
    assert_eq!(verify(&signed.snapshot, hash, signature, &key(2)), Err(CatalogError::SignatureInvalid));
    let short = base64::encode(&[0; 63]);
    assert_eq!(verify(&signed.snapshot, hash, &short, &key(1)), Err(CatalogError::SignatureMalformed));
    // The other reader of a doubled member would see other terms.
    let doubled = signed.snapshot.replace("\"version\":3", "\"version\":3,\"version\":3");
    assert!(matches!(verify(&doubled, hash, signature, &key(1)), Err(CatalogError::Unreadable(_))));
    let of_no_key = Published {
        snapshot: signed.snapshot.as_bytes(),
        content_hash: hash,
        signature,
        public_key: &base64::encode(&[0; 32]),
    };
    assert_eq!(of_no_key.verify(), Err(CatalogError::KeyMalformed));
}

#[test]
fn what_is_signed_and_no_catalog_is_refused() {
    for text in [
        r#"{"gate_id":"gate_a"}"#,
        r#"{"gate_id":"gate_a","permissions":[],"published_at":"2026-06-01T12:00:00.000Z","version":0}"#,
    ] {
        let hash = portcullis_core::sha256(text.as_bytes());
        let signature = base64::encode(&key(1).sign(&hash));
        let found = verify(text, &portcullis_core::live::hex(&hash), &signature, &key(1));
        assert!(matches!(found, Err(CatalogError::Form(_))), "{found:?}");
    }
}

#[test]
fn a_price_is_one_whole_number_of_cents_of_its_model() {
    let price =
        |constraints| one(constraints).map(|one| one.terms.price.map(|price| (price.model, price.cents)));
    for (constraints, expected) in [
        (json!({}), None),
        (json!({"core:pricing:per_call_cents": 0}), Some((PricingModel::PerCall, 0))),
        (json!({"core:pricing:per_minute_cents": 7}), Some((PricingModel::PerMinute, 7))),
        (json!({"core:pricing:subscription_cents": 900}), Some((PricingModel::Subscription, 900))),
        (
            json!({"core:pricing:model": "usage", "core:pricing:per_call_cents": 2, "core:pricing:currency": "USD"}),
            Some((PricingModel::Usage, 2)),
        ),
        (
            json!({"core:pricing:per_call_cents": 100_000_000_000_u64}),
            Some((PricingModel::PerCall, 100_000_000_000)),
        ),
    ] {
        assert_eq!(price(constraints), Ok(expected));
    }
    for (constraints, field) in [
        (json!({"core:pricing:per_call_cents": -1}), "core:pricing:per_call_cents"),
        (json!({"core:pricing:per_call_cents": 1.5}), "core:pricing:per_call_cents"),
        (json!({"core:pricing:per_call_cents": 1.0}), "core:pricing:per_call_cents"),
        (json!({"core:pricing:per_call_cents": "5"}), "core:pricing:per_call_cents"),
        (json!({"core:pricing:per_call_cents": 100_000_000_001_u64}), "core:pricing:per_call_cents"),
        (json!({"core:pricing:model": "per_moon", "core:pricing:per_call_cents": 1}), "core:pricing:model"),
        (json!({"core:pricing:model": "per_call"}), "core:pricing:per_call_cents"),
        (
            json!({"core:pricing:model": "per_call", "core:pricing:per_minute_cents": 1}),
            "core:pricing:per_minute_cents",
        ),
        (
            json!({"core:pricing:per_call_cents": 1, "core:pricing:subscription_cents": 1}),
            "core:pricing:subscription_cents",
        ),
        (json!({"core:pricing:currency": "EUR"}), "core:pricing:currency"),
        (json!({"core:sla:uptime_basis_points": 10_001}), "core:sla:uptime_basis_points"),
        (json!({"core:sla:response_time_ms": 0}), "core:sla:response_time_ms"),
        (json!({"core:platform_fee:basis_points": 10_001}), "core:platform_fee:basis_points"),
        (json!({"core:rate:max_per_minute": 5}), "core:rate:max_per_minute"),
    ] {
        let error = price(constraints).unwrap_err();
        assert!(error.starts_with(&format!("permissions[0].constraints.{field}: ")), "{error}");
    }
    // A number beyond 2^53 is another number to another reader.
    assert!(price(json!({"core:pricing:per_call_cents": u64::MAX})).is_err());
}

#[test]
fn a_permission_has_the_members_it_must_and_no_other() {
    let whole = permission("a:b", json!({}));
    let with = |name: &str, value: Value| {
        let mut changed = whole.clone();
        changed[name] = value;
        json!([changed])
    };
    assert!(read(json!([whole])).is_ok());
    let mut nameless = whole.clone();
    nameless.as_object_mut().unwrap().remove("display_name");
    for (permissions, field) in [
        (json!([nameless]), "permissions[0].display_name: is missing"),
        (with("permission_key", json!("a:*")), "permissions[0].permission_key: "),
        (with("permission_key", json!("")), "permissions[0].permission_key: "),
        (with("display_name", json!("")), "permissions[0].display_name: "),
        (with("description", json!("x".repeat(2001))), "permissions[0].description: "),
        (with("risk_level", json!("grave")), "permissions[0].risk_level: "),
        (with("min_trust_level", json!(4)), "permissions[0].min_trust_level: "),
        (with("price", json!(4)), "permissions[0].price: is unknown"),
        (json!([whole, whole]), "permissions: has a permission_key twice"),
        (Value::Array(vec![whole.clone(); 257]), "permissions: must be at most 256"),
    ] {
        let error = read(permissions).unwrap_err();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn a_catalog_that_is_too_long_is_not_signed() {
    let described = |index: usize| {
        let mut one = permission(&format!("a:{index}"), json!({}));
        one["description"] = "d".repeat(2000).into();
        one
    };
    let permissions = read((0..40).map(described).collect()).unwrap();
    let error = Catalog { permissions, ..catalog() }.sign(&key(1)).unwrap_err();
    assert_eq!(error.path, "permissions");
}

#[test]
fn changes_say_what_is_worse() {
    let found = |old: Value, new: Value| -> Vec<(ChangeKind, bool)> {
        let found = changes(&[one(old).unwrap()], &[one(new).unwrap()]);
        found.into_iter().map(|change| (change.kind, change.breaking)).collect()
    };
    let call = |cents: u64| json!({"core:pricing:per_call_cents": cents});
    let sla = |name: &str, value: u64| json!({format!("core:sla:{name}"): value});
    for (old, new, expected) in [
        (call(5), call(5), vec![]),
        (call(5), call(6), vec![(ChangeKind::PriceIncrease, true)]),
        (json!({}), call(6), vec![(ChangeKind::PriceIncrease, true)]),
        (call(6), call(5), vec![(ChangeKind::PriceDecrease, false)]),
        (call(6), json!({}), vec![(ChangeKind::PriceDecrease, false)]),
        (call(6), json!({"core:pricing:per_minute_cents": 1}), vec![(ChangeKind::PricingModelChanged, true)]),
        (json!({"core:pricing:free_tier_calls": 5}), json!({}), vec![(ChangeKind::PricingDegraded, true)]),
        (json!({}), json!({"core:platform_fee:basis_points": 5}), vec![(ChangeKind::PricingDegraded, true)]),
        (json!({"core:platform_fee:basis_points": 5}), json!({}), vec![(ChangeKind::PricingImproved, false)]),
        (
            sla("uptime_basis_points", 9990),
            sla("uptime_basis_points", 9900),
            vec![(ChangeKind::SlaDegraded, true)],
        ),
        (sla("uptime_basis_points", 9990), json!({}), vec![(ChangeKind::SlaDegraded, true)]),
        (json!({}), sla("uptime_basis_points", 9990), vec![(ChangeKind::SlaImproved, false)]),
        (sla("response_time_ms", 100), sla("response_time_ms", 200), vec![(ChangeKind::SlaDegraded, true)]),
        (sla("response_time_ms", 100), json!({}), vec![(ChangeKind::SlaDegraded, true)]),
        (sla("p99_response_ms", 200), sla("p99_response_ms", 100), vec![(ChangeKind::SlaImproved, false)]),
    ] {
        assert_eq!(found(old.clone(), new.clone()), expected, "{old} {new}");
    }
}

#[test]
fn what_is_added_removed_or_told_otherwise_is_a_change_of_its_permission() {
    let mut raised = permission("a", json!({}));
    raised["min_trust_level"] = 2.into();
    let mut renamed = permission("b", json!({}));
    renamed["display_name"] = "B".into();
    let old =
        read(json!([permission("a", json!({})), permission("b", json!({})), permission("c", json!({}))]));
    let new = read(json!([renamed, raised, permission("d", json!({}))])).unwrap();
    let found = changes(&old.unwrap(), &new);
    let told: Vec<_> = found.iter().map(|one: &Change| (one.permission_key.as_str(), one.kind)).collect();
    assert_eq!(
        told,
        [
            ("a", ChangeKind::TrustLevelRaised),
            ("b", ChangeKind::DescriptionChanged),
            ("c", ChangeKind::PermissionRemoved),
            ("d", ChangeKind::PermissionAdded),
        ]
    );
    assert_eq!(
        serde_json::to_value(&found[2]).unwrap(),
        json!({"type": "permission_removed", "permission_key": "c", "breaking": true})
    );
    let rise = changes(
        &[one(json!({"core:pricing:per_call_cents": 1})).unwrap()],
        &[one(json!({"core:pricing:per_call_cents": 2})).unwrap()],
    );
    let rise = serde_json::to_value(&rise[0]).unwrap();
    assert_eq!((&rise["old_price_cents"], &rise["new_price_cents"]), (&json!(1), &json!(2)));
}

#[test]
fn an_answer_is_believed_as_far_as_it_says_what_was_signed() {
    let signed = catalog().sign(&key(1)).unwrap();
    let public_key = base64::encode(&key(1).public_key());
    let one = json!({
        "gate_id": "gate_a", "version": 3, "catalog_snapshot": serde_json::from_str::<Value>(&signed.snapshot).unwrap(),
        "content_hash": signed.content_hash, "signature": signed.signature, "public_key": public_key,
    });
    let service = json!({
        "gate_id": "gate_a", "permission_key": "flights:search", "catalog_version": 3, "price_cents": 5,
        "pricing_model": "per_call", "currency": "USD", "uptime_basis_points": 9990,
        "catalog_content_hash": signed.content_hash,
    });
    let told = |answer: &Value, key: Option<&str>| {
        let answer = verify_answer(answer.to_string().as_bytes(), key);
        answer.map(|answer| answer.services).map_err(|error| (error.path, error.error.code()))
    };
    assert_eq!(told(&one, Some(&public_key)), Ok(0));
    let page = json!({"catalogs": [one], "services": [service]});
    assert_eq!(told(&page, None), Ok(1));
    assert_eq!(told(&page, Some("other")), Err(("catalogs[0]".to_owned(), "public_key_unexpected")));
    for (member, value) in [
        ("catalog_content_hash", json!("00")),
        ("catalog_version", json!(2)),
        ("currency", json!("EUR")),
        ("gate_id", json!("gate_b")),
        ("permission_key", json!("flights:book")),
        ("platform_fee_basis_points", json!(1)),
        ("price_cents", json!(4)),
        ("pricing_model", json!("usage")),
        ("response_time_ms", json!(1)),
        ("uptime_basis_points", Value::Null),
    ] {
        let mut changed = page.clone();
        changed["services"][0][member] = value;
        assert_eq!(told(&changed, None), Err((format!("services[0].{member}"), "terms_mismatch")));
    }
    for (member, value) in [("gate_id", json!("gate_b")), ("version", json!(4))] {
        let mut changed = page.clone();
        changed["catalogs"][0][member] = value;
        assert_eq!(told(&changed, None), Err((format!("catalogs[0].{member}"), "terms_mismatch")));
    }
    // The key and the signature of a row are the catalog's.
    let mut rows = page.clone();
    rows["services"][0]["public_key"] = json!(public_key);
    rows["services"][0]["catalog_signature"] = json!(signed.signature);
    assert_eq!(told(&rows, Some(&public_key)), Ok(1));
    for member in ["public_key", "catalog_signature"] {
        let mut changed = rows.clone();
        changed["services"][0][member] = json!(base64::encode(&key(2).public_key()));
        assert_eq!(told(&changed, None), Err((format!("services[0].{member}"), "terms_mismatch")));
    }
    // What nobody would look at is nothing to believe.
    let mut beside = one.clone();
    beside["catalogs"] = json!([]);
    assert_eq!(told(&beside, None), Err((String::new(), "snapshot_malformed")));
    let mut beside = one;
    beside["services"] = json!([]);
    assert_eq!(told(&beside, None), Err((String::new(), "snapshot_malformed")));
    assert_eq!(told(&json!({}), None), Err((String::new(), "snapshot_malformed")));
    assert_eq!(told(&json!({"catalogs": {}}), None), Err((String::new(), "snapshot_malformed")));
}
