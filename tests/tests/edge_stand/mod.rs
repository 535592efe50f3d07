//! A gate in Node or in workerd, before a handler that tells what it saw.

#[path = "../../../core/tests/common/service.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]
mod service;

use crate::common::key;
use portcullis_core::{UnixTime, base64};
use portcullis_tests::scenario::{Answer, Arrived, Gate, Person, Sent};
use serde_json::{Value, json};
use service::Service;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xtask::{http, net};

/// The host that requests are for, whatever port the gate has.
pub const AUTHORITY: &str = "127.0.0.1:10000";

/// What runs the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// With the memory that the package brings.
    Node,
    /// With a store that is asked over a wait.
    Workerd,
}

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Node => "node",
            Runtime::Workerd => "workerd",
        }
    }
}

/// A running gate. Its clock shows what each request says.
pub struct Edge {
    process: Child,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What the service of a live gate answers from.
struct State {
    now: UnixTime,
    service: Option<Service>,
}

impl Edge {
    /// Starts a gate of this configuration, live if it is to be, at `now`. `name` names its files.
    pub fn start(
        runtime: Runtime,
        name: &str,
        configuration: &str,
        is_live: bool,
        now: UnixTime,
    ) -> Result<Self, String> {
        let folder = folder(runtime, name);
        let state = Arc::new(Mutex::new(State { now, service: None }));
        let mut config: Value = serde_json::from_str(configuration).expect("a configuration");
        let mut base = Value::Null;
        if is_live {
            // Records are kept by no gate at the edge: an operator must say that none are wanted.
            config["attest"] = json!({"policy": "off"});
            let mut service = Service::new(config.to_string());
            service.gate = config["gate"]["id"].as_str().expect("a gate's id").to_owned();
            let keys = json!([{"key_id": "k1", "public_key": base64::encode(&key(9).public_key())}]);
            config = json!({
                "gate": {"id": service.gate},
                "service": {"cluster": "control", "authority": "control.internal", "keys": keys},
            });
            state.lock().expect("a state").service = Some(service);
            base = serve(Arc::clone(&state)).into();
        }
        let settings = json!({
            "config": config,
            "gateKey": base64::encode(&[3; 32]),
            "service": base,
            "store": if runtime == Runtime::Node { "memory" } else { "shared" },
        });
        std::fs::write(folder.join("settings.json"), settings.to_string()).expect("the settings");
        let [address] = net::free().expect("a free port");
        let mut process = command(runtime, &folder, address).spawn().expect("the runtime starts");
        let ready = wait_for(&mut process, address);
        let edge = Edge { process, address, state };
        ready.map(|()| edge)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gate for Edge {
    const IS_ENVOY: bool = false;

    fn authority(&self) -> String {
        AUTHORITY.into()
    }

    fn wait(&mut self, seconds: u64) -> bool {
        let mut state = self.state.lock().expect("a state");
        state.now = state.now.plus_millis(i64::try_from(seconds).expect("seconds") * 1000);
        true
    }

    fn answer(&mut self, _: &str, _: Person) -> bool {
        false
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        let now = self.state.lock().expect("a state").now.as_millis();
        let bytes = sent.to_bytes(AUTHORITY, &[("x-test-now", now.to_string())]);
        let response =
            http::exchange(self.address, &bytes).unwrap_or_else(|error| panic!("{sent:?}: {error:#}"));
        let body = String::from_utf8_lossy(&response.body).into_owned();
        let has_arrived = response.headers.iter().any(|(name, _)| name == "x-arrived");
        Answer {
            status: response.status,
            upstream: has_arrived.then(|| arrived(&body)),
            headers: response.headers,
            body,
        }
    }
}

/// The handler's own words on what it saw.
fn arrived(body: &str) -> Arrived {
    let seen: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let headers = seen["headers"].as_array().expect("headers");
    Arrived {
        path: text(&seen["path"]),
        headers: headers.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        body: text(&seen["body"]),
    }
}

/// A folder with the package's gate and what runs it.
fn folder(runtime: Runtime, name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("../target/edge").join(format!("{name}-{}", runtime.name()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let package = given("PORTCULLIS_WEB_PACKAGE");
    let files = ["gate.js", "gate_bg.wasm", "node.js"].map(|file| package.join(file));
    let own =
        ["node.mjs", "played.mjs", "worker.mjs", "workerd.capnp"].map(|file| tests.join("edge").join(file));
    for file in files.iter().chain(&own) {
        let to = folder.join(file.file_name().expect("a name"));
        std::fs::copy(file, to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    folder
}

fn command(runtime: Runtime, folder: &Path, address: SocketAddr) -> Command {
    let mut command = match runtime {
        Runtime::Node => {
            let mut command = Command::new(given("PORTCULLIS_NODE"));
            command.args(["node.mjs", "settings.json", &address.port().to_string()]);
            command
        }
        Runtime::Workerd => {
            let packages = given("PORTCULLIS_NODE_PACKAGES");
            let mut command = Command::new(packages.join("@cloudflare/workerd-linux-64/bin/workerd"));
            command.args(["serve", "workerd.capnp", &format!("--socket-addr=http={address}")]);
            command
        }
    };
    command.current_dir(folder).stderr(Stdio::piped());
    command
}

/// Waits until a gate answers, or has ended; what it says then is the error.
fn wait_for(process: &mut Child, address: SocketAddr) -> Result<(), String> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.try_wait().expect("a child").is_some() {
            let mut said = String::new();
            process.stderr.take().expect("its errors").read_to_string(&mut said).expect("text");
            return Err(said);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nothing listens on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Read, so that it cannot stand still at a full pipe; shown where a test fails.
    let errors = BufReader::new(process.stderr.take().expect("its errors"));
    std::thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
    Ok(())
}

/// Serves a gate's trust material, as small as a service can be; gives its address.
fn serve(state: Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A call that breaks off is the gate's to make again.
            let _ = answer(stream, &state);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = first.split(' ').nth(1).unwrap_or_default();
    let (_, query) = target.split_once('?').unwrap_or_default();
    let member = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(one, _)| *one == name).map(|(_, value)| value.to_owned())
    };
    let number = |name| member(name).map_or(0, |text| text.parse().expect("a number"));
    let State { now, service } = &*state.lock().expect("a state");
    let service = service.as_ref().expect("a live gate has a service");
    let body = match member("from") {
        Some(from) => {
            let from = u64::from_str_radix(&from, 16).expect("a fingerprint");
            service.page(from).sign(&key(9), "k1")
        }
        None => {
            let mut response = service.answer(number("snapshot"), number("revocations"), *now);
            let mut head = service.head(*now);
            head.echo = member("random").unwrap_or_default();
            response.head = head.sign(&key(9), "k1");
            response.to_json()
        }
    };
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// What `cargo xtask test` provides.
fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}
