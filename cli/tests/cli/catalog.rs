//! `portcullis catalog verify`: terms that anyone checks alone.

use crate::support::{Desk, Outcome};
use portcullis_core::catalog::{Catalog, draft};
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;

fn catalog(gate: &str, version: u64) -> Catalog {
    let permissions = br#"{"permissions":[
        {"permission_key":"flights:search","display_name":"Search","description":"","constraints":
            {"core:pricing:per_call_cents":5,"core:sla:uptime_basis_points":9990}},
        {"permission_key":"flights:list","display_name":"List","description":""}]}"#;
    Catalog {
        gate_id: gate.to_owned(),
        version,
        published_at: UnixTime::from_iso("2026-06-01T12:00:00.000Z").expect("a time"),
        permissions: draft(permissions).expect("permissions"),
    }
}

/// As the service answers with it.
fn published(gate: &str, version: u64) -> Value {
    let key = SecretKey::from_seed([1; 32]);
    let signed = catalog(gate, version).sign(&key).expect("a catalog");
    json!({
        "gate_id": gate, "version": version, "content_hash": signed.content_hash,
        "catalog_snapshot": serde_json::from_str::<Value>(&signed.snapshot).expect("JSON"),
        "signature": signed.signature, "public_key": base64::encode(&key.public_key()),
        "signing_key_id": "k1", "changes": [],
    })
}

fn discovered() -> Value {
    let catalogs = [published("gate_a", 1), published("gate_b", 7)];
    let service = |catalog: &Value| {
        json!({
            "gate_id": catalog["gate_id"], "permission_key": "flights:search", "pricing_model": "per_call",
            "price_cents": 5, "currency": "USD", "uptime_basis_points": 9990, "response_time_ms": null,
            "platform_fee_basis_points": null, "catalog_version": catalog["version"],
            "catalog_content_hash": catalog["content_hash"],
        })
    };
    let services: Vec<_> = catalogs.iter().map(service).collect();
    json!({"services": services, "catalogs": catalogs, "total": 2})
}

fn key(seed: u8) -> String {
    base64::encode(&SecretKey::from_seed([seed; 32]).public_key())
}

fn verify(answer: &Value, more: &[&str]) -> Outcome {
    let desk = Desk::new();
    desk.write("answer.json", answer.to_string());
    desk.run(&[["--json", "catalog", "verify", "answer.json"].as_slice(), more].concat())
}

fn reason(answer: &Value) -> (i32, String) {
    let outcome = verify(answer, &[]);
    let told: Value = serde_json::from_str(&outcome.out).expect("JSON");
    (outcome.code, told["reason_code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_published_catalog_and_a_page_of_discovery_are_valid_by_themselves() {
    let (desk, key) = (Desk::new(), key(1));
    desk.write("catalog.json", published("gate_a", 1).to_string());
    let told = desk.done_json(&["catalog", "verify", "catalog.json", "--key", &key]);
    assert_eq!((&told["valid"], &told["catalogs"][0]["version"]), (&json!(true), &json!(1)));
    assert_eq!(told["catalogs"][0]["permissions"][0]["price_cents"], 5);
    let text = desk.done(&["catalog", "verify", "catalog.json", "--key", &key]);
    assert!(text.contains("valid: 1 catalog") && text.contains("flights:search $0.05 per_call"), "{text}");
    desk.write("found.json", discovered().to_string());
    let told = desk.done_json(&["catalog", "verify", "found.json", "--key", &key]);
    assert_eq!((&told["services"], told["catalogs"].as_array().map(Vec::len)), (&json!(2), Some(2)));
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused_wherever_it_stands() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 10] = [
        ("content_hash_mismatch", |all| {
            all["catalogs"][1]["catalog_snapshot"]["permissions"][0]["constraints"]["core:pricing:per_call_cents"] =
                4.into();
        }),
        ("content_hash_mismatch", |all| all["catalogs"][0]["content_hash"] = "00".repeat(32).into()),
        ("signature_invalid", |all| {
            all["catalogs"][0]["signature"] = all["catalogs"][1]["signature"].clone()
        }),
        ("public_key_malformed", |all| all["catalogs"][0]["public_key"] = "AAAA".into()),
        ("snapshot_malformed", |all| all["catalogs"][0]["signature"] = Value::Null),
        ("terms_mismatch", |all| all["catalogs"][0]["version"] = 2.into()),
        ("terms_mismatch", |all| all["services"][0]["price_cents"] = 4.into()),
        ("terms_mismatch", |all| all["services"][0]["uptime_basis_points"] = 9999.into()),
        ("terms_mismatch", |all| all["services"][0]["permission_key"] = "flights:book".into()),
        ("terms_mismatch", |all| all["services"][0]["gate_id"] = "gate_b".into()),
    ];
    assert_eq!(reason(&discovered()), (0, String::new()));
    for (expected, edit) in edits {
        let mut answer = discovered();
        edit(&mut answer);
        assert_eq!(reason(&answer), (1, expected.to_owned()), "{answer}");
    }
    assert_eq!(reason(&json!({"services": [{"gate_id": "gate_a"}], "catalogs": []})).1, "terms_mismatch");
}

#[test]
fn another_key_than_the_gates_is_refused_where_that_is_given() {
    assert_eq!(verify(&discovered(), &["--key", &key(1)]).code, 0);
    let outcome = verify(&discovered(), &["--key", &key(2)]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("public_key_unexpected"), "{}", outcome.out);
    // Whose key it is cannot be known without.
    assert!(verify(&discovered(), &[]).err.contains("--key"));
}

#[test]
fn an_answer_is_got_from_where_it_is() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    let body = discovered().to_string();
    let serve = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a connection");
        let (mut asked, mut part) = (Vec::new(), [0; 1024]);
        while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
            let length = stream.read(&mut part).expect("a request");
            asked.extend_from_slice(part.get(..length).expect("what was read"));
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("an answer");
        String::from_utf8(asked).expect("text")
    });
    let url = format!("http://{address}/api/discover?capability=flights:*");
    let told = Desk::new().done_json(&["catalog", "verify", &url, "--key", &key(1)]);
    assert_eq!(told["valid"], true);
    assert!(serve.join().expect("a request").starts_with("GET /api/discover?capability=flights:* "));
    let said = Desk::new().unusable(&["catalog", "verify", "nothing.json"]);
    assert!(said.contains("nothing.json"), "{said}");
}
