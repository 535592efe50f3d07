//! The scenarios in real Envoy, with two workers and real time.

use portcullis_core::UnixTime;
use portcullis_tests::scenario::{self, Answer, Arrived, Gate, Sent, play};
use std::path::PathBuf;
use std::time::SystemTime;
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::workspace::Workspace;
use xtask::{http, net};

/// A running Envoy before an upstream that tells what it saw.
struct Stand {
    envoy: Envoy,
    upstream: Upstream,
    served: u64,
}

impl Stand {
    fn start(name: &str, gate: &str) -> anyhow::Result<Self> {
        let workspace = Workspace::find()?;
        let [listen, admin, echo] = net::free()?;
        let upstream = Upstream::start(echo, echo::Answer::Echo)?;
        let config =
            EnvoyConfig::shipped(&workspace)?.with_plugin(&given("PORTCULLIS_WASM"))?.with_gate(gate)?;
        let addresses = Addresses { listen, admin, upstream: upstream.address };
        let envoy = Envoy::start(&workspace, &given("PORTCULLIS_ENVOY"), name, config, &addresses, 2)?;
        Ok(Stand { envoy, upstream, served: 0 })
    }
}

/// What `cargo xtask test` provides.
fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

impl Gate for Stand {
    const IS_ENVOY: bool = true;

    fn send(&mut self, sent: &Sent) -> Answer {
        let authority = sent.authority.clone().unwrap_or_else(|| self.envoy.listen.to_string());
        let mut bytes = format!("{} ", sent.method).into_bytes();
        bytes.extend_from_slice(&sent.path);
        bytes.extend_from_slice(format!(" HTTP/1.1\r\nhost: {authority}\r\n").as_bytes());
        for (name, value) in &sent.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !sent.headers.iter().any(|(name, _)| name == "connection") {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        let body = sent.body.as_deref().unwrap_or_default();
        if !body.is_empty() {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        if sent.chunks.is_some() {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        if let Some(chunks) = &sent.chunks {
            bytes.extend_from_slice(&chunked(chunks, &sent.trailers));
        }

        let response =
            http::exchange(self.envoy.listen, &bytes).unwrap_or_else(|error| panic!("{sent:?}: {error:#}"));
        let body = String::from_utf8_lossy(&response.body).into_owned();
        // Counted by the upstream, not told by the answer: a refusal must not arrive.
        let served = self.upstream.served();
        let arrived = (served > self.served).then(|| arrived(&body));
        self.served = served;
        Answer { status: response.status, headers: response.headers, body, upstream: arrived }
    }
}

/// RFC 9112 section 7.1.
fn chunked(chunks: &[Vec<u8>], trailers: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The upstream's own words on what it saw.
fn arrived(body: &str) -> Arrived {
    let seen: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let headers = seen["headers"].as_array().expect("headers");
    Arrived {
        path: text(&seen["path"]),
        headers: headers.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        body: text(&seen["body"]["text"]),
    }
}

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).expect("before the year 292 million"))
}

#[test]
fn every_scenario_goes_as_it_says_in_real_envoy() {
    let workspace = Workspace::find().unwrap();
    let authority = EnvoyConfig::shipped(&workspace).unwrap().listen_authority().unwrap();
    let mut faults = Vec::new();
    for (name, scenario) in scenario::load() {
        let mut stand = Stand::start(&name, &scenario::gate_configuration(&scenario, &authority)).unwrap();
        faults.extend(play(&scenario, now(), &mut stand).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_configuration_that_is_wrong_keeps_envoy_from_starting_and_names_the_member() {
    for (name, gate, member) in [
        (
            "unknown",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}],"fail_open":true}"#,
            "fail_open: is unknown",
        ),
        (
            "no-routes",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[]}"#,
            "routes: must have at least one route",
        ),
        (
            "bad-key",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}],"trust":{"issuers":[{"id":"i","type":"gate","tier":1,"actions":["*"],"keys":[{"key_id":"k","public_key":"AA=="}]}]}}"#,
            "trust.issuers[0].keys[0].public_key: must be",
        ),
        (
            "profile",
            r#"{"gate":{"id":"g"},"profile":"L3","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}]}"#,
            "profile: must be L1",
        ),
        ("empty", "", "the configuration: is missing"),
    ] {
        let Err(error) = Stand::start(&format!("refused-{name}"), gate) else { panic!("{name} started") };
        let told = format!("{error:#}");
        assert!(told.contains(member), "{name}: {told}");
    }
}
