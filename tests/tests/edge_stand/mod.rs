//! A gate in Node, in Deno or in workerd, before a handler that tells what it saw.

use crate::common::key;
use crate::deno;
use crate::service;
use portcullis_core::{UnixTime, base64};
use portcullis_tests::scenario::{Answer, Arrived, Gate, Person, Sent};
use serde_json::{Value, json};
pub use service::Service;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xtask::live_gate::Enrolled;
use xtask::{http, net};

/// The host that requests are for, whatever port the gate has.
pub const AUTHORITY: &str = "127.0.0.1:10000";

/// What runs the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// With the memory that the package brings, as a `fetch` handler.
    Deno,
    /// With the same, behind `node:http`.
    Node,
    /// With a Durable Object for a store.
    Workerd,
}

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Deno => "deno",
            Runtime::Node => "node",
            Runtime::Workerd => "workerd",
        }
    }
}

/// A running gate. Its clock shows what each request says.
pub struct Edge {
    running: Running,
    state: Arc<Mutex<State>>,
}

/// A server, ended with this.
pub struct Running {
    process: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts a server that will listen on `address`; where it ends instead, its words are the
    /// error.
    pub fn start(command: &mut Command, address: SocketAddr) -> Result<Self, String> {
        let process = command.stderr(Stdio::piped()).spawn().expect("the runtime starts");
        let mut running = Running { process, address };
        wait_for(&mut running.process, address).map(|()| running)
    }

    /// What comes of a GET: the status, and a refusal's reason.
    pub fn get(&self, target: &str, authority: &str) -> (u16, Option<String>) {
        let request = http::Request::new("GET", target).to_bytes(authority, true);
        let response = http::exchange(self.address, &request).expect("an answer");
        let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, problem["reason_code"].as_str().map(str::to_owned))
    }
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
        let state = Arc::new(Mutex::new(State { now, service: None }));
        let mut config: Value = serde_json::from_str(configuration).expect("a configuration");
        // Isolates count each for itself; what may be used once is in the store that they share.
        let counts = config["guardrails"].is_object() || config["anonymous"].is_object();
        let mut base = Value::Null;
        if is_live {
            // No gate at the edge keeps records: an operator must say that it may go without.
            config["attest"] = json!({"policy": "best_effort"});
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
            "isolates": if runtime == Runtime::Workerd && !counts { 2 } else { 1 },
            "process": base64::encode(&[5; 32]),
            "gateKey": base64::encode(&[3; 32]),
            "service": base,
        });
        run(runtime, name, &settings).map(|running| Edge { running, state })
    }

    /// Starts a gate that a real service, at `base`, has enrolled.
    pub fn start_enrolled(
        runtime: Runtime,
        name: &str,
        enrolled: &Enrolled,
        base: &str,
        now: UnixTime,
    ) -> Result<Self, String> {
        let config: Value = serde_json::from_str(&enrolled.config).expect("a configuration");
        let settings = json!({
            "config": config, "isolates": 1, "process": base64::encode(&[5; 32]),
            "gateKey": enrolled.key, "service": base,
        });
        let state = Arc::new(Mutex::new(State { now, service: None }));
        run(runtime, name, &settings).map(|running| Edge { running, state })
    }
}

fn run(runtime: Runtime, name: &str, settings: &Value) -> Result<Running, String> {
    let folder = folder(&format!("{name}-{}", runtime.name()));
    std::fs::write(folder.join("settings.json"), settings.to_string()).expect("the settings");
    let [address] = net::free().expect("a free port");
    Running::start(&mut command(runtime, &folder, address), address)
}

impl Edge {
    /// Sets its clock.
    pub fn set_clock(&self, now: UnixTime) {
        self.state.lock().expect("a state").now = now;
    }

    /// Changes what the service of a live gate answers from; takes it away with `None`.
    pub fn change_service(&self, change: impl FnOnce(&mut Option<Service>)) {
        change(&mut self.state.lock().expect("a state").service);
    }
}

impl Drop for Running {
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
        let response = http::exchange(self.running.address, &bytes)
            .unwrap_or_else(|error| panic!("{sent:?}: {error:#}"));
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
pub fn folder(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("../target/edge").join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let package = given("PORTCULLIS_WEB_PACKAGE");
    let files = ["durable.js", "gate.js", "gate_bg.wasm", "node.js"].map(|file| package.join(file));
    let own = ["deno.mjs", "node.mjs", "played.mjs", "promises.test.mjs", "worker.mjs", "workerd.capnp"]
        .map(|file| tests.join("edge").join(file));
    for file in files.iter().chain(&own) {
        let to = folder.join(file.file_name().expect("a name"));
        std::fs::copy(file, to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    folder
}

fn command(runtime: Runtime, folder: &Path, address: SocketAddr) -> Command {
    let mut command = match runtime {
        Runtime::Deno => {
            let mut command = deno::run(folder);
            command.args(["deno.mjs", "settings.json", &address.port().to_string()]);
            command
        }
        Runtime::Node => {
            let mut command = Command::new(given("PORTCULLIS_NODE"));
            // As Envoy's limit; by itself it is 16 KiB.
            command.arg("--max-http-header-size=61440");
            command.args(["node.mjs", "settings.json", &address.port().to_string()]);
            command
        }
        Runtime::Workerd => {
            let mut command = Command::new(workerd().expect("a workerd"));
            command.args(["serve", "workerd.capnp", &format!("--socket-addr=http={address}")]);
            command
        }
    };
    command.current_dir(folder);
    command
}

/// The workerd of this machine, where npm has one for it.
pub fn workerd() -> Option<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "64" };
    let program = format!("@cloudflare/workerd-linux-{architecture}/bin/workerd");
    Some(given("PORTCULLIS_NODE_PACKAGES").join(program)).filter(|program| program.is_file())
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
        assert!(began.elapsed() < Duration::from_secs(60), "nothing listens on {address}");
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
    let Some(service) = service else {
        return write!(stream, "HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n");
    };
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
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}
