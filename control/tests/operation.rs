//! What operators see of a service: its audit, its measurements, its log, its limits.

use crate::common::Bench;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use xtask::http::{Request, Response};
use xtask::on_every_database;

on_every_database!(
    the_audit_is_paged_and_bounded_by_time,
    requests_are_counted_by_their_routes,
    wrong_keys_are_refused_unseen_after_so_many,
    the_character_that_no_database_text_has_is_refused,
);

fn with_key(bench: &Bench, key: Option<&str>, method: &str, path: &str, body: &[u8]) -> Response {
    let mut request = Request::new(method, path);
    if let Some(key) = key {
        request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
    }
    request.body = body.to_vec();
    request.send(bench.service.address).unwrap()
}

fn error(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn the_audit_is_paged_and_bounded_by_time(database: Option<&str>) {
    let bench = Bench::new(database);
    for name in ["a", "b", "c"] {
        bench.call("POST", "/api/users/api-keys", Some(json!({"name": name, "scopes": []})));
        std::thread::sleep(Duration::from_millis(5));
    }
    let lines = |query: &str| {
        let (status, page) = bench.call("GET", &format!("/api/v1/audit?{query}"), None);
        assert_eq!(status, 200, "{page}");
        page
    };
    let all = lines("action=api_key.create");
    assert_eq!(all["total"], 3);
    let all = all["lines"].as_array().unwrap();
    for (index, line) in all.iter().enumerate() {
        assert_eq!(lines(&format!("limit=1&offset={index}"))["lines"], json!([line]));
    }
    let middle = all[1]["at"].as_str().unwrap();
    assert_eq!(lines(&format!("after={middle}"))["total"], 2);
    assert_eq!(lines(&format!("before={middle}"))["total"], 1);
    assert_eq!(lines("action=nothing")["total"], 0);
    for wrong in ["after=yesterday", "limit=0", "limit=1001", "offset=-1"] {
        assert_eq!(bench.call("GET", &format!("/api/v1/audit?{wrong}"), None).0, 422, "{wrong}");
    }
}

fn requests_are_counted_by_their_routes(database: Option<&str>) {
    let bench = Bench::new(database);
    for id in ["one", "two"] {
        assert_eq!(bench.call("DELETE", &format!("/api/users/api-keys/{id}"), None).0, 404);
    }
    assert_eq!(bench.call("BREW", "/nowhere/at/all", None).0, 404);
    let answer = bench.service.call("GET", "/metrics", None).unwrap();
    assert_eq!(answer.header("content-type"), Some(portcullis_control::metrics::CONTENT_TYPE));
    let text = String::from_utf8(answer.body).unwrap();
    let counted =
        |labels: &str, count: u32| text.contains(&format!("portcullis_requests_total{{{labels}}} {count}\n"));
    assert!(counted(r#"route="/api/users/api-keys/{id}",method="DELETE",status="4xx""#, 2), "{text}");
    assert!(counted(r#"route="none",method="other",status="4xx""#, 1), "{text}");
    assert!(
        text.contains(
            r#"portcullis_request_seconds_count{route="/api/users/api-keys/{id}",method="DELETE"} 2"#
        )
    );
    for name in ["portcullis_database_connections", "portcullis_gates_connected 0", "portcullis_trust_number"]
    {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(!text.contains("nowhere"), "what callers make up becomes no label");
    assert!(text.ends_with("# EOF\n"));
}

fn wrong_keys_are_refused_unseen_after_so_many(database: Option<&str>) {
    let bench = Bench::with(database, &["--failed-rate", "3"]);
    let status = |key: Option<&str>| with_key(&bench, key, "GET", "/api/users/api-keys", b"").status;
    for _ in 0..3 {
        assert_eq!(status(Some("mod_live_wrong")), 401);
    }
    let refused = with_key(&bench, Some("mod_live_wrong"), "GET", "/api/users/api-keys", b"");
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(error(&refused)["error"], "rate_limited");
    // Who brings no key is not concerned.
    assert_eq!(status(None), 401);
    assert_eq!(with_key(&bench, None, "GET", "/healthz", b"").status, 200);
}

fn the_character_that_no_database_text_has_is_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    assert_eq!(bench.call("POST", "/api/users/api-keys", Some(json!({"name": "a\0b"}))).0, 422);
    assert_eq!(bench.call("GET", "/api/v1/audit?action=a%00b", None).0, 422);
    assert_eq!(bench.call("DELETE", "/api/users/api-keys/a%00b", None).0, 422);
}

#[test]
fn who_calls_too_often_is_told_when_to_come_again() {
    let bench = Bench::with(None, &["--rate", "1"]);
    for key in [None, Some(bench.service.key.as_str())] {
        // Five may be saved up.
        let answers: Vec<_> =
            (0..12).map(|_| with_key(&bench, key, "GET", "/api/users/api-keys", b"")).collect();
        let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(error(refused)["error"], "rate_limited");
        assert_ne!(answers[0].status, 429);
    }
}

#[test]
fn receipts_are_looked_up_so_often_whatever_a_caller_brings() {
    let bench = Bench::with(None, &["--rate", "1"]);
    for key in [None, Some("x"), Some(bench.service.key.as_str())] {
        let statuses: Vec<_> = (0..12)
            .map(|_| with_key(&bench, key, "GET", "/api/receipts/rcpt_0", b"").status)
            .filter(|status| *status != 404)
            .collect();
        assert!(statuses.contains(&429) && statuses.iter().all(|status| *status == 429), "{statuses:?}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_in_json() {
    let bench = Bench::new(None);
    let body = format!(r#"{{"name": "{}"}}"#, "x".repeat(1024 * 1024));
    let answer = with_key(&bench, Some(&bench.service.key), "POST", "/api/users/api-keys", body.as_bytes());
    assert_eq!(answer.status, 413);
    assert_eq!(error(&answer)["error"], "too_large");
}

/// What a connection brings that sends this and no more, and how long it is held.
fn until_closed(bench: &Bench, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(bench.service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (answer, began.elapsed())
}

#[test]
fn a_slow_body_and_slow_headers_are_waited_for_so_long() {
    let bench = Bench::with(None, &["--request-seconds", "1"]);
    let send = |bytes: String| {
        let (answer, held) = until_closed(&bench, bytes.as_bytes());
        assert!((Duration::from_millis(900)..Duration::from_secs(9)).contains(&held));
        String::from_utf8(answer).unwrap()
    };
    let key = &bench.service.key;
    let body = send(format!(
        "POST /api/users/api-keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: 9\r\n\r\n{{"
    ));
    assert!(body.starts_with("HTTP/1.1 408") && body.contains(r#""error":"timeout""#), "{body}");
    let headers = send("GET /healthz HTTP/1.1\r\nhost: x\r\n".to_owned());
    assert!(headers.is_empty() || headers.starts_with("HTTP/1.1 408"), "{headers}");
}

#[test]
fn a_connection_that_does_not_begin_or_lives_no_more_is_not_held() {
    let bench = Bench::with(None, &["--request-seconds", "1"]);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Nothing, and what may yet become HTTP/2.
    for begun in ["", "PRI * HTTP/2.0"] {
        let (_, held) = until_closed(&bench, begun.as_bytes());
        assert!(held < Duration::from_secs(9), "{begun:?}");
    }
    // RFC 9113: an empty SETTINGS frame, and then no answer to any PING.
    let alive = [preface.as_bytes(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let (answer, held) = until_closed(&bench, &alive);
    assert!(held < Duration::from_secs(9), "HTTP/2");
    let most_streams = [0, 3, 0, 0, 0, 100];
    assert!(answer.windows(6).any(|setting| setting == most_streams), "{answer:?}");
}

#[test]
fn what_looks_at_no_credential_is_limited_whatever_a_caller_brings() {
    let bench = Bench::with(None, &["--rate", "1"]);
    for path in ["/openapi.json", "/readyz"] {
        let answers = (0..12).map(|_| with_key(&bench, Some("made-up"), "GET", path, b"").status);
        assert!(answers.filter(|status| *status == 429).count() > 0, "{path}");
    }
}

#[test]
fn each_line_of_the_log_is_json_and_none_has_a_credential() {
    let bench = Bench::with(None, &["--log-format", "json"]);
    let (_, made) = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "logged"})));
    let made_key = made["key"].as_str().unwrap();
    with_key(&bench, Some(made_key), "GET", "/api/v1/audit?action=hidden-query", b"");
    with_key(&bench, Some("mod_live_wrong-and-secret"), "GET", "/api/v1/audit", b"");
    with_key(&bench, Some(made_key), "POST", "/api/users/api-keys", br#"{"name": 1}"#);
    with_key(
        &bench,
        None,
        "POST",
        "/gate/v1/enrol",
        br#"{"token": "enrol_secret-token", "public_key": "x"}"#,
    );
    with_key(&bench, None, "GET", "/nowhere", b"");
    let text = std::fs::read_to_string(&bench.control.log).unwrap();
    let mut served = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let fields = &line["fields"];
        if fields["message"] == "served" {
            served += 1;
            let id = fields["id"].as_str().unwrap();
            assert_eq!(id.len(), 36, "{line}");
            assert!(fields["status"].is_u64() && fields["route"].is_string(), "{line}");
        }
    }
    assert!(served >= 6, "{text}");
    assert!(text.contains(r#""route":"/api/v1/audit""#));
    let secrets =
        [&bench.service.key, made_key, "wrong-and-secret", "secret-token", "hidden-query", "Bearer"];
    for secret in secrets {
        assert!(!text.contains(secret), "the log has {secret}");
    }
}
