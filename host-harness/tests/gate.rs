//! The embedded gate as its users meet it: a process, sockets, signals.

use crate::probe;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn it_says_its_version_and_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis-gate")).arg("--version").output().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with(&format!("portcullis-gate {version} (commit ")), "{said}");
}

/// By the letter after the path's slash: `t` traps, `d` denies, `h` holds until
/// the body's end. Anything else goes on, one header taken out, one put in.
const GATE: &str = r#"(global $hold (mut i32) (i32.const 0))
    (on configure
      (drop (call $buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
      (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 110))
        (then (drop (call $log (i32.const 4) {routes: at least one is needed})) (return (i32.const 0))))
      (i32.const 1))
    (on request_headers
      (local $wish i32)
      (drop (call $get (i32.const 0) {:path} (i32.const 0) (i32.const 4)))
      (local.set $wish (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
      (if (i32.eq (local.get $wish) (i32.const 116)) (then unreachable))
      (if (i32.eq (local.get $wish) (i32.const 100)) (then
        (drop (call $reply (i32.const 403) {} {denied} {} (i32.const -1)))))
      (drop (call $remove (i32.const 0) {x-gate-tier}))
      (drop (call $add (i32.const 0) {x-gate-issuer} {org}))
      (global.set $hold (i32.eq (local.get $wish) (i32.const 104)))
      (global.get $hold))
    (on request_body (i32.and (global.get $hold) (i32.eqz (local.get $end))))
    (on response_headers (drop (call $add (i32.const 2) {x-gate} {seen})) (i32.const 0))"#;

/// A running gate, and the address it listens on. Ends with the test.
struct Gate {
    process: Child,
    address: String,
}

impl Gate {
    fn start(upstream: &str) -> Self {
        let mut process = command("yes", upstream).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address =
            ready.strip_prefix("portcullis-gate: ready on ").and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("no ready line but {ready:?}")).to_owned();
        Self { process, address }
    }

    /// Sends a request as it is and reads until the gate closes.
    fn send(&self, request: &str) -> String {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A gate that refuses may close before it has read everything.
        let _ = connection.write_all(request.as_bytes());
        let mut response = Vec::new();
        let _ = connection.read_to_end(&mut response);
        String::from_utf8(response).unwrap()
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: api.example\r\nx-gate-tier: 3\r\nconnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &str) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n");
        self.send(&format!("{head}content-length: {}\r\n\r\n{body}", body.len()))
    }

    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The gate's command line, with a configuration file that holds this text.
fn command(config: &str, upstream: &str) -> Command {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str, bytes: &[u8]| {
        // Tests run at the same time in one process or in several: everyone writes files of its own.
        let name = format!("{}-{:?}-{name}", std::process::id(), thread::current().id());
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-gate"));
    command.arg("--wasm").arg(file("probe.wasm", &probe::wasm(GATE)));
    command.arg("--config").arg(file("config.json", config.as_bytes()));
    command.args(["--listen", "127.0.0.1:0", "--workers", "1", "--upstream", upstream]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// An upstream that answers every request with the request's own bytes; its address.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for connection in listener.incoming() {
            thread::spawn(move || answer(connection.unwrap()));
        }
    });
    address
}

fn answer(connection: TcpStream) {
    let mut reader = BufReader::new(&connection);
    let mut seen = String::new();
    while !seen.ends_with("\r\n\r\n") {
        if reader.read_line(&mut seen).unwrap() == 0 {
            return;
        }
    }
    let header = |name: &str| {
        seen.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_start_matches(": ").to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    if header("transfer-encoding").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            body.push(byte[0]);
        }
    }
    let length = seen.len() + body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nkeep-alive: timeout=5\r\nconnection: close, x-hop\r\nx-hop: 1\r\n\r\n"
    );
    let mut writer = &connection;
    writer.write_all(head.as_bytes()).unwrap();
    writer.write_all(seen.as_bytes()).unwrap();
    writer.write_all(&body).unwrap();
}

#[test]
fn an_admitted_request_reaches_the_upstream_as_the_plugin_left_it() {
    let gate = Gate::start(&echo());
    let response = gate.get("/a%2Fb/?q=%20");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("x-gate: seen\r\n"), "the response passes the plugin: {response}");
    assert!(response.contains("GET /a%2Fb/?q=%20 HTTP/1.1\r\n"), "{response}");
    assert!(response.contains("host: api.example\r\n"), "{response}");
    assert!(response.contains("x-gate-issuer: org\r\n") && !response.contains("x-gate-tier"), "{response}");
}

#[test]
fn nothing_that_concerns_one_connection_passes_the_gate() {
    let gate = Gate::start(&echo());
    let response = gate.send(
        "GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close, X-Mine\r\nx-mine: 1\r\nkeep-alive: 5\r\n\
         te: trailers\r\nproxy-authorization: Basic x\r\nx-other: 1\r\n\r\n",
    );
    let (head, seen) = response.split_once("\r\n\r\n").unwrap();
    assert!(seen.contains("x-other: 1"), "{seen}");
    for name in ["connection", "x-mine", "keep-alive", "te:", "proxy-authorization"] {
        assert!(!seen.contains(name), "{name} reached the upstream: {seen}");
    }
    assert!(!head.contains("x-hop") && !head.contains("keep-alive"), "{head}");
}

#[test]
fn a_refused_request_never_reaches_the_upstream() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    upstream.set_nonblocking(true).unwrap();
    let gate = Gate::start(&upstream.local_addr().unwrap().to_string());
    let response = gate.post("/deny", "body");
    assert!(response.starts_with("HTTP/1.1 403 Forbidden\r\n") && response.ends_with("denied"), "{response}");
    assert!(upstream.accept().is_err(), "the upstream saw a connection");
}

#[test]
fn a_held_body_arrives_whole_and_one_too_large_is_refused() {
    let gate = Gate::start(&echo());
    let response = gate.post("/hold", "the body");
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("the body"), "{response}");
    let response = gate.post("/hold", &"x".repeat(1024 * 1024 + 1));
    assert!(response.starts_with("HTTP/1.1 413"), "{}", response.lines().next().unwrap_or_default());
}

#[test]
fn bodies_that_are_not_held_have_no_limit_and_may_be_chunked() {
    let gate = Gate::start(&echo());
    let body = "0123456789".repeat(500_000);
    assert!(gate.post("/free", &body).ends_with(&body));

    let head =
        "POST /free HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let response = gate.send(&format!("{head}5\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-gate-tier: 3\r\n\r\n"));
    assert!(response.contains("transfer-encoding: chunked\r\n"), "{response}");
    assert!(response.contains("first") && response.contains("second") && !response.contains("x-gate-tier"));
}

#[test]
fn ambiguous_and_oversized_heads_are_refused_and_the_next_request_works() {
    let gate = Gate::start(&echo());
    let with = |headers: &str| gate.send(&format!("GET / HTTP/1.1\r\n{headers}connection: close\r\n\r\n"));
    for (headers, status) in [
        (String::new(), "400"),
        ("host: a\r\nhost: b\r\n".to_owned(), "400"),
        ("host: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n".to_owned(), "403"),
        (format!("host: a\r\nx-large: {}\r\n", "x".repeat(61 * 1024)), "431"),
        (format!("host: a\r\n{}", "x-many: 1\r\n".repeat(1000)), "431"),
    ] {
        let response = with(&headers);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{:.60}: {response:.200}", headers);
    }
    let elsewhere = gate.send("GET http://other/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 400"), "{elsewhere}");
    assert!(gate.send("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n").starts_with("HTTP/1.1 403"));
    assert!(with(&format!("host: a\r\nx-large: {}\r\n", "x".repeat(50 * 1024))).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_trap_is_answered_with_503_and_a_fresh_vm_takes_over() {
    let gate = Gate::start(&echo());
    assert!(gate.get("/trap").starts_with("HTTP/1.1 503"));
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until the pause after the death is over, everything is refused.
    loop {
        let response = gate.get("/");
        if response.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(response.starts_with("HTTP/1.1 503"), "{response}");
        assert!(Instant::now() < deadline, "no fresh VM");
    }
}

#[test]
fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert!(Gate::start(&closed).get("/").starts_with("HTTP/1.1 502"));
}

#[test]
fn a_refused_configuration_ends_the_process_with_what_the_plugin_said() {
    let Output { status, stderr, stdout } = command("no", "127.0.0.1:1").output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("routes: at least one is needed"), "{said}");
    assert!(stdout.is_empty());
}

#[test]
fn a_gate_that_is_told_to_stop_finishes_and_exits_with_0() {
    let mut gate = Gate::start(&echo());
    // An idle keep-alive connection does not keep it.
    let mut idle = TcpStream::connect(&gate.address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    gate.terminate();
    assert_eq!(gate.process.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(&gate.address).is_err(), "nobody listens any more");
}
