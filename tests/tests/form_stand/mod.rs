//! Real Envoy with one of the forms below `envoy/`, before an upstream that tells what it saw.

use axum::Router;
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, Issuer, RootKind, issue, self_agent_id, self_issue};
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::http::{Request, Response};
use xtask::net;
use xtask::workspace::Workspace;

/// The public key in the forms for Kubernetes, and the key that takes its place here.
pub const DEMO_KEY: &str = "Yu6UrtVnN1NVY0oFaXkqN7Sjh+BZuHupNQo17Ry0Dd8=";

pub struct FormStand {
    pub envoy: Envoy,
    pub upstream: Upstream,
}

/// Where the parts of a stand will listen.
pub struct Places {
    pub addresses: Addresses,
    pub upstream: Upstream,
}

impl Places {
    pub fn choose() -> Self {
        let [listen, admin, echo] = net::free().unwrap();
        let upstream = Upstream::start(echo, echo::Answer::Echo).unwrap();
        Places { addresses: Addresses { listen, admin, upstream: upstream.address }, upstream }
    }

    pub fn listen(&self) -> String {
        self.addresses.listen.to_string()
    }

    pub fn start(self, name: &str, config: EnvoyConfig) -> anyhow::Result<FormStand> {
        self.start_with(name, config, 1, &[])
    }

    pub fn start_with(
        self,
        name: &str,
        config: EnvoyConfig,
        workers: u32,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<FormStand> {
        let program = given("PORTCULLIS_ENVOY");
        let (workspace, addresses) = (Workspace::find()?, &self.addresses);
        let envoy = Envoy::start_with(&workspace, &program, name, config, addresses, workers, environment)?;
        Ok(FormStand { envoy, upstream: self.upstream })
    }
}

impl FormStand {
    pub fn send(&self, request: &Request) -> Response {
        request.send(self.envoy.listen).unwrap()
    }

    /// The status of a request without a body, with these headers.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::new("GET", path);
        request.headers.extend(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        self.send(&request).status
    }

    /// That the gate is there: it admits a real credential, and nothing else arrives.
    pub fn gates(&self) {
        let holder = SecretKey::from_seed([5; 32]);
        let good = self_issue(&holder, &draft()).to_header();
        let forged = good.replacen('e', "f", 1);
        let before = self.upstream.served();
        assert_eq!(self.get("/flights", &[("agent-passport", &good)]), 200, "{}", self.envoy.log_tail());
        assert_eq!(self.upstream.served(), before + 1);
        for refused in [&[][..], &[("agent-passport", forged.as_str())], &[("x-gate-agent-id", "root")]] {
            assert_eq!(self.get("/flights", refused), 401, "{refused:?}");
        }
        assert_eq!(self.upstream.served(), before + 1);
    }

    /// That nothing arrives, whoever asks.
    pub fn is_closed(&self, status: u16) {
        let good = self_issue(&SecretKey::from_seed([5; 32]), &draft()).to_header();
        for path in ["/health", "/flights", "/"] {
            assert_eq!(self.get(path, &[("agent-passport", &good)]), status, "{path}");
        }
        assert_eq!(self.upstream.served(), 0);
    }

    /// Waits until Envoy or the plugin has logged this.
    pub fn logs(&self, text: &str) {
        let began = Instant::now();
        while !self.log().contains(text) {
            assert!(began.elapsed() < DEADLINE, "nothing says {text:?}:\n{}", self.envoy.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.envoy.log).unwrap_or_default()).into_owned()
    }
}

/// A server of one content, whatever is asked for; the content can be changed.
pub struct Served {
    pub address: SocketAddr,
    content: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicU64>,
}

impl Served {
    pub fn new(content: Vec<u8>) -> Self {
        let content = Arc::new(Mutex::new(content));
        let asked = Arc::new(AtomicU64::new(0));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let served = Served { address: listener.local_addr().unwrap(), content, asked };
        let (content, asked) = (Arc::clone(&served.content), Arc::clone(&served.asked));
        let answer = move || {
            asked.fetch_add(1, Ordering::SeqCst);
            let content = content.lock().unwrap().clone();
            async move { ([("content-type", "application/json")], content) }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
            });
        });
        served
    }

    pub fn change(&self, content: Vec<u8>) {
        *self.content.lock().unwrap() = content;
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn draft() -> Draft {
    Draft {
        passport_id: "pp_form".to_owned(),
        agent_name: None,
        permissions: vec![("flights:search".to_owned(), Object::default())],
        issued_at: now(),
        expires_at: now().plus_millis(3_600_000),
        delegation_authority: false,
    }
}

/// The issuer's key that takes the place of [`DEMO_KEY`].
pub fn issuer() -> SecretKey {
    SecretKey::from_seed([6; 32])
}

/// A request of an agent with a passport of [`issuer`], signed with its body, for the host
/// `authority`. `sent` is the body that comes.
pub fn signed(authority: &str, body: &[u8], sent: &[u8]) -> Request {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let holder = SecretKey::from_seed([5; 32]);
    let public_key = holder.public_key();
    let id = self_agent_id(&public_key);
    let (kind, key_id) = (RootKind::Platform, "ik_1".to_owned());
    let by = Issuer { kind, id: "issuer:acme-demo".to_owned(), key_id, gate_id: None };
    let credential = issue(&issuer(), &by, &id, &public_key, &draft()).to_header();
    let nonce = format!("nonce number {:010}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let draft = ProofDraft {
        method: "POST",
        authority,
        path: "/flights",
        query: None,
        credential: ("agent-passport", &credential),
        body: Some(body),
        key_id: &id,
        created: now(),
        expires: None,
        nonce: &base64::encode_url(nonce.as_bytes()),
    };
    let mut request = Request::new("POST", "/flights");
    let proof = draft.sign(&holder).into_iter().map(|(name, value)| (name.to_owned(), value));
    request.headers.extend(proof);
    request.headers.push(("agent-passport".into(), credential));
    request.body = sent.to_vec();
    request
}

pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// What `cargo xtask test` provides.
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

/// Twenty times what the slowest of it takes on a machine of two cores.
const DEADLINE: Duration = Duration::from_secs(60);
