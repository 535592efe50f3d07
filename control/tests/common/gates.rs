//! Gates that are enrolled, and their signed calls.

use super::Bench;
use super::passports::now;
use portcullis_core::live::Call;
use portcullis_core::{GateConfiguration, SecretKey, ServiceConfig, UnixTime, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use xtask::http::{Request, Response};

pub fn text(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Makes a gate in the service, configures it for `/flights`, and enrols it with this key; gives
/// its configuration for a proxy.
pub fn enrolled(bench: &Bench, id: &str, key: &SecretKey) -> ServiceConfig {
    let made = json!({"gate_id": id, "name": id, "profile": "L1", "allow_self_issued": true});
    assert_eq!(bench.call("POST", "/api/gates", Some(made)).0, 201);
    configure(bench, id, "/flights");
    let answer = enrol(bench, &token(bench, id), key, key);
    assert_eq!(answer.status, 201, "{}", text(&answer));
    let enrolled: Value = serde_json::from_slice(&answer.body).unwrap();
    let keys = enrolled.get("service_keys");
    let config = json!({"gate": {"id": id}, "service": {
        "cluster": "control", "authority": "control.internal", "keys": keys}});
    let config = match GateConfiguration::from_json(config.to_string().as_bytes()).unwrap() {
        GateConfiguration::Live(config) => Some(config),
        GateConfiguration::Static(_) => None,
    };
    config.unwrap()
}

/// A request signed at `created`.
pub fn signed(
    to: SocketAddr,
    key: &SecretKey,
    (method, path, query, body): (&str, &str, &str, &[u8]),
    created: UnixTime,
    nonce: [u8; 16],
) -> Response {
    let authority = to.to_string();
    let call = Call { method, authority: &authority, path, query, body };
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut request = Request::new(method, &target);
    request.headers = call.sign(key, created, &nonce).into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    request.body = body.to_vec();
    request.send(to).unwrap()
}

pub fn configure(bench: &Bench, gate: &str, path: &str) {
    let config = json!({"authorities": ["gate.test"], "routes": [{"path": path, "methods": ["GET"], "action": "flights:search"}]});
    let (status, answer) = bench.call("PUT", &format!("/api/v1/gates/{gate}/config"), Some(config));
    assert_eq!(status, 200, "{answer}");
}

pub fn token(bench: &Bench, gate: &str) -> String {
    let path = format!("/api/v1/gates/{gate}/enrolment-tokens");
    let (status, answer) = bench.call("POST", &path, Some(json!({})));
    assert_eq!(status, 201, "{answer}");
    answer.get("token").and_then(Value::as_str).unwrap().to_owned()
}

/// With a gate's key, and the key that signs its records.
pub fn bringing(mut body: Value, key: &SecretKey) -> Value {
    let members = body.as_object_mut().unwrap();
    for (name, key) in [("public_key", key), ("attestation_key", &key.attestation_key())] {
        members.insert(name.to_owned(), json!(base64::encode(&key.public_key())));
    }
    body
}

/// Enrols with the public half of `key`, signed by `signer`.
pub fn enrol(bench: &Bench, token: &str, key: &SecretKey, signer: &SecretKey) -> Response {
    let body = bringing(json!({"token": token}), key).to_string();
    signed(bench.service.address, signer, ("POST", "/gate/v1/enrol", "", body.as_bytes()), now(), [1; 16])
}
