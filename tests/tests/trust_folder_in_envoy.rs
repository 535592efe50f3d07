//! A trust store beside real Envoy: what changes in the folder reaches the running gate.

use portcullis_core::capiscio::sign_request;
use portcullis_core::json::{Object, Value};
use portcullis_core::{SecretKey, UnixTime, base64};
use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use xtask::ecds::{Discovered, Outcome};
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::http::Request;
use xtask::net;
use xtask::trust_folder::TrustFolder;
use xtask::workspace::Workspace;

/// Envoy with the gate from a file, before an echo, beside a trust store.
struct Stand {
    folder: TempDir,
    addresses: Addresses,
    bootstrap: EnvoyConfig,
    upstream: Upstream,
    nonce: Cell<i64>,
}

impl Stand {
    /// A store that trusts nobody, and the gate for the file from which Envoy takes it.
    fn new() -> (Self, Discovered) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(TRUSTED)).unwrap();
        let [listen, admin, echo] = net::free().unwrap();
        let addresses = Addresses { listen, admin, upstream: echo };
        let shipped = EnvoyConfig::shipped(&Workspace::find().unwrap()).unwrap();
        let config = shipped.with_plugin(&given("PORTCULLIS_WASM")).unwrap().at(&addresses).unwrap();
        let (bootstrap, gate) = config.with_discovered_gate(&folder.path().join("gate")).unwrap();
        let upstream = Upstream::start(echo, echo::Answer::Echo).unwrap();
        (Stand { folder, addresses, bootstrap, upstream, nonce: Cell::new(0) }, gate)
    }

    fn start(&self, name: &str) -> anyhow::Result<Envoy> {
        let workspace = Workspace::find()?;
        let program = given("PORTCULLIS_ENVOY");
        Envoy::start(&workspace, &program, name, self.bootstrap.clone(), &self.addresses, 2)
    }

    fn open(&self, gate: Discovered) -> anyhow::Result<TrustFolder> {
        TrustFolder::open(&given("PORTCULLIS_CLI"), self.folder.path(), "flights:search", gate)
    }

    /// Trusts a key as an operator does.
    fn trust(&self, kid: &str, key: &SecretKey) {
        let file = self.folder.path().join("key.txt");
        std::fs::write(&file, base64::encode(&key.public_key())).unwrap();
        self.portcullis(&["trust", "add", file.to_str().unwrap(), "--kid", kid, "--force"]);
    }

    fn distrust(&self, kid: &str) {
        self.portcullis(&["trust", "remove", kid]);
    }

    fn portcullis(&self, arguments: &[&str]) {
        let mut command = Command::new(given("PORTCULLIS_CLI"));
        let output = command.args(arguments).arg("--store").arg(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn shipped_gate(&self) -> String {
        let shipped = EnvoyConfig::shipped(&Workspace::find().unwrap()).unwrap();
        shipped.at(&self.addresses).unwrap().gate().unwrap().to_text()
    }

    /// The status of a request signed with `key`, and the gate's word on it.
    fn ask(&self, kid: &str, key: &SecretKey) -> (u16, String) {
        self.nonce.set(self.nonce.get() + 1);
        // Two requests of one second would otherwise be one.
        let claims = Object::from([("n", Value::integer(self.nonce.get()))]);
        self.send(sign_request(key, kid, claims, None, now()))
    }

    fn send(&self, token: String) -> (u16, String) {
        let mut request = Request::new("GET", "/flights");
        request.headers.push(("x-capiscio-jws".into(), token));
        let response = request.send(self.addresses.listen).unwrap();
        (response.status, String::from_utf8_lossy(&response.body).into_owned())
    }

    /// Waits until both workers answer so, then asks on: none may answer otherwise again.
    fn answers(&self, kid: &str, key: &SecretKey, status: u16) {
        let began = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 20 {
            let answer = self.ask(kid, key);
            in_a_row = if answer.0 == status { in_a_row + 1 } else { 0 };
            assert!(began.elapsed() < DEADLINE, "{kid}: wanted {status}, got {answer:?}");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(TRUSTED).join(name)
    }
}

#[test]
fn what_changes_in_the_folder_reaches_the_running_gate() {
    let (stand, gate) = Stand::new();
    let (a, b) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let mut folder = stand.open(gate).unwrap();
    let envoy = stand.start("trust-folder").unwrap();
    stand.answers("a", &a, 401);

    stand.trust("a", &a);
    assert_eq!(folder.look(&envoy).unwrap(), ["trusted: a"]);
    stand.answers("a", &a, 200);
    stand.answers("a", &b, 401);
    assert_eq!(folder.look(&envoy).unwrap(), [""; 0]);

    stand.trust("a", &b);
    stand.trust("b", &b);
    assert_eq!(folder.look(&envoy).unwrap(), ["trusted, with another key: a", "trusted: b"]);
    stand.answers("a", &b, 200);
    stand.answers("a", &a, 401);

    // A file of no use is told once, and does not keep a removal from taking effect.
    std::fs::write(stand.path("broken.pem"), "nothing").unwrap();
    stand.distrust("a");
    let lines = folder.look(&envoy).unwrap();
    assert!(lines[0].contains("broken.pem") && lines[0].contains("not trusted"), "{lines:?}");
    assert_eq!(lines[1..], ["no longer trusted: a"]);
    assert_eq!(folder.look(&envoy).unwrap(), [""; 0]);
    stand.answers("a", &b, 401);
    stand.answers("b", &b, 200);

    // A folder that is gone trusts nobody, until it is back.
    let aside = stand.folder.path().join("aside");
    std::fs::rename(stand.path(""), &aside).unwrap();
    let lines = folder.look(&envoy).unwrap();
    assert!(lines[0].contains("nobody in it is trusted"), "{lines:?}");
    assert_eq!(lines[1..], ["no longer trusted: b"]);
    stand.answers("b", &b, 401);
    std::fs::rename(&aside, stand.path("")).unwrap();
    assert!(folder.look(&envoy).unwrap().contains(&"trusted: b".to_owned()));
    stand.answers("b", &b, 200);
    assert!(envoy.runs().unwrap());
}

#[test]
fn a_configuration_that_the_gate_refuses_leaves_the_one_before_it() {
    let (stand, mut gate) = Stand::new();
    let (a, b) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let mut trusting = {
        gate.publish(&stand.shipped_gate()).unwrap();
        let mut gate = gate.gate().unwrap();
        move |kid: &str, key: &SecretKey| {
            let key = base64::encode(&key.public_key());
            let agent =
                serde_json::json!({ "key_id": kid, "public_key": key, "actions": ["flights:search"] });
            gate.put_trust("simpleguard_agents", serde_json::json!([agent])).unwrap();
            gate.to_text()
        }
    };
    gate.publish(&trusting("a", &a)).unwrap();
    let envoy = stand.start("trust-refused").unwrap();
    stand.answers("a", &a, 200);
    let twice = trusting("b", &b).replace("\"profile\"", "\"fail_open\": true, \"profile\"");
    for refused in ["", "{}", "nonsense", &twice] {
        assert_eq!(gate.publish_to(&envoy, refused).unwrap(), Outcome::Refused, "{refused}");
        stand.answers("a", &a, 200);
        stand.answers("b", &b, 401);
    }
    assert_eq!(gate.publish_to(&envoy, &trusting("b", &b)).unwrap(), Outcome::Taken);
    stand.answers("b", &b, 200);
    stand.answers("a", &a, 401);
}

#[test]
fn without_a_usable_gate_nothing_passes() {
    // No file: Envoy does not start.
    let (stand, mut gate) = Stand::new();
    assert!(stand.start("trust-no-file").is_err());
    // A file of no use: Envoy starts, and answers for itself.
    gate.publish("{}").unwrap();
    let envoy = stand.start("trust-no-gate").unwrap();
    for path in ["/health", "/flights", "/"] {
        for _ in 0..10 {
            assert_eq!(Request::new("GET", path).send(stand.addresses.listen).unwrap().status, 500, "{path}");
        }
    }
    assert_eq!(stand.upstream.served(), 0);
    // One that can be used makes up for it.
    let good = stand.shipped_gate();
    assert_eq!(gate.publish_to(&envoy, &good).unwrap(), Outcome::Taken);
    assert_eq!(Request::new("GET", "/health").send(stand.addresses.listen).unwrap().status, 200);
}

#[test]
fn a_signature_that_was_used_stays_used_when_the_configuration_changes() {
    let (stand, gate) = Stand::new();
    let key = SecretKey::from_seed([1; 32]);
    stand.trust("a", &key);
    let mut folder = stand.open(gate).unwrap();
    let envoy = stand.start("trust-replay").unwrap();
    let token = sign_request(&key, "a", Object::default(), None, now());
    assert_eq!(stand.send(token.clone()).0, 200);
    stand.trust("b", &SecretKey::from_seed([2; 32]));
    assert_eq!(folder.look(&envoy).unwrap(), ["trusted: b"]);
    stand.answers("a", &key, 200);
    for _ in 0..10 {
        let (status, body) = stand.send(token.clone());
        assert!(status == 401 && body.contains("request_replayed"), "{status} {body}");
    }
}

#[test]
fn virtual_machines_that_are_no_longer_used_go() {
    let (stand, mut gate) = Stand::new();
    let good = gate.gate().unwrap().to_text();
    gate.publish(&good).unwrap();
    let envoy = stand.start("trust-churn").unwrap();
    let machines = || {
        let stats = Request::new("GET", "/stats?filter=wasm.envoy.wasm.runtime.v8.active").send(envoy.admin);
        let text = String::from_utf8(stats.unwrap().body).unwrap();
        text.trim().rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()).expect("a count")
    };
    let before = machines();
    for number in 0..50 {
        let changed = good.replace("Demo gate", &format!("Demo gate {number}"));
        assert_eq!(gate.publish_to(&envoy, &changed).unwrap(), Outcome::Taken);
    }
    let began = Instant::now();
    while machines() > before {
        assert!(began.elapsed() < DEADLINE, "{} machines run, and {before} did before", machines());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `cargo xtask test` provides.
fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).expect("before the year 292 million"))
}

const TRUSTED: &str = "capiscio_keys/trusted";

/// Workers take a configuration within milliseconds; a busy machine may take seconds.
const DEADLINE: Duration = Duration::from_secs(60);
