//! Real Envoy before two real gates: what was used at one must not pass at the other.

use crate::stand::{Stand, given};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::json;
use std::net::SocketAddr;
use std::time::SystemTime;
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::http::exchange;
use xtask::net;
use xtask::workspace::Workspace;

/// Two gates with an upstream each, and an Envoy before them.
struct Scene {
    front: Envoy,
    gates: [Stand; 2],
    key: SecretKey,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: u16,
    body: String,
    /// Behind which gate it arrived.
    arrived: Option<usize>,
}

impl Scene {
    fn new(name: &str, change: impl FnOnce(EnvoyConfig) -> anyhow::Result<EnvoyConfig>) -> Self {
        let workspace = Workspace::find().unwrap();
        let [listen, admin] = net::free().unwrap();
        let key = SecretKey::from_seed([7; 32]);
        let gates = [0, 1].map(|number| {
            let gate = json!({
                "gate": {"id": format!("gate_{number}")}, "profile": "L1", "authorities": [listen.to_string()],
                "routes": [
                    {"path": "/where", "methods": ["GET"], "public": true},
                    {"path": "/flights", "methods": ["GET"], "action": "flights:search"},
                ],
                "trust": {"simpleguard_agents": [
                    {"key_id": "agent", "public_key": base64::encode(&key.public_key()), "actions": ["flights:*"]},
                ]},
            });
            Stand::start(&format!("{name}-{number}"), &gate.to_string()).unwrap()
        });
        let [first, second] = [&gates[0], &gates[1]].map(|gate| gate.envoy.listen);
        let config = EnvoyConfig::shipped_affinity(&workspace).unwrap().with_second_gate(second).unwrap();
        let addresses = Addresses { listen, admin, upstream: first };
        // One worker: round robin counts for each of them.
        let config = change(config).unwrap();
        let envoy = given("PORTCULLIS_ENVOY");
        let front =
            Envoy::start(&workspace, &envoy, &format!("{name}-front"), config, &addresses, 1).unwrap();
        Scene { front, gates, key }
    }

    /// A signature that differs from those with other numbers.
    fn sign(&self, number: i32) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap());
        sign_request(&self.key, "agent", Object::from([("n", number.into())]), None, now)
    }

    fn send(&self, path: &str, headers: &[(&str, &str)]) -> Outcome {
        let served = self.served();
        let answer = get(self.front.listen, path, headers);
        let after = self.served();
        let arrived: Vec<_> = (0..2).filter(|gate| after[*gate] > served[*gate]).collect();
        assert!(arrived.len() < 2, "one request arrived behind both gates");
        Outcome { arrived: arrived.first().copied(), ..answer }
    }

    fn served(&self) -> [u64; 2] {
        [&self.gates[0], &self.gates[1]].map(|gate| gate.upstream.served())
    }

    /// Which gate a request with these headers meets; a public route tells.
    fn meets(&self, headers: &[(&str, &str)]) -> usize {
        let outcome = self.send("/where", headers);
        outcome.arrived.unwrap_or_else(|| panic!("{headers:?}: {outcome:?}"))
    }

    /// Uses a signature up, then tries it again with each of these in its place. As an
    /// added value decides by chance, each attack is made many times.
    fn no_copy_passes(&self, first: i32, attack: impl Fn(&str, u32) -> Vec<(String, String)>) {
        for number in first..first + 4 {
            let token = self.sign(number);
            assert_eq!(self.send("/flights", &[("x-capiscio-jws", &token)]).status, 200);
            for attempt in 0..8 {
                let headers = attack(&token, attempt);
                let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
                let outcome = self.send("/flights", &headers);
                assert_eq!(outcome.arrived, None, "a copy passed with {headers:?}");
                assert!((400..500).contains(&outcome.status), "{outcome:?}");
            }
        }
    }
}

fn get(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Outcome {
    let mut bytes = format!("GET {path} HTTP/1.1\r\nhost: {to}\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "connection") {
        bytes.push_str("connection: close\r\n");
    }
    bytes.push_str("\r\n");
    let answer = exchange(to, bytes.as_bytes()).unwrap();
    Outcome { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned(), arrived: None }
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[test]
fn without_affinity_a_signed_request_passes_at_each_gate() {
    let scene = Scene::new("affinity-none", EnvoyConfig::without_affinity);
    let token = scene.sign(0);
    let passed = (0..6).filter(|_| scene.send("/flights", &[("x-capiscio-jws", &token)]).status == 200);
    assert_eq!(passed.count(), 2);
}

#[test]
fn with_affinity_a_signed_request_passes_once_whatever_is_added_to_it() {
    let scene = Scene::new("affinity", Ok);

    // Once, and credentials spread over both gates.
    let mut passed = [0, 0];
    for number in 0..40 {
        let token = scene.sign(number);
        let outcome = scene.send("/flights", &[("x-capiscio-jws", &token)]);
        assert_eq!(outcome.status, 200, "{outcome:?}");
        passed[outcome.arrived.expect("it arrived")] += 1;
        let again = scene.send("/flights", &[("x-capiscio-jws", &token)]);
        assert_eq!((again.status, again.arrived), (401, None));
        assert!(again.body.contains("request_replayed"), "{again:?}");
    }
    assert!(passed.iter().all(|count| *count >= 5), "{passed:?}");

    // An Authorization that is nobody's of ours, which the gate lets pass.
    scene.no_copy_passes(100, |token, attempt| {
        vec![pair("x-capiscio-jws", token), pair("authorization", format!("Basic {attempt}"))]
    });
    scene.no_copy_passes(110, |token, attempt| {
        vec![pair("authorization", format!("Bearer {attempt}")), pair("x-capiscio-jws", token)]
    });
    // Another header for the same token, alone and with that.
    scene.no_copy_passes(120, |token, _| vec![pair("x-capiscio-badge", token)]);
    scene.no_copy_passes(130, |token, attempt| {
        vec![pair("x-capiscio-badge", token), pair("authorization", format!("Basic {attempt}"))]
    });
    // Two of one name, or a list: they hash elsewhere, and the gate refuses them.
    scene.no_copy_passes(140, |token, attempt| {
        vec![pair("x-capiscio-jws", token), pair("x-capiscio-jws", attempt.to_string())]
    });
    scene.no_copy_passes(150, |token, attempt| vec![pair("x-capiscio-jws", format!("{token}, {attempt}"))]);
    // A header that decides before the signature does, also one that is to be dropped
    // between the front and the gate.
    for (first, name) in [(300, "agent-passport"), (310, "Agent-Passport"), (320, "agent_passport")] {
        scene.no_copy_passes(first, |token, attempt| {
            vec![pair("x-capiscio-jws", token), pair(name, format!(":{attempt}:"))]
        });
    }
    scene.no_copy_passes(170, |token, attempt| {
        vec![
            pair("x-capiscio-jws", token),
            pair("agent-passport", format!(":{attempt}:")),
            pair("connection", "close, agent-passport"),
        ]
    });
    scene.no_copy_passes(180, |token, attempt| {
        vec![
            pair("x-capiscio-badge", token),
            pair("x-capiscio-jws", attempt.to_string()),
            pair("connection", "close, x-capiscio-jws"),
        ]
    });
    // Other spellings of the token: white space, padding, the unused bits of its end.
    scene.no_copy_passes(190, |token, attempt| {
        vec![pair("x-capiscio-jws", format!("\t {token}{} ", "\t".repeat(attempt as usize)))]
    });
    scene.no_copy_passes(200, |token, attempt| {
        vec![pair("x-capiscio-jws", format!("{token}{}", "=".repeat(attempt as usize)))]
    });
    scene.no_copy_passes(210, |token, attempt| {
        // 64 bytes end in a character of which four bits count for nothing.
        let (rest, last) = token.split_at(token.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let place = alphabet.find(last).unwrap() + 1 + attempt as usize;
        vec![pair("x-capiscio-jws", format!("{rest}{}", &alphabet[place..=place]))]
    });
    // Wishes that the front retries.
    scene.no_copy_passes(220, |token, _| {
        vec![
            pair("x-capiscio-jws", token),
            pair("x-envoy-retry-on", "retriable-4xx,5xx,retriable-status-codes"),
            pair("x-envoy-retriable-status-codes", "401"),
            pair("x-envoy-max-retries", "5"),
        ]
    });

    one_key_for_what_gates_take_for_one(&scene);
    what_may_be_signed_arrives_as_sent(&scene);
}

/// Which gate a request meets, for credentials that are not used up by themselves.
fn one_key_for_what_gates_take_for_one(scene: &Scene) {
    let mut met = [0, 0];
    for number in 0..16 {
        let token = format!("token-{number}");
        let gate = scene.meets(&[("authorization", &format!("Bearer {token}"))]);
        met[gate] += 1;
        for spelling in ["bearer ", "BEARER ", "bEaReR    ", "Bearer \t "] {
            assert_eq!(
                scene.meets(&[("authorization", &format!("{spelling}{token}"))]),
                gate,
                "{spelling:?}"
            );
        }
        // A token has one gate, in whichever header it is, and whatever stands below it.
        for name in ["agent-passport", "x-capiscio-jws", "x-capiscio-badge"] {
            assert_eq!(scene.meets(&[(name, &token)]), gate, "{name}");
            for other in ["Basic a", "Basic b", "Bearer c", "Bearer d", ""] {
                assert_eq!(scene.meets(&[("authorization", other), (name, &token)]), gate, "{name} {other}");
            }
        }
        // A signature with any badge of its signer, in either header.
        for badge in ["a.b.c", "d.e.f", "g.h.i", "j.k.l"] {
            let bearer = format!("Bearer {badge}");
            assert_eq!(scene.meets(&[("x-capiscio-badge", badge), ("x-capiscio-jws", &token)]), gate);
            assert_eq!(scene.meets(&[("authorization", &bearer), ("x-capiscio-jws", &token)]), gate);
            assert_eq!(scene.meets(&[("authorization", &bearer), ("x-capiscio-badge", &token)]), gate);
        }
    }
    assert!(met.iter().all(|count| *count > 0), "{met:?}");
}

/// The front changes nothing that a signature may cover (RFC 9421).
fn what_may_be_signed_arrives_as_sent(scene: &Scene) {
    let target = "/where?b=2&a=%2F%2f%20&a=../x//y&=&";
    let outcome = scene.send(target, &[("signature-input", "agent=(\"@query\");nonce=\"N==\"")]);
    let seen: serde_json::Value = serde_json::from_str(&outcome.body).unwrap();
    let authority = scene.front.listen.to_string();
    let text = seen.to_string();
    assert!(text.contains(target), "{text}");
    assert!(text.contains(&authority), "{text}");
    assert!(text.contains(r#"agent=(\"@query\");nonce=\"N==\""#), "{text}");
    // What the gate refuses is refused by the gate, not mended before.
    let slashes = scene.send("/wh%2Fere", &[]);
    assert_eq!((slashes.status, slashes.arrived), (400, None), "{slashes:?}");
}
