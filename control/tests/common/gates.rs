//! Gates that are enrolled, and their signed calls.

use super::Bench;
use super::passports::now;
use portcullis_core::live::Call;
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use xtask::http::{Request, Response};

pub fn text(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
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

/// Enrols with the public half of `key`, signed by `signer`.
pub fn enrol(bench: &Bench, token: &str, key: &SecretKey, signer: &SecretKey) -> Response {
    let body = json!({"token": token, "public_key": base64::encode(&key.public_key())}).to_string();
    signed(bench.service.address, signer, ("POST", "/gate/v1/enrol", "", body.as_bytes()), now(), [1; 16])
}
