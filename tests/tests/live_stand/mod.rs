//! A gate in real Envoy that takes its trust material from a real control service, through
//! a line that can be made bad.

use portcullis_core::modei::{Draft, Signed, self_issue, self_issuer_id};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use xtask::control::{Control, Service};
use xtask::echo::{Answer, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig, GateConfig};
use xtask::http::Request;
use xtask::live_gate::{self, Enrolled, KEY_VARIABLE};
use xtask::net;
use xtask::workspace::Workspace;

/// The gate that is enrolled.
pub const GATE: &str = "gate_live";

pub struct LiveStand {
    pub control: Control,
    pub service: Option<Service>,
    pub envoy: Envoy,
    pub line: Line,
    pub folder: Folder,
    /// What the enrolment gave for the proxy.
    pub enrolled: Enrolled,
    pub upstream: Upstream,
}

/// What a test may say of a stand before it is started.
#[derive(Default)]
pub struct Wishes<'w> {
    pub database: Option<&'w str>,
    /// `service.max_age_seconds`.
    pub max_age_seconds: Option<u32>,
    /// Further members of the gate's configuration in the service.
    pub trust: Option<Value>,
    /// Further options of the service.
    pub options: &'w [&'w str],
    /// Further variables in the service's environment.
    pub environment: &'w [(&'w str, &'w str)],
    /// `nonce_authority` of the gate's configuration in the service.
    pub nonce_authority: bool,
    /// What stands behind Envoy, if not the upstream that tells what it saw.
    pub behind: Option<SocketAddr>,
    /// Where the service keeps what it has, if that is to outlast the stand.
    pub folder: Option<&'w Path>,
    /// The gate's whole configuration, from its authority.
    pub gate: Option<&'w dyn Fn(&str) -> String>,
}

/// Where a stand keeps its files.
pub enum Folder {
    /// It goes with the stand.
    Passing(TempDir),
    /// It outlasts it.
    Lasting(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Folder::Passing(folder) => folder.path(),
            Folder::Lasting(folder) => folder,
        }
    }
}

impl LiveStand {
    /// Starts everything, and waits until every worker is open. `name` names Envoy's files.
    pub fn start(name: &str, wishes: &Wishes<'_>) -> Self {
        let folder = match wishes.folder {
            Some(folder) => Folder::Lasting(folder.to_owned()),
            None => Folder::Passing(tempfile::tempdir().unwrap()),
        };
        let control = Control::in_folder(&given("PORTCULLIS_CONTROL"), folder.path(), wishes.database)
            .unwrap()
            .with(wishes.options)
            .with_environment(wishes.environment);
        let service = control.start().unwrap();
        let workspace = Workspace::find().unwrap();
        let [listen, admin, echo] = net::free().unwrap();
        let upstream = Upstream::start(echo, Answer::Echo).unwrap();
        let trust =
            wishes.trust.clone().unwrap_or_else(|| json!({"self_issued": {"actions": ["flights:*"]}}));
        let gate = wishes.gate.map_or_else(
            || {
                let gate = json!({
                    "gate": {"id": GATE}, "profile": "L1", "authorities": [listen.to_string()],
                    "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}],
                    "trust": trust, "nonce_authority": wishes.nonce_authority,
                });
                gate.to_string()
            },
            |gate| gate(&listen.to_string()),
        );
        let gate = GateConfig::parse(&gate).unwrap();
        let enrolled = live_gate::enrol(&service, &given("PORTCULLIS_CLI"), folder.path(), &gate).unwrap();
        let mut config: Value = serde_json::from_str(&enrolled.config).unwrap();
        if let Some(seconds) = wishes.max_age_seconds {
            config["service"]["max_age_seconds"] = json!(seconds);
        }
        let line = Line::to(control.address);
        let config = EnvoyConfig::shipped(&workspace)
            .and_then(|shipped| shipped.with_plugin(&given("PORTCULLIS_WASM")))
            .and_then(|shipped| shipped.with_gate(&config.to_string()))
            .and_then(|shipped| shipped.with_control(line.address))
            .unwrap();
        let addresses = Addresses { listen, admin, upstream: wishes.behind.unwrap_or(upstream.address) };
        let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
        let program = given("PORTCULLIS_ENVOY");
        let envoy =
            Envoy::start_with(&workspace, &program, name, config, &addresses, 2, &environment).unwrap();
        live_gate::wait_until_open(&envoy).unwrap();
        LiveStand { control, service: Some(service), envoy, line, folder, enrolled, upstream }
    }

    /// Starts a further Envoy for the same gate, and waits until every worker is open.
    pub fn another_envoy(&self, name: &str, enrolled: &Enrolled) -> Envoy {
        let envoy = self.closed_envoy(name, enrolled);
        live_gate::wait_until_open(&envoy).unwrap();
        envoy
    }

    /// Starts a further Envoy for the same gate, which may have no trust material yet.
    pub fn closed_envoy(&self, name: &str, enrolled: &Enrolled) -> Envoy {
        self.closed_envoy_with(name, enrolled, &given("PORTCULLIS_WASM"))
    }

    /// The same with another plugin.
    pub fn closed_envoy_with(&self, name: &str, enrolled: &Enrolled, plugin: &Path) -> Envoy {
        self.closed_envoy_by(name, enrolled, |shipped| shipped.with_plugin(plugin))
    }

    /// The same with its configuration changed.
    pub fn closed_envoy_by(
        &self,
        name: &str,
        enrolled: &Enrolled,
        change: impl FnOnce(EnvoyConfig) -> anyhow::Result<EnvoyConfig>,
    ) -> Envoy {
        let workspace = Workspace::find().unwrap();
        let [listen, admin] = net::free().unwrap();
        let config = EnvoyConfig::shipped(&workspace)
            .and_then(change)
            .and_then(|shipped| shipped.with_gate(&enrolled.config))
            .and_then(|shipped| shipped.with_control(self.line.address))
            .unwrap();
        let addresses = Addresses { listen, admin, upstream: self.upstream.address };
        let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
        let program = given("PORTCULLIS_ENVOY");
        Envoy::start_with(&workspace, &program, name, config, &addresses, 2, &environment).unwrap()
    }

    /// Calls the service with the key that may do everything.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        live_gate::call(self.service.as_ref().expect("the service runs"), method, path, body).unwrap()
    }

    /// What the gate answers to this passport: the status, and the reason of a refusal.
    pub fn ask(&self, passport: &Signed) -> (u16, String) {
        self.ask_with(("agent-passport", &passport.to_header()))
    }

    pub fn ask_with(&self, header: (&str, &str)) -> (u16, String) {
        self.ask_for("/flights", header)
    }

    /// The same on another path.
    pub fn ask_at(&self, path: &str, passport: &Signed) -> (u16, String) {
        self.ask_for(path, ("agent-passport", &passport.to_header()))
    }

    fn ask_for(&self, path: &str, (name, value): (&str, &str)) -> (u16, String) {
        let mut request = Request::new("GET", path);
        request.headers.push((name.to_owned(), value.to_owned()));
        let answer = request.send(self.envoy.listen).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body["reason_code"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the gate answers so twenty times in a row, by both workers that is.
    pub fn wait_for(&self, passport: &Signed, wanted: (u16, &str)) {
        self.wait_for_with(("agent-passport", &passport.to_header()), wanted);
    }

    /// The same for whatever stands in a header.
    pub fn wait_for_with(&self, header: (&str, &str), wanted: (u16, &str)) {
        let wanted = (wanted.0, wanted.1.to_owned());
        let began = Instant::now();
        let mut in_a_row = 0;
        let mut last = (0, String::new());
        while began.elapsed() < DEADLINE {
            last = self.ask_with(header);
            in_a_row = if last == wanted { in_a_row + 1 } else { 0 };
            if in_a_row == 20 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("wanted {wanted:?}, got {last:?}; Envoy's log ends:\n{}", self.envoy.log_tail());
    }

    /// Revokes a passport that its agent signed itself.
    pub fn revoke(&self, agent: &SecretKey, passport: &Signed) {
        let issuer = self_issuer_id(&agent.public_key());
        let id =
            passport.envelope().as_object().unwrap().get("passport_id").unwrap().as_str().unwrap().to_owned();
        let body = json!({"kind": "passport", "issuer": issuer, "ids": [id]});
        self.call("POST", "/api/v1/revocations", &body);
    }

    /// A counter of the gate, over all workers.
    pub fn counter(&self, name: &str) -> u64 {
        counter_of(&self.envoy, name)
    }

    /// Waits until a counter has grown beyond what it was.
    pub fn wait_for_counter(&self, name: &str, beyond: u64) {
        let began = Instant::now();
        while self.counter(name) <= beyond {
            assert!(began.elapsed() < DEADLINE, "{name} stays at {beyond}; {}", self.envoy.log_tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A counter of the gate in an Envoy, over all workers.
pub fn counter_of(envoy: &Envoy, name: &str) -> u64 {
    let path = format!("/stats?filter={name}");
    let stats = Request::new("GET", &path).send(envoy.admin).unwrap();
    let text = String::from_utf8_lossy(&stats.body).into_owned();
    text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
}

/// Six times what the longest of it takes on a machine that does nothing else: two answers of a
/// service that is slow.
const DEADLINE: Duration = Duration::from_secs(60);

/// A passport that `agent` signs itself.
pub fn passport(agent: &SecretKey, id: &str) -> Signed {
    passport_with(agent, id, &json!({}))
}

/// The same with constraints.
pub fn passport_with(agent: &SecretKey, id: &str, constraints: &Value) -> Signed {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(i64::try_from(now.as_millis()).unwrap());
    let limits = portcullis_core::json::Limits { bytes: 1000, depth: 4, values: 10 };
    let constraints = constraints.to_string();
    let constraints = portcullis_core::json::parse(constraints.as_bytes(), limits).unwrap().into_owned();
    let constraints = constraints.as_object().cloned().unwrap();
    let draft = Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: vec![("flights:search".to_owned(), constraints)],
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        delegation_authority: false,
    };
    self_issue(agent, &draft)
}

pub fn agent(name: u8) -> SecretKey {
    SecretKey::from_seed([name; 32])
}

/// What `cargo xtask test` provides.
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

/// What becomes of the service's answers on their way to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Something else comes in their place, with 200.
    Garbage,
    /// The connection ends in the middle of the body.
    Half,
    /// The first of them comes again and again.
    Old,
    /// A letter of each signature is another one.
    Forged,
    /// Another `kid` stands in each header.
    AnotherKey,
    /// The gate that asks is told to be another one.
    AnotherGate,
    /// 500.
    Failing,
    /// It comes after so long as a gate still waits for.
    Slow,
    /// It comes in drips, as long as a gate still waits for.
    Drip,
    /// It never comes, until this fault is over.
    Hang,
}

/// A line between a gate and its service: each call of the gate on a connection of its own.
pub struct Line {
    pub address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
}

impl Line {
    fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new(Fault::None));
        let (shared, first) = (Arc::clone(&fault), Arc::new(Mutex::new(None)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, first) = (Arc::clone(&shared), Arc::clone(&first));
                std::thread::spawn(move || {
                    // Either end may go away: the gate is what is tested then.
                    let _ = carry(stream, service, &shared, &first);
                });
            }
        });
        Line { address, fault }
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

type First = Arc<Mutex<Option<Vec<u8>>>>;

fn carry(
    mut gate: TcpStream,
    service: SocketAddr,
    fault: &Mutex<Fault>,
    first: &First,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if gate.read(&mut byte)? == 0 || request.len() > 16 * 1024 {
            return Ok(());
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    // Batches of records are the longest.
    let mut body = vec![0; length.filter(|length| *length <= 1 << 20).unwrap_or(0_usize)];
    gate.read_exact(&mut body)?;
    let is_trust = request.windows(7).any(|window| window == b"/trust?");
    // One call on each connection: the service is asked to close it.
    let mut asked = request[..request.len() - 2].to_vec();
    asked.extend_from_slice(b"connection: close\r\n\r\n");
    let mut line = TcpStream::connect(service)?;
    line.write_all(&asked)?;
    line.write_all(&body)?;
    let mut answer = Vec::new();
    line.read_to_end(&mut answer)?;
    if answer.is_empty() {
        // The service ends.
        return Ok(());
    }
    if is_trust {
        first.lock().unwrap().get_or_insert_with(|| answer.clone());
    }
    // None where the service has gone away.
    let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(()) };
    let at = at + 4;
    let shared = fault;
    let fault = *shared.lock().unwrap();
    let spoilt = match fault {
        Fault::None => answer,
        Fault::Garbage => with_body("200 OK", b"<html>a page of a captive portal</html>"),
        Fault::Failing => with_body("500 Internal Server Error", b"{}"),
        Fault::Half => answer[..at + (answer.len() - at) / 2].to_vec(),
        Fault::Old => first.lock().unwrap().clone().unwrap_or(answer),
        Fault::Forged => with_body("200 OK", &change_tokens(&answer[at..], forge)),
        Fault::AnotherKey => with_body("200 OK", &change_tokens(&answer[at..], rename_key)),
        Fault::AnotherGate => with_body("200 OK", &change_tokens(&answer[at..], rename_gate)),
        Fault::Slow => {
            std::thread::sleep(SLOW);
            answer
        }
        Fault::Drip => return drip(&mut gate, &answer),
        Fault::Hang => {
            while *shared.lock().unwrap() == Fault::Hang {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
    };
    gate.write_all(&spoilt)
}

/// Less than the 5 s for which a gate waits for an answer to a batch of records.
const SLOW: Duration = Duration::from_secs(3);

/// Writes an answer in twenty drips.
fn drip(gate: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    for piece in answer.chunks(answer.len().div_ceil(20)) {
        gate.write_all(piece)?;
        gate.flush()?;
        std::thread::sleep(SLOW / 20);
    }
    Ok(())
}

fn with_body(status: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn change_tokens(body: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(body) else { return body.to_vec() };
    for (_, token) in answer.iter_mut() {
        if let Value::String(token) = token {
            *token = change(token);
        }
    }
    Value::Object(answer).to_string().into_bytes()
}

fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}

fn rename_key(token: &str) -> String {
    replace(token, 0, "\"kid\":\"", "\"kid\":\"x")
}

/// The signature is then over something else, but what is compared first shows.
fn rename_gate(token: &str) -> String {
    replace(token, 1, GATE, "gate_other")
}

fn replace(token: &str, part: usize, from: &str, to: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let json = portcullis_core::base64::decode_url(&parts[part]).unwrap();
    let json = String::from_utf8(json).unwrap().replace(from, to);
    parts[part] = portcullis_core::base64::encode_url(json.as_bytes());
    parts.join(".")
}
