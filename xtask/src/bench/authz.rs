//! A native service for Envoy's external authorization, with the checks of a gate: what the
//! gate in Envoy is compared with. It is a process of its own, optimised, with a thread for
//! each of Envoy's connections.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use portcullis_core::live::{
    FingerprintKey, Head, LiveTrust, Next, RevocationPage, RevocationState, SnapshotDraft, TrustResponse,
};
use portcullis_core::{
    CredentialCache, GateConfiguration, LocalMemory, Process, Reason, RequestHead, SecretKey, Step, UnixTime,
    Verifier, base64,
};
use serde_json::{Value, json};

use crate::http::MAX_HEADERS;
use crate::workspace::Workspace;
use crate::{children, net};

#[derive(Args)]
pub(crate) struct Options {
    /// The gate's configuration: all of it, as a control service would send it
    #[arg(long)]
    config: PathBuf,
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
}

/// The service as a running process.
pub(super) struct Running {
    process: children::Running,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Running {
    /// Starts the service in this program.
    pub(super) fn start(workspace: &Workspace, program: &Path, config: &Value) -> Result<Self> {
        let folder = workspace.target_folder("bench")?;
        let [address] = net::free()?;
        let file = folder.join(format!("authz-{}.json", address.port()));
        std::fs::write(&file, config.to_string())?;
        let log = File::create(folder.join("authz.log"))?;
        let mut command = Command::new(program);
        command.arg("bench-authz").arg("--config").arg(&file).args(["--listen", &address.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running =
            Self { process: children::Running::start(&mut command, "the native service")?, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(
                running.process.ended()?.is_none() && began.elapsed() < START_DEADLINE,
                "the native service did not start: see {}",
                folder.join("authz.log").display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// The process's id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }
}

/// It asks cargo where things are before it starts, which takes longer than the rest.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Serves until it is ended.
pub(crate) fn serve(options: &Options) -> Result<bool> {
    let config = std::fs::read_to_string(&options.config)
        .with_context(|| format!("cannot read {}", options.config.display()))?;
    let gate = Arc::new(Gate::new(&config)?);
    let listener = TcpListener::bind(options.listen)?;
    // One thread for each connection; Envoy opens one for each request that is under way, of
    // which there are a handful.
    for stream in listener.incoming() {
        let (stream, gate) = (stream?, Arc::clone(&gate));
        std::thread::spawn(move || {
            if let Err(error) = connection(stream, &gate) {
                eprintln!("a connection ended: {error:#}");
            }
        });
    }
    Ok(true)
}

/// What all connections decide by.
struct Gate {
    trust: LiveTrust,
    process: Process,
    memory: Mutex<LocalMemory>,
}

impl Gate {
    /// A gate whose trust material is what a service would have sent it now, with nothing
    /// revoked. It grows old, but for an hour it is good.
    fn new(config: &str) -> Result<Self> {
        let now = now()?;
        let key = SecretKey::from_seed([7; 32]);
        let parsed: Value = serde_json::from_str(config)?;
        let gate = parsed.pointer("/gate/id").and_then(Value::as_str).context("the gate has no id")?;
        let service = json!({
            "gate": { "id": gate },
            "service": {
                "cluster": "none", "authority": "none",
                "keys": [{ "key_id": KEY_ID, "public_key": base64::encode(&key.public_key()) }],
            },
        });
        let GateConfiguration::Live(service) = GateConfiguration::from_json(service.to_string().as_bytes())?
        else {
            bail!("a gate with a service is a live one");
        };
        let mut trust = LiveTrust::new(&service)?;
        let snapshot = SnapshotDraft { gate, number: 1, time: now, config }.sign(&key, KEY_ID)?;
        let head = Head {
            gate: gate.to_owned(),
            time: now,
            number: 1,
            snapshot_number: 1,
            snapshot_sha256: snapshot.sha256,
            revocations: RevocationState::default(),
            followed: Vec::new(),
            echo: base64::encode_url(&[0; 16]),
        };
        let answer = TrustResponse {
            head: head.sign(&key, KEY_ID),
            snapshot: Some(snapshot.token),
            delta: None,
            reload: true,
        };
        trust.accept(&answer, now, None)?;
        if let Next::Page { from } = trust.next() {
            let page = RevocationPage {
                gate: gate.to_owned(),
                number: 0,
                key: FingerprintKey::new([7; 16]),
                from,
                to: u64::MAX,
                fingerprints: Vec::new(),
            };
            trust.accept_page(page.sign(&key, KEY_ID).as_bytes(), now)?;
        }
        if let Err(denial) = trust.current() {
            bail!("the trust material was not taken up: {}", denial.detail);
        }
        let process = Process::new([7; 32], now);
        let memory = Mutex::new(LocalMemory::new(&process));
        Ok(Self { trust, process, memory })
    }

    /// Decides a request, whose body `rest` reads on; gives the reason of a refusal.
    fn decide(
        &self,
        head: &RequestHead<'_>,
        cache: &mut CredentialCache,
        nothing_counted: &mut LocalMemory,
        mut more: impl FnMut() -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Reason>> {
        let Ok(current) = self.trust.current() else { return Ok(Some(Reason::TrustMaterialMissing)) };
        let verifier = Verifier::new(current.snapshot).with_live(current.live).with_process(&self.process);
        let mut step = verifier.begin(head, now()?, cache, nothing_counted);
        let mut refused = None;
        while let Some(piece) = more()? {
            if let Step::NeedBody(pending) = &mut step {
                refused = refused.or(pending.absorb(&piece).err());
            }
        }
        if let Some(refused) = refused {
            return Ok(Some(refused.denial.reason));
        }
        if let Step::NeedBody(pending) = step {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            step = verifier.finish(pending, now()?, &mut *memory);
        }
        Ok(match step {
            Step::Permit(_) => None,
            Step::Deny(refused) => Some(refused.denial.reason),
            Step::Hold(held) => Some(held.refused.denial.reason),
            Step::NeedBody(_) | Step::NeedAuthority(_) => bail!("a body was asked for twice"),
        })
    }
}

const KEY_ID: &str = "bench";

/// Answers one connection's requests, in turn, until it closes.
fn connection(mut stream: TcpStream, gate: &Gate) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut cache = CredentialCache::new(CACHE);
    // Without guardrails nothing is counted, and connections need not wait for each other.
    let mut nothing_counted = LocalMemory::new(&gate.process);
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let Some((length, body)) = whole_head(&mut stream, &mut bytes)? else { return Ok(()) };
        let received: Vec<u8> = bytes.drain(..length).collect();
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut slots);
        parsed.parse(&received)?;
        let (method, path) = parsed.method.zip(parsed.path).context("a request has no first line")?;
        // Envoy writes them in lower case.
        let headers: Vec<_> =
            parsed.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        let host = headers.iter().find(|(name, _)| *name == b"host").context("a request has no host")?.1;
        let head = RequestHead {
            method: method.as_bytes(),
            authority: host,
            path: path.as_bytes(),
            headers: &headers,
            source: None,
        };
        let mut left = body;
        let refused = gate.decide(&head, &mut cache, &mut nothing_counted, || {
            if left > 0 && bytes.is_empty() {
                ensure!(read(&mut stream, &mut bytes)?, "a body ended early");
            }
            let piece: Vec<u8> = bytes.drain(..left.min(bytes.len())).collect();
            left = left.saturating_sub(piece.len());
            Ok(Some(piece).filter(|piece| !piece.is_empty()))
        })?;
        let answer = match refused {
            None => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Some(reason) => {
                let code = reason.code();
                format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{code}", code.len())
            }
        };
        stream.write_all(answer.as_bytes())?;
    }
}

/// Reads until the head of a request is whole; gives its length and its body's. None when
/// the peer has closed between requests.
fn whole_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<(usize, usize)>> {
    while bytes.len() < LONGEST_HEAD {
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut slots);
        if let httparse::Status::Complete(length) = head.parse(bytes)? {
            let value = |name: &str| {
                head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|one| one.value)
            };
            ensure!(value("transfer-encoding").is_none(), "a body's length is not known");
            let body = match value("content-length") {
                Some(length) => std::str::from_utf8(length)?.parse()?,
                None => 0,
            };
            return Ok(Some((length, body)));
        }
        if !read(stream, bytes)? {
            ensure!(bytes.is_empty(), "a head ended early");
            return Ok(None);
        }
    }
    bail!("a head is too long")
}

/// Reads what there is; false at the end.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<bool> {
    let before = bytes.len();
    bytes.resize(before.saturating_add(PIECE), 0);
    let count = stream.read(bytes.get_mut(before..).unwrap_or_default())?;
    bytes.truncate(before.saturating_add(count));
    Ok(count > 0)
}

fn now() -> Result<UnixTime> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(UnixTime::from_millis(i64::try_from(since.as_millis())?))
}

/// What is read at once.
const PIECE: usize = 64 << 10;

/// As Envoy's own default for all headers, with the first line.
const LONGEST_HEAD: usize = 128 << 10;

/// What a gate has by default, in bytes.
const CACHE: usize = 4 << 20;
