//! The unmodified SimpleGuard of capiscio-sdk signs requests that go through real Envoy.

use crate::sdk::Sdk;
use crate::stand::Stand;
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;
use xtask::envoy_config::EnvoyConfig;
use xtask::workspace::Workspace;

/// Agents of the real SDK in folders of their own, and a gate that trusts one of them.
struct Scene {
    sdk: Sdk,
    stand: Stand,
    /// Whom the gate trusts.
    friend: PathBuf,
    /// Whom it does not, with a `kid` of its own.
    stranger: PathBuf,
    /// Whom it does not, with the friend's `kid`.
    impostor: PathBuf,
    _folder: TempDir,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sdk = Sdk::running("simpleguard.py");
        let mut develop = |name: &str| {
            let path = folder.path().join(name);
            let made = sdk.ask("develop", json!({"folder": path}));
            assert_eq!(made["kid"], "local-dev-key", "as SDK 0.3 names its first key");
            path
        };
        let [friend, stranger, impostor] = ["friend", "stranger", "impostor"].map(&mut develop);
        rename_key(&stranger, "stranger-key");

        let workspace = Workspace::find().unwrap();
        let authority = EnvoyConfig::shipped(&workspace).unwrap().listen_authority().unwrap();
        let key = public_key(&friend.join("capiscio_keys/trusted/local-dev-key.pem"));
        let gate = json!({
            "gate": {"id": "gate_simpleguard"}, "profile": "L1", "authorities": [authority],
            "routes": [
                {"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"},
                {"path": "/twice", "methods": ["GET"], "action": "flights:search", "simpleguard_repeats": "same_second"},
            ],
            "trust": {"simpleguard_agents": [
                {"key_id": "local-dev-key", "public_key": base64::encode(&key), "actions": ["flights:*"]},
            ]},
        });
        let stand = Stand::start(name, &gate.to_string()).unwrap();
        Scene { sdk, stand, friend, stranger, impostor, _folder: folder }
    }

    /// The headers that an agent's SDK makes, with its clock so many seconds ahead.
    fn sign(&mut self, agent: &Path, payload: Value, body: Option<&[u8]>, clock: i64) -> Value {
        let body = body.map(base64::encode);
        let arguments = json!({"folder": agent, "payload": payload, "body": body, "clock": clock});
        self.sdk.ask("sign", arguments)["headers"].clone()
    }

    /// Sends a request; the status, and the reason code or what the upstream saw.
    fn send(&mut self, method: &str, path: &str, headers: &Value, body: Option<&[u8]>) -> (u64, Value) {
        let url = format!("http://{}{path}", self.stand.envoy.listen);
        let body = body.map(base64::encode);
        let arguments = json!({"method": method, "url": url, "headers": headers, "body": body});
        let answer = self.sdk.ask("send", arguments);
        let text = answer["text"].as_str().expect("a text");
        let told: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (answer["status"].as_u64().expect("a status"), told)
    }

    fn refused(&mut self, method: &str, headers: &Value, body: Option<&[u8]>) -> String {
        let served = self.stand.upstream.served();
        let (status, problem) = self.send(method, "/flights", headers, body);
        assert_ne!(status, 200, "{problem}");
        assert_eq!(self.stand.upstream.served(), served, "the upstream saw a request that was refused");
        problem["reason_code"].as_str().expect("a reason").to_owned()
    }
}

#[test]
fn the_real_sdks_requests_pass_and_fail_as_they_should() {
    let mut scene = Scene::new("simpleguard-client");
    let [friend, stranger, impostor] =
        [&scene.friend, &scene.stranger, &scene.impostor].map(|agent| agent.clone());
    let body: &[u8] = br#"{"from": "VIE", "to": "\u00fcberall"}"#;

    // Without a body, and with one.
    let headers = scene.sign(&friend, json!({"sub": "a task", "nested": {"a": [1, 2.5, null]}}), None, 0);
    let (status, seen) = scene.send("GET", "/flights", &headers, None);
    assert_eq!(status, 200, "{seen}");
    assert_eq!(header(&seen, "x-gate-agent-id"), ["local-dev-key"]);
    assert_eq!(header(&seen, "x-gate-issuer"), ["simpleguard"]);
    assert_eq!(header(&seen, "x-capiscio-agent-id"), ["local-dev-key"]);
    assert!(header(&seen, "x-capiscio-jws").is_empty());
    let signed = scene.sign(&friend, json!({}), Some(body), 0);
    let (status, seen) = scene.send("POST", "/flights", &signed, Some(body));
    assert_eq!(status, 200, "{seen}");
    assert_eq!(seen["body"]["text"].as_str().unwrap().as_bytes(), body);
    // The SDK signs an empty body, where it is given one, as it signs any other.
    let empty = scene.sign(&friend, json!({"n": 0}), Some(b""), 0);
    assert_eq!(scene.send("POST", "/flights", &empty, Some(b"")).0, 200);

    // Replayed.
    assert_eq!(scene.refused("GET", &headers, None), "request_replayed");
    assert_eq!(scene.refused("POST", &signed, Some(body)), "request_replayed");
    for _ in 0..10 {
        // Whichever of the two workers it meets.
        assert_eq!(scene.refused("GET", &headers, None), "request_replayed");
    }

    // Tampered with.
    let signed = scene.sign(&friend, json!({"n": 1}), Some(body), 0);
    assert_eq!(scene.refused("POST", &signed, Some(b"{}")), "body_digest_mismatch");
    assert_eq!(scene.refused("POST", &signed, None), "body_digest_mismatch");
    let bare = scene.sign(&friend, json!({"n": 2}), None, 0);
    assert_eq!(scene.refused("POST", &bare, Some(body)), "body_not_signed");
    let mut forged = bare.clone();
    let token = bare["X-Capiscio-JWS"].as_str().unwrap();
    let (head, _) = token.rsplit_once('.').unwrap();
    let (_, other) = signed["X-Capiscio-JWS"].as_str().unwrap().rsplit_once('.').unwrap();
    forged["X-Capiscio-JWS"] = format!("{head}.{other}").into();
    assert_eq!(scene.refused("GET", &forged, None), "simpleguard_signature_invalid");

    // Too old, too new.
    let old = scene.sign(&friend, json!({}), None, -130);
    assert_eq!(scene.refused("GET", &old, None), "simpleguard_expired");
    let early = scene.sign(&friend, json!({}), None, 90);
    assert_eq!(scene.refused("GET", &early, None), "simpleguard_not_yet_valid");

    // From an untrusted key, under its own name and under a trusted one.
    let by_stranger = scene.sign(&stranger, json!({}), None, 0);
    assert_eq!(scene.refused("GET", &by_stranger, None), "simpleguard_key_untrusted");
    let by_impostor = scene.sign(&impostor, json!({}), None, 0);
    assert_eq!(scene.refused("GET", &by_impostor, None), "simpleguard_signature_invalid");
}

#[test]
fn equal_requests_within_a_second_are_a_matter_of_the_route() {
    let mut scene = Scene::new("simpleguard-repeats");
    let friend = scene.friend.clone();
    let headers = scene.sign(&friend, json!({"n": 1}), None, 0);
    assert_eq!(scene.send("GET", "/twice", &headers, None).0, 200);
    assert_eq!(scene.send("GET", "/twice", &headers, None).0, 200, "the same second, or the next");
    assert_eq!(scene.refused("GET", &headers, None), "request_replayed");
}

#[test]
fn the_real_sdk_verifies_what_the_core_signs() {
    let folder = tempfile::tempdir().unwrap();
    let mut sdk = Sdk::running("simpleguard.py");
    sdk.ask("develop", json!({"folder": folder.path()}));
    let key = SecretKey::from_seed([7; 32]);
    let trusted = folder.path().join("capiscio_keys/trusted/ours.pem");
    std::fs::write(trusted, pem(&key.public_key())).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(i64::try_from(now.as_millis()).unwrap());
    let mut verify = |jws: &str, body: Option<&[u8]>| {
        let body = body.map(base64::encode);
        sdk.ask("verify", json!({"folder": folder.path(), "jws": jws, "body": body}))
    };

    let token = sign_request(&key, "ours", Object::from([("sub", "a task".into())]), Some(b"hello"), now);
    assert_eq!(verify(&token, Some(b"hello"))["payload"]["sub"], "a task");
    assert_eq!(verify(&token, Some(b"hellO"))["error"], "Integrity Check Failed: Body modified");
    let bare = sign_request(&key, "ours", Object::default(), None, now);
    assert_eq!(verify(&bare, None)["error"], Value::Null);
    let old = sign_request(&key, "ours", Object::default(), None, now.plus_millis(-70_000));
    assert_eq!(verify(&old, None)["error"], "Token expired.");
}

/// The values of a header as the upstream saw it.
fn header<'s>(seen: &'s Value, name: &str) -> Vec<&'s str> {
    let headers = seen["headers"].as_array().expect("headers");
    headers.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().expect("a value")).collect()
}

/// What an operator does who runs two agents: another `kid` in the agent card.
fn rename_key(agent: &Path, kid: &str) {
    let card = agent.join("agent-card.json");
    let text = std::fs::read_to_string(&card).unwrap();
    std::fs::write(card, text.replace("local-dev-key", kid)).unwrap();
}

/// The key in an SPKI file (RFC 8410 section 4): the last 32 bytes.
fn public_key(pem: &Path) -> [u8; 32] {
    let text = std::fs::read_to_string(pem).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::decode(&base64).unwrap();
    der[der.len() - 32..].try_into().unwrap()
}

fn pem(key: &[u8; 32]) -> String {
    const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = base64::encode(&[SPKI.as_slice(), key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}
