//! Proofs of requests at a gate in real Envoy with two workers: copies of one request at
//! once, agents that sign as the page for them says, and bodies over HTTP/2.

use crate::live_stand::{Fault, LiveStand, Wishes, agent, given};
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, Issuer, RootKind, issue, self_agent_id};
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime};
use xtask::http::{Request, exchange};
use xtask::workspace::Workspace;

const ISSUER: u8 = 8;

/// A gate of this profile that trusts one issuer, certified.
fn gate(profile: &str, authority: &str, nonce_authority: bool) -> String {
    let public_key = base64::encode(&agent(ISSUER).public_key());
    json!({
        "gate": {"id": "gate_proofs"}, "profile": profile, "authorities": [authority],
        "routes": [{"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"}],
        "trust": {"issuers": [{
            "id": "issuer:acme", "type": "platform", "tier": 3, "domain_verified": true,
            "actions": ["flights:*"], "keys": [{"key_id": "ik_1", "public_key": public_key}],
        }]},
        "max_body_bytes": 65536, "nonce_authority": nonce_authority,
    })
    .to_string()
}

fn stand(name: &str, profile: &str, nonce_authority: bool) -> LiveStand {
    let gate = |authority: &str| gate(profile, authority, nonce_authority);
    let stand = LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() });
    // Proofs tell whole seconds, and the one in which the gate began is partly before it.
    let began = now().as_millis() / 1000;
    let waiting = Instant::now();
    while now().as_millis() / 1000 == began {
        assert!(waiting.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    stand
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// A passport of the issuer for this agent.
fn passport(holder: &SecretKey) -> portcullis_core::modei::Signed {
    let by =
        Issuer { kind: RootKind::Platform, id: "issuer:acme".into(), key_id: "ik_1".into(), gate_id: None };
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Object::default())],
        issued_at: now(),
        expires_at: now().plus_millis(3_000_000),
        delegation_authority: false,
    };
    let public_key = holder.public_key();
    issue(&agent(ISSUER), &by, &self_agent_id(&public_key), &public_key, &draft)
}

/// A request with its proof.
fn request(
    holder: &SecretKey,
    credential: &str,
    authority: &str,
    nonce: &str,
    body: Option<&[u8]>,
) -> Request {
    let method = if body.is_some() { "POST" } else { "GET" };
    let draft = ProofDraft {
        method,
        authority,
        path: "/flights",
        query: None,
        credential: ("agent-passport", credential),
        body,
        key_id: &self_agent_id(&holder.public_key()),
        created: now(),
        expires: None,
        nonce,
    };
    let mut request = Request::new(method, "/flights");
    request.headers.push(("agent-passport".into(), credential.into()));
    request.headers.extend(draft.sign(holder).into_iter().map(|(name, value)| (name.to_owned(), value)));
    request.body = body.unwrap_or_default().to_vec();
    request
}

fn nonce(number: usize) -> String {
    base64::encode_url(format!("nonce number {number:010}").as_bytes())
}

/// What came of copies of one request that were sent at once.
struct Copies {
    passed: usize,
    /// Those of which the service that knows all nonces was not heard in time, which a busy machine may
    /// bring about. All others were replays.
    undecided: usize,
}

/// Sends copies of one request at once.
fn send(copies: &[SocketAddr], request: &[u8]) -> Copies {
    let barrier = Barrier::new(copies.len());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let sending: Vec<_> = copies
            .iter()
            .map(|to| {
                let barrier = &barrier;
                scope.spawn(move || {
                    // Connected before, so that they meet in the gate and not in the kernel.
                    let connected = TcpStream::connect(to).unwrap();
                    barrier.wait();
                    drop(connected);
                    exchange(*to, request).unwrap()
                })
            })
            .collect();
        sending.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut told = Copies { passed: 0, undecided: 0 };
    for answer in &answers {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, problem["reason_code"].as_str()) {
            (200, _) => told.passed += 1,
            (401, Some("request_replayed")) => {}
            (503, Some("nonce_authority_unavailable")) => told.undecided += 1,
            _ => panic!("{} {problem}", answer.status),
        }
    }
    told
}

#[test]
fn of_copies_that_come_at_once_to_two_workers_exactly_one_passes() {
    let stand = stand("proofs-copies", "L2", false);
    let authority = stand.envoy.listen.to_string();
    let holder = agent(1);
    let credential = passport(&holder).to_header();
    for number in 0..150 {
        let body = (number % 3 == 0).then_some(&b"window seat"[..]);
        let request = request(&holder, &credential, &authority, &nonce(number), body);
        let copies = [stand.envoy.listen; 4];
        assert_eq!(send(&copies, &request.to_bytes(&authority, true)).passed, 1, "request {number}");
    }
    assert_eq!(stand.counter("portcullis_decisions.allow.ok"), 150);
    assert_eq!(stand.counter("portcullis_decisions.block.request_replayed"), 450);
}

#[test]
fn of_copies_that_come_at_once_to_two_envoys_exactly_one_passes() {
    let stand = stand("proofs-envoys", "L2", true);
    let second = stand.another_envoy("proofs-envoys-2", &stand.enrolled);
    // The second began later than the first, and may be in its first second.
    std::thread::sleep(Duration::from_secs(1));
    // One address stands for both.
    let authority = stand.envoy.listen.to_string();
    let holder = agent(1);
    let credential = passport(&holder).to_header();
    let mut decided = 0;
    for number in 0..MOST_TRIES {
        let request = request(&holder, &credential, &authority, &nonce(number), None);
        let copies = [stand.envoy.listen, second.listen, stand.envoy.listen, second.listen];
        let told = send(&copies, &request.to_bytes(&authority, true));
        assert!(told.passed <= 1, "request {number}");
        if told.undecided == 0 {
            assert_eq!(told.passed, 1, "request {number}");
            decided += 1;
            if decided == DECIDED {
                return;
            }
        }
    }
    panic!("only {decided} of {MOST_TRIES} were decided");
}

/// How many requests two Envoys are to decide by the service's word, and of how many on a machine that
/// is so busy that the word comes too late now and then.
const DECIDED: usize = 40;
const MOST_TRIES: usize = 200;

/// The answer to a request with its proof: the status, the reason, and the next challenge.
fn ask(stand: &LiveStand, holder: &SecretKey, nonce: &str) -> (u16, String, String) {
    let authority = stand.envoy.listen.to_string();
    let credential = passport(holder).to_header();
    let answer = request(holder, &credential, &authority, nonce, None).send(stand.envoy.listen).unwrap();
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = problem["reason_code"].as_str().unwrap_or_default().to_owned();
    let next = answer.header("accept-signature").and_then(portcullis_core::nonce_wanted);
    (answer.status, code, next.unwrap_or_default().to_owned())
}

#[test]
fn a_gate_of_l3_bites_at_once_and_trusts_no_silence_for_longer_than_ten_seconds() {
    let stand = stand("proofs-fresh", "L3", false);
    let holder = agent(1);
    let (status, code, next) = ask(&stand, &holder, &nonce(1));
    assert_eq!((status, code.as_str()), (401, "challenge_unknown"));
    let (status, code, mut next) = ask(&stand, &holder, &next);
    assert_eq!((status, code.as_str()), (200, ""));

    // From the call's return to the refusal: as soon as a push takes.
    let body = json!({"kind": "passport", "issuer": "issuer:acme", "ids": ["pp_1"]});
    stand.call("POST", "/api/v1/revocations", &body);
    let revoked = Instant::now();
    loop {
        let (_, code, offered) = ask(&stand, &holder, &next);
        next = offered;
        if code == "passport_revoked" {
            break;
        }
        assert!(revoked.elapsed() < Duration::from_secs(60), "{code}");
    }

    // Nobody is told that the service is silent: its last word is ten seconds old, and that is all.
    stand.line.set(Fault::Failing);
    let silent = Instant::now();
    while ask(&stand, &holder, &nonce(2)).1 != "trust_material_stale" {
        assert!(silent.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
    }
    stand.line.set(Fault::None);
    let back = Instant::now();
    while ask(&stand, &holder, &nonce(3)).1 != "passport_revoked" {
        assert!(back.elapsed() < Duration::from_secs(60), "the gate takes up nothing again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The block of code in this language of the page for developers of agents.
fn recipe(language: &str) -> String {
    let page = Workspace::find().unwrap().root.join("docs/signing-requests.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block of code");
    rest.split_once("\n```").expect("its end").0.to_owned()
}

/// What a program prints: the status of the answer, and the answer.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

fn with_cli(
    folder: &Path,
    url: &str,
    to: SocketAddr,
    body: Option<&str>,
    challenge: Option<&str>,
) -> (u16, String) {
    let mut command = Command::new(given("PORTCULLIS_CLI"));
    command.current_dir(folder).args(["sign", "--key", "agent.json", "--passport", "passport.json"]);
    if let Some(body) = body {
        std::fs::write(folder.join("body"), body).unwrap();
        command.args(["--body", "body"]);
    }
    if let Some(challenge) = challenge {
        command.args(["--challenge", challenge]);
    }
    let method = if body.is_some() { "POST" } else { "GET" };
    let headers = run(command.args([method, url]));
    let mut request = Request::new(method, "/flights?from=HAM");
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    request.body = body.unwrap_or_default().as_bytes().to_vec();
    let answer = request.send(to).unwrap();
    let asked = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept-signature"));
    (answer.status, asked.map(|(_, value)| value.clone()).unwrap_or_default())
}

#[test]
fn agents_that_sign_as_the_page_for_them_says_are_admitted_at_l2_and_l3() {
    for profile in ["L2", "L3"] {
        let stand = stand(&format!("proofs-recipes-{profile}"), profile, false);
        let folder = tempfile::tempdir().unwrap();
        run(Command::new(given("PORTCULLIS_CLI")).current_dir(&folder).args([
            "keygen",
            "--out",
            "agent.json",
        ]));
        let key: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("agent.json")).unwrap()).unwrap();
        let seed = base64::decode_array(key["private_key_base64"].as_str().unwrap()).unwrap();
        let signed = passport(&SecretKey::from_seed(seed));
        std::fs::write(folder.path().join("passport.json"), signed.to_json()).unwrap();
        std::fs::write(folder.path().join("agent.py"), recipe("python")).unwrap();
        std::fs::write(folder.path().join("agent.mjs"), recipe("javascript")).unwrap();
        let url = format!("http://{}/flights?from=HAM", stand.envoy.listen);
        for (program, file) in [("PORTCULLIS_PYTHON", "agent.py"), ("PORTCULLIS_NODE", "agent.mjs")] {
            for (method, body) in [("GET", None), ("POST", Some("window seat"))] {
                let mut command = Command::new(given(program));
                let printed = run(command.current_dir(&folder).arg(file).arg(method).arg(&url).args(body));
                assert!(printed.starts_with("200 "), "{profile} {file} {method}: {printed}");
                let (_, saw) = printed.split_once(' ').unwrap();
                let saw: Value = serde_json::from_str(saw).unwrap();
                assert_eq!(saw["body"]["text"], body.unwrap_or_default());
            }
        }
        for body in [None, Some("window seat")] {
            let (status, asked) = with_cli(folder.path(), &url, stand.envoy.listen, body, None);
            if profile == "L2" {
                assert_eq!(status, 200);
                continue;
            }
            assert_eq!(status, 401);
            let (status, next) = with_cli(folder.path(), &url, stand.envoy.listen, body, Some(&asked));
            assert_eq!(status, 200);
            let (status, _) = with_cli(folder.path(), &url, stand.envoy.listen, body, Some(&next));
            assert_eq!(status, 200, "the next challenge is good at once");
        }
    }
}

#[test]
fn bodies_over_http_2_are_held_until_their_digest_is_right() {
    let stand = stand("proofs-http2", "L2", false);
    let authority = stand.envoy.listen.to_string();
    let holder = agent(1);
    let credential = passport(&holder).to_header();
    let sent = |number: usize, signed: &str, chunks: &[&str], trailers: Option<Value>| {
        let body = (!signed.is_empty()).then_some(signed.as_bytes());
        let request = request(&holder, &credential, &authority, &nonce(number), body);
        let mut headers = json!({":method": request.method, ":path": "/flights", ":authority": authority});
        for (name, value) in &request.headers {
            headers[name] = json!(value);
        }
        json!({"headers": headers, "chunks": chunks, "trailers": trailers})
    };
    let long = "x".repeat(40_000);
    let requests = [
        (sent(0, "", &[], None), 200, "a GET without a body"),
        (sent(1, "window seat", &["window ", "s", "eat"], None), 200, "a body in frames"),
        (sent(2, "window seat", &["window seat"], Some(json!({"x-a": "b"}))), 200, "and trailers"),
        (sent(3, "window seat", &["aisle seat!"], None), 401, "another body"),
        (sent(4, "window seat", &["window ", "sea"], None), 401, "a body that lacks its end"),
        (sent(5, "window seat", &[], None), 401, "a body that is left out"),
        (sent(6, "window seat", &["window ", "seat", " 12A"], Some(json!({"x-a": "b"}))), 401, "more of it"),
        (sent(7, "", &["window seat"], None), 401, "a body that nobody signed"),
        (sent(8, &(long.clone() + &long), &[&long, &long], None), 413, "a body that is too long"),
    ];
    let cases: Vec<_> = requests.iter().map(|(request, ..)| request).collect();
    let input = json!({"origin": format!("http://{authority}"), "requests": cases}).to_string();
    let script = Workspace::find().unwrap().root.join("tests/node/http2.mjs");
    let mut child = Command::new(given("PORTCULLIS_NODE"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), requests.len());
    for (answer, (_, status, what)) in answers.iter().zip(&requests) {
        assert_eq!(answer["status"], *status, "{what}: {answer}");
    }
    // The upstream has never seen the head of one that was refused for its body.
    assert_eq!(stand.upstream.served(), 3);
}
