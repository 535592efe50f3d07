//! Real Envoy with the gate, before an upstream that tells what it saw.

#![allow(dead_code, reason = "each test that has this module uses a part of it")]

use portcullis_tests::scenario::{self, Answer, Arrived, Gate, Sent};
use std::path::PathBuf;
use tempfile::TempDir;
use xtask::control::{Control, Service};
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig, GateConfig};
use xtask::live_gate::{self, KEY_VARIABLE};
use xtask::workspace::Workspace;
use xtask::{http, net};

/// A running Envoy before an upstream that tells what it saw.
pub struct Stand {
    pub envoy: Envoy,
    pub upstream: Upstream,
    served: u64,
    /// Where the gate has its trust material from, above L1.
    service: Option<(Service, Control, TempDir)>,
}

impl Stand {
    /// Starts both. `name` names Envoy's files. A gate of L2 or L3 is enrolled with a control
    /// service of its own.
    pub fn start(name: &str, gate: &str) -> anyhow::Result<Self> {
        if portcullis_core::Config::from_json(gate.as_bytes()).is_ok() && scenario::is_live(gate) {
            return Self::start_live(name, gate);
        }
        Self::start_static(name, gate)
    }

    /// The same, whatever the profile: with `gate` as Envoy's own configuration of it.
    pub fn start_static(name: &str, gate: &str) -> anyhow::Result<Self> {
        let workspace = Workspace::find()?;
        let [listen, admin, echo] = net::free()?;
        let upstream = Upstream::start(echo, echo::Answer::Echo)?;
        let config =
            EnvoyConfig::shipped(&workspace)?.with_plugin(&given("PORTCULLIS_WASM"))?.with_gate(gate)?;
        let addresses = Addresses { listen, admin, upstream: upstream.address };
        let envoy = Envoy::start(&workspace, &given("PORTCULLIS_ENVOY"), name, config, &addresses, 2)?;
        Ok(Stand { envoy, upstream, served: 0, service: None })
    }

    fn start_live(name: &str, gate: &str) -> anyhow::Result<Self> {
        let workspace = Workspace::find()?;
        let [listen, admin, echo] = net::free()?;
        let upstream = Upstream::start(echo, echo::Answer::Echo)?;
        let shipped = EnvoyConfig::shipped(&workspace)?;
        // Envoy's own configuration is moved to its addresses as it starts; this is not in it.
        let gate = gate.replace(&shipped.listen_authority()?, &listen.to_string());
        let folder = tempfile::tempdir()?;
        let control = Control::in_folder(&given("PORTCULLIS_CONTROL"), folder.path(), None)?;
        let service = control.start()?;
        let gate = GateConfig::parse(&gate)?;
        let enrolled = live_gate::enrol(&service, &given("PORTCULLIS_CLI"), folder.path(), &gate)?;
        let config = shipped
            .with_plugin(&given("PORTCULLIS_WASM"))?
            .with_gate(&enrolled.config)?
            .with_control(control.address)?;
        let addresses = Addresses { listen, admin, upstream: upstream.address };
        let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
        let program = given("PORTCULLIS_ENVOY");
        let envoy = Envoy::start_with(&workspace, &program, name, config, &addresses, 2, &environment)?;
        live_gate::wait_until_open(&envoy)?;
        let served = upstream.served();
        Ok(Stand { envoy, upstream, served, service: Some((service, control, folder)) })
    }
}

/// What `cargo xtask test` provides.
pub fn given(variable: &str) -> PathBuf {
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
