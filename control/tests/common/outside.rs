//! Hosts of others, on loopback: a name server, HTTPS servers under a CA of their own, and a
//! registry of these.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use http_body_util::channel::Channel;
use portcullis_core::{SecretKey, base64};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A registry that is not ours, which answers what a test says.
pub(crate) struct Registry {
    pub(crate) dns: Dns,
    pub(crate) web: Web,
    pub(crate) ca: Ca,
    pub(crate) origin: String,
    _folder: TempDir,
}

impl Registry {
    pub(crate) const NAME: &str = "registry.test";
    pub(crate) const JWKS: &str = "/.well-known/jwks.json";
    pub(crate) const FEED: &str = "/v1/revocations?limit=1000";

    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new(folder.path());
        let dns = Dns::start();
        dns.set(Self::NAME, &[&[[127, 0, 0, 1]]]);
        let web = Web::start(&ca, [127, 0, 0, 1], 0, &[Self::NAME]);
        let origin = format!("https://{}:{}", Self::NAME, web.address.port());
        Registry { dns, web, ca, origin, _folder: folder }
    }

    /// The options of a service that finds it, trusts its certificate, and looks again
    /// after so many seconds.
    pub(crate) fn options(&self, seconds: u32) -> Vec<String> {
        let (server, file) = (self.dns.address.to_string(), self.ca.file.display().to_string());
        let seconds = seconds.to_string();
        let options = ["--dns-server", &server, "--extra-ca", &file, "--follow-seconds", &seconds];
        options.map(str::to_owned).into()
    }

    /// It has these keys, and nothing revoked.
    pub(crate) fn serve(&self, keys: &[(&str, u8)]) {
        self.set_keys(keys);
        self.set_revoked(&[]);
    }

    pub(crate) fn set_keys(&self, keys: &[(&str, u8)]) {
        self.web.set_json(Self::JWKS, &jwks(keys));
    }

    pub(crate) fn set_revoked(&self, badges: &[&str]) {
        let entries: Vec<Value> = badges.iter().map(|jti| json!({"jti": jti})).collect();
        self.web.set_json(Self::FEED, &json!({"revocations": entries}));
    }

    pub(crate) fn set_status(&self, did: &str, status: &str) {
        self.web.set_json(&Self::status_path(did), &json!({"did": did, "status": status}));
    }

    pub(crate) fn status_path(did: &str) -> String {
        format!("/v1/agents/{}/status", did.replace(':', "%3A"))
    }
}

/// A key set of what these seeds make, by their `kid`s.
pub(crate) fn jwks(keys: &[(&str, u8)]) -> Value {
    let jwk = |(kid, seed): &(&str, u8)| {
        let key = SecretKey::from_seed([*seed; 32]).public_key();
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64::encode_url(&key), "use": "sig"})
    };
    json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()})
}

/// A name server for what a test says. Each look-up of addresses takes the next answer of
/// a name; the last stays.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Zone {
    addresses: HashMap<String, Vec<Vec<Ipv4Addr>>>,
    texts: HashMap<String, Vec<String>>,
    asked: HashMap<String, usize>,
}

impl Dns {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let thread = std::thread::spawn({
            let (socket, zone) = (socket.try_clone().unwrap(), Arc::clone(&zone));
            move || {
                let mut buffer = [0; 4096];
                // An empty datagram ends it.
                while let Ok((length @ 1.., from)) = socket.recv_from(&mut buffer) {
                    if let Some(answer) = answer(&buffer[..length], &mut zone.lock().unwrap()) {
                        socket.send_to(&answer, from).unwrap();
                    }
                }
            }
        });
        Dns { address, zone, socket, thread: Some(thread) }
    }

    /// Answers for a name, one after the other.
    pub(crate) fn set(&self, name: &str, answers: &[&[[u8; 4]]]) {
        let answers = answers.iter().map(|some| some.iter().map(|one| (*one).into()).collect()).collect();
        self.zone.lock().unwrap().addresses.insert(name.to_owned(), answers);
    }

    pub(crate) fn set_texts(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.zone.lock().unwrap().texts.insert(name.to_owned(), texts);
    }

    /// How often the address of a name was asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.zone.lock().unwrap().asked.get(name).copied().unwrap_or(0)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.socket.send_to(&[], self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer(query: &[u8], zone: &mut Zone) -> Option<Vec<u8>> {
    let asked = Message::from_vec(query).ok()?;
    let question = asked.queries.first()?.clone();
    let name = question.name().to_string().trim_end_matches('.').to_ascii_lowercase();
    let mut answer = asked.clone();
    answer.metadata.message_type = MessageType::Response;
    answer.additionals.clear();
    let is_known = zone.addresses.contains_key(&name) || zone.texts.contains_key(&name);
    if !is_known {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    let data: Vec<RData> = match question.query_type() {
        RecordType::A => {
            *zone.asked.entry(name.clone()).or_default() += 1;
            let answers = zone.addresses.get_mut(&name);
            let next = answers.map_or(Vec::new(), |all| {
                if all.len() > 1 { all.remove(0) } else { all.first().cloned().unwrap_or_default() }
            });
            next.into_iter().map(|address| RData::A(A(address))).collect()
        }
        RecordType::TXT => {
            let texts = zone.texts.get(&name).cloned().unwrap_or_default();
            texts.into_iter().map(|text| RData::TXT(TXT::new(vec![text]))).collect()
        }
        _ => Vec::new(),
    };
    for data in data {
        answer.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    }
    answer.to_vec().ok()
}

/// A certification authority for a test.
pub(crate) struct Ca {
    pub(crate) file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = folder.join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Ca { file, issuer: Issuer::new(params, key) }
    }
}

/// An HTTPS server that answers what a test says, by path and query, and remembers what it
/// was asked.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<WebState>>,
    // Ends with the last of them.
    _runtime: Arc<Runtime>,
}

#[derive(Default)]
struct WebState {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
}

/// What is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    Text(u16, String),
    Redirect(String),
    /// So many bytes, without a length at the beginning.
    Long(usize),
    /// This, but only once the path has another answer.
    Late(String),
    /// Nothing, ever.
    Silence,
}

impl Web {
    pub(crate) fn start(ca: &Ca, ip: [u8; 4], port: u16, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca.issuer).unwrap();
        let (pem, key) = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
        // Fails where another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = Arc::new(Mutex::new(WebState::default()));
        let router = Router::new().fallback({
            let shared = Arc::clone(&state);
            move |request: Request| {
                let asked = request.uri().path_and_query().unwrap().to_string();
                let mut state = shared.lock().unwrap();
                state.asked.push(asked.clone());
                let answer = state.answers.get(&asked).cloned();
                drop(state);
                let shared = Arc::clone(&shared);
                async move {
                    if matches!(answer, Some(Answer::Late(_))) {
                        until_another(&shared, &asked).await;
                    }
                    respond(answer).await
                }
            }
        });
        let runtime = Runtime::new().unwrap();
        let handle = Handle::new();
        let address = runtime.block_on(async {
            let tls = RustlsConfig::from_pem(pem, key).await.unwrap();
            let server = axum_server::bind_rustls((ip, port).into(), tls).handle(handle.clone());
            tokio::spawn(server.serve(router.into_make_service()));
            handle.listening().await.unwrap()
        });
        Web { address, state, _runtime: Arc::new(runtime) }
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub(crate) fn set_json(&self, path: &str, body: &Value) {
        self.set(path, Answer::Text(200, body.to_string()));
    }

    /// Everything that it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn until_another(state: &Mutex<WebState>, path: &str) {
    while matches!(state.lock().unwrap().answers.get(path), Some(Answer::Late(_))) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn respond(answer: Option<Answer>) -> Response {
    match answer {
        Some(Answer::Late(text)) => Response::new(Body::from(text)),
        Some(Answer::Text(status, text)) => {
            Response::builder().status(status).body(Body::from(text)).unwrap()
        }
        Some(Answer::Redirect(to)) => {
            Response::builder().status(StatusCode::FOUND).header("location", to).body(Body::empty()).unwrap()
        }
        Some(Answer::Long(length)) => {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            tokio::spawn(async move {
                for _ in 0..length / 1024 {
                    if sender.send_data(Bytes::from_static(&[b' '; 1024])).await.is_err() {
                        return;
                    }
                }
            });
            Response::new(Body::new(body))
        }
        Some(Answer::Silence) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Response::new(Body::empty())
        }
        None => Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
    }
}
