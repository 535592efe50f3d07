//! Real Envoy with the gate, before an upstream that tells what it saw.

use portcullis_tests::scenario::{Answer, Arrived, Gate, Person, Sent};
use std::path::PathBuf;
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::workspace::Workspace;
use xtask::{http, net};

/// A running Envoy before an upstream that tells what it saw.
pub struct Stand {
    pub envoy: Envoy,
    pub upstream: Upstream,
    served: u64,
}

impl Stand {
    /// Starts both. `name` names Envoy's files.
    pub fn start(name: &str, gate: &str) -> anyhow::Result<Self> {
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
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

impl Gate for Stand {
    const IS_ENVOY: bool = true;

    fn authority(&self) -> String {
        self.envoy.listen.to_string()
    }

    fn wait(&mut self, _: u64) -> bool {
        false
    }

    fn answer(&mut self, _: &str, _: Person) -> bool {
        false
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        send(&self.envoy, &self.upstream, &mut self.served, sent)
    }
}

/// Sends a request to an Envoy. What its upstream has `served` tells whether it got there.
pub fn send(envoy: &Envoy, upstream: &Upstream, served: &mut u64, sent: &Sent) -> Answer {
    let bytes = sent.to_bytes(&envoy.listen.to_string(), &[]);
    let response = http::exchange(envoy.listen, &bytes).unwrap_or_else(|error| panic!("{sent:?}: {error:#}"));
    let body = String::from_utf8_lossy(&response.body).into_owned();
    // Counted by the upstream, not told by the answer: a refusal must not arrive.
    let now_served = upstream.served();
    let arrived = (now_served > *served).then(|| arrived(&body));
    *served = now_served;
    Answer { status: response.status, headers: response.headers, body, upstream: arrived }
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
