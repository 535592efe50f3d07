//! The protocol itself: its beginning, its errors, who is let in, and several at once.

use super::scene::{Scene, Transport, WAYS};
use serde_json::{Value, json};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use xtask::http::{Request, Response, exchange};

/// JSON-RPC 2.0, section 5.1.
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

#[test]
fn a_session_begins_is_asked_and_answers_errors_as_the_protocol_has_them() {
    let mut scene = Scene::new(None);
    for (number, (transport, mode, version)) in WAYS.into_iter().enumerate() {
        let session = number.to_string();
        let begun = scene.open(&session, transport, mode);
        assert_eq!(
            (&begun["version"], &begun["server"]),
            (&json!(version), &json!("portcullis-control")),
            "{begun}"
        );
        let offered: Vec<_> = begun["capabilities"].as_object().expect("an object").keys().collect();
        assert_eq!(offered, ["tools"]);
        let unknown = scene.try_call(&session, "drop_tables", json!({}));
        assert_eq!(
            (&unknown["code"], &unknown["message"]),
            (&json!(INVALID_PARAMS), &json!("there is no tool drop_tables"))
        );
        let ping = scene.client.ask("ping", json!({"session": session}));
        // The version without a handshake has no ping any more.
        let expected = if mode == "legacy" { Value::Null } else { json!(METHOD_NOT_FOUND) };
        assert_eq!(ping["code"], expected, "{ping}");
        let asked = json!({"session": session, "method": "gates/open", "params": {}});
        assert_eq!(scene.client.ask("request", asked)["code"], METHOD_NOT_FOUND);
        // None of that has ended it.
        assert_eq!(scene.call(&session, "list_gates", json!({})), json!([]));
        scene.client.ask("close", json!({"session": session}));
    }
}

#[test]
fn two_sessions_at_once_have_each_its_own_key() {
    let mut scene = Scene::new(None);
    let (_, made) =
        scene.rest("POST", "/api/users/api-keys", Some(json!({"name": "reader", "scopes": ["gates:read"]})));
    let (url, reader) = (scene.service.url(), made["key"].as_str().expect("a key").to_owned());
    for (number, (transport, mode, _)) in WAYS.into_iter().enumerate() {
        let (all, few) = (format!("all {number}"), format!("few {number}"));
        scene.open(&all, transport, mode);
        scene.open_with(&few, transport, mode, &url, &reader);
        let calls: Vec<Value> = (0..20)
            .map(|index| {
                let session = if index % 2 == 0 { &all } else { &few };
                let arguments =
                    json!({"name": "A", "gate_id": format!("gate_{number}_{index}"), "profile": "L1"});
                json!({"session": session, "name": "create_gate", "arguments": arguments})
            })
            .collect();
        let answers = scene.client.ask("call_together", json!({"calls": calls}));
        for (index, answer) in answers["answers"].as_array().expect("a list").iter().enumerate() {
            let text: Value = serde_json::from_str(answer["text"].as_str().expect("a text")).expect("JSON");
            if index % 2 == 0 {
                assert_eq!(text["gate_id"], format!("gate_{number}_{index}"), "{answer}");
            } else {
                assert_eq!(
                    (&answer["is_error"], &text["code"]),
                    (&json!(true), &json!("forbidden")),
                    "{answer}"
                );
                assert_eq!(text["message"], "the API key lacks the scope gates:write");
            }
        }
        assert_eq!(scene.call(&few, "list_gates", json!({})), scene.call(&all, "list_gates", json!({})));
    }
}

#[test]
fn a_call_that_is_cancelled_hangs_up_on_rest_and_leaves_the_session() {
    let mut scene = Scene::new(None);
    // A service that takes requests and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (url, key) =
        (format!("http://{}", silent.local_addr().expect("an address")), scene.service.key.clone());
    for mode in ["legacy", "auto"] {
        scene.open_with(mode, Transport::Stdio, mode, &url, &key);
        let cancelled = json!({"session": mode, "name": "list_gates", "arguments": {}, "after": 1.0});
        assert_eq!(scene.client.ask("call_and_cancel", cancelled), json!({"answered": false}));
        let (mut asked, _) = silent.accept().expect("the call came");
        assert_eq!(left(&mut asked), "GET /api/gates HTTP/1.1");
        let unknown = scene.try_call(mode, "drop_tables", json!({}));
        assert_eq!(unknown["code"], INVALID_PARAMS);
    }
    for (transport, mode, _) in WAYS {
        let session = format!("{transport:?} {mode}");
        scene.open(&session, transport, mode);
        let cancelled = json!({"session": session, "name": "list_gates", "arguments": {}, "after": 0.0});
        scene.client.ask("call_and_cancel", cancelled);
        assert_eq!(scene.call(&session, "list_gates", json!({})), json!([]));
    }
}

/// Waits until the other side has hung up; gives the first line that it sent.
fn left(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).expect("it hangs up");
    String::from_utf8_lossy(&sent).lines().next().expect("a line").to_owned()
}

#[test]
fn whoever_has_no_good_key_is_told_so_and_learns_no_more() {
    let mut scene = Scene::with(None, &["--failed-rate", "1000"]);
    for (transport, mode, _) in WAYS {
        let url = scene.service.url();
        let session = format!("{transport:?} {mode}");
        let begun = scene.open_with(&session, transport, mode, &url, "mod_live_wrong");
        match transport {
            Transport::Http => assert!(begun.get("error").is_some(), "{begun}"),
            Transport::Stdio => {
                let refusal = scene.refused(&session, "list_gates", json!({}));
                assert_eq!(refusal["message"], "the API key is unknown or revoked");
            }
        }
    }
    let key = scene.service.key.clone();
    let bearer = format!("Bearer {key}");
    let cases: [(&str, &str, u16); 6] = [
        ("authorization", &bearer, 200),
        ("authorization", "Bearer mod_live_wrong", 401),
        ("authorization", "Basic YTpi", 401),
        ("authorization", &key, 401),
        ("x-capiscio-registry-key", &key, 401),
        ("x-none", "", 401),
    ];
    for (name, value, expected) in cases {
        let answer = list(&scene, &[(name, value)]);
        assert_eq!(answer.status, expected, "{name}: {value}");
        let challenge = (expected == 401).then_some("Bearer realm=\"portcullis\"");
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert_eq!(String::from_utf8_lossy(&answer.body).contains("create_gate"), expected == 200);
    }
    // A good key beside a wrong one: the calls are made with the one that was looked at.
    let both = list(&scene, &[("authorization", "Bearer mod_live_wrong"), ("x-capiscio-registry-key", &key)]);
    assert_eq!(both.status, 401);
}

#[test]
fn guessing_keys_is_slowed_down_as_everywhere() {
    let scene = Scene::with(None, &["--failed-rate", "3"]);
    let statuses: Vec<u16> =
        (0..4).map(|_| list(&scene, &[("authorization", "Bearer mod_live_wrong")]).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[test]
fn calls_count_to_the_callers_rate() {
    let mut scene = Scene::with(None, &["--rate", "1"]);
    scene.open("s", Transport::Stdio, "legacy");
    let refusal = (0..20)
        .map(|_| scene.try_call("s", "list_gates", json!({})))
        .find(|answer| answer["is_error"] == true);
    let text = refusal.expect("a refusal")["text"].as_str().expect("a text").to_owned();
    assert!(text.contains("rate_limited"), "{text}");
    let bearer = format!("Bearer {}", scene.service.key);
    assert_eq!(list(&scene, &[("authorization", &bearer)]).status, 429);
}

#[test]
fn pages_of_other_sites_and_other_names_for_this_one_are_refused() {
    let options = [
        "--public-url",
        "https://control.example",
        "--mcp-host",
        "inside.example:8700",
        "--mcp-origin",
        "https://console.example:443",
    ];
    let scene = Scene::with(None, &options);
    let bearer = format!("Bearer {}", scene.service.key);
    for (origin, expected) in [
        ("https://console.example", 200),
        ("https://evil.example", 403),
        ("http://console.example", 403),
        ("https://control.example", 403),
        ("http://127.0.0.1", 403),
        ("null", 403),
    ] {
        let answer = list(&scene, &[("authorization", &bearer), ("origin", origin)]);
        assert_eq!(answer.status, expected, "{origin}");
    }
    for (host, expected) in [
        ("127.0.0.1", 200),
        ("localhost:8700", 200),
        ("control.example", 200),
        ("inside.example:8700", 200),
        ("inside.example", 403),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ] {
        let request = listing(&[("authorization", &bearer)]);
        let answer = exchange(scene.service.address, &request.to_bytes(host, true)).expect("an answer");
        assert_eq!(answer.status, expected, "{host}");
    }
}

#[test]
fn what_is_no_message_or_too_long_is_refused_and_other_methods_are_not_served() {
    let scene = Scene::new(None);
    let bearer = format!("Bearer {}", scene.service.key);
    let send = |method: &str, content: &str, body: Vec<u8>| {
        let mut request = listing(&[("authorization", &bearer)]);
        request.method = method.to_owned();
        request.headers.retain(|(name, _)| name != "content-type");
        request.headers.push(("content-type".to_owned(), content.to_owned()));
        request.body = body;
        request.send(scene.service.address).expect("an answer").status
    };
    let long = |length: usize| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_gates", "arguments": {"x": "x".repeat(length)}}});
        message.to_string().into_bytes()
    };
    assert_eq!(send("POST", "application/json", long(1_000_000)), 200);
    assert_eq!(send("POST", "application/json", long(1 << 20)), 413);
    assert_eq!(send("POST", "text/plain", long(1)), 415);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "[]", "{}", "null", "{\"jsonrpc\":\"1.0\"}", &deep] {
        let status = send("POST", "application/json", body.as_bytes().to_vec());
        assert!((400..500).contains(&status), "{body:.20}: {status}");
    }
    for method in ["GET", "DELETE", "PUT"] {
        assert_eq!(send(method, "application/json", Vec::new()), 405, "{method}");
    }
}

/// A request for the tools, as the version without a handshake has none before it.
fn listing(headers: &[(&str, &str)]) -> Request {
    let mut request = Request::new("POST", "/mcp");
    let all = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    for (name, value) in all.iter().chain(headers) {
        request.headers.push(((*name).to_owned(), (*value).to_owned()));
    }
    request.body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string().into_bytes();
    request
}

fn list(scene: &Scene, headers: &[(&str, &str)]) -> Response {
    listing(headers).send(scene.service.address).expect("an answer")
}
