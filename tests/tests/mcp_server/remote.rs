//! `portcullis-control mcp` before something that is not, or not only, the control service.

use super::scene::{Scene, Transport};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

/// A server that answers one request with these bytes; gives its URL, and then what it was
/// asked.
fn answering(answer: Vec<u8>) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            asked.push(byte[0]);
        }
        // It may hang up before the end of what is too long.
        let _ = stream.write_all(&answer);
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, asked)
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// What a call tells of this answer.
fn told(scene: &mut Scene, session: &str, answer: Vec<u8>) -> Value {
    let (url, asked) = answering(answer);
    scene.open_with(session, Transport::Stdio, "auto", &url, "mod_live_secret");
    let told = scene.try_call(session, "list_gates", json!({}));
    let asked = asked.join().expect("a request").to_ascii_lowercase();
    assert!(asked.starts_with("get /api/gates http/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: bearer mod_live_secret\r\n"), "{asked}");
    assert!(!told.to_string().contains("mod_live_secret"), "{told:.300}");
    json!([
        told["is_error"],
        serde_json::from_str::<Value>(told["text"].as_str().expect("a text")).expect("JSON")
    ])
}

#[test]
fn answers_that_are_not_the_services_are_told_apart_and_redirects_not_followed() {
    let mut scene = Scene::new(None);
    assert_eq!(told(&mut scene, "empty", http("204 No Content", "", "")), json!([false, {}]));
    assert_eq!(told(&mut scene, "list", http("200 OK", "", "[1]")), json!([false, [1]]));
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("a mode");
    let location = format!("location: http://{}/api/gates\r\n", elsewhere.local_addr().expect("an address"));
    let strange: [(&str, &str, &str); 4] = [
        ("302 Found", &location, ""),
        ("307 Temporary Redirect", &location, "<html>"),
        ("200 OK", "", "<html>"),
        ("502 Bad Gateway", "", "no upstream"),
    ];
    for (status, headers, body) in strange {
        let told = told(&mut scene, status, http(status, headers, body));
        assert_eq!((&told[0], &told[1]["code"]), (&json!(true), &json!("unexpected_answer")), "{told}");
        let number = status.split(' ').next().expect("a number");
        assert!(told[1]["message"].as_str().is_some_and(|message| message.contains(number)), "{told}");
    }
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
}

#[test]
fn an_answer_without_end_is_left() {
    let mut scene = Scene::new(None);
    let long = format!("[{}0]", "0,".repeat(9 << 20));
    let told = told(&mut scene, "s", http("200 OK", "", &long));
    assert_eq!((&told[0], &told[1]["code"]), (&json!(true), &json!("too_long")), "{told:.300}");
}

#[test]
fn a_service_that_is_away_is_named() {
    let mut scene = Scene::new(None);
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    scene.open_with("s", Transport::Stdio, "legacy", &format!("http://{gone}"), "mod_live_secret");
    let refusal = scene.refused("s", "list_gates", json!({}));
    assert_eq!(refusal["code"], "unreachable");
    assert!(
        refusal["message"].as_str().is_some_and(|message| message.contains(&gone.to_string())),
        "{refusal}"
    );
    assert!(!refusal.to_string().contains("mod_live_secret"));
}

#[test]
fn what_cannot_be_called_is_said_at_the_start() {
    let program = std::env::var_os("PORTCULLIS_CONTROL")
        .expect("PORTCULLIS_CONTROL is not set: run `cargo xtask test`");
    for (url, key, problem) in [
        ("control.example", "k", "MODEI_API_URL"),
        ("ftp://control.example", "k", "MODEI_API_URL must be"),
        ("https://control.example/api", "k", "MODEI_API_URL must be"),
        ("https://user:secret@control.example", "k", "MODEI_API_URL must be"),
        ("https://control.example?x", "k", "MODEI_API_URL must be"),
        ("https://control.example", "a\nb", "MODEI_API_KEY has characters"),
    ] {
        let mut command = Command::new(&program);
        command.arg("mcp").env("MODEI_API_URL", url).env("MODEI_API_KEY", key).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{url}: {said}");
        assert!(said.contains(problem) && !said.contains("secret"), "{url}: {said}");
    }
    let mut command = Command::new(&program);
    command.arg("mcp").env_remove("MODEI_API_KEY").stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--key"), "the key is needed");
}
