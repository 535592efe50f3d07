//! The console: signing in and out, which requests a session lets through, and its files.

use crate::common;
use crate::common::Bench;
use serde_json::{Value, json};
use std::process::Command;
use xtask::http::{Request, Response};
use xtask::on_every_database;

on_every_database!(
    who_signs_in_with_a_key_may_do_what_the_key_may,
    a_session_ends_when_its_person_signs_out,
    a_session_dies_with_its_key,
    a_session_ends_when_it_is_idle_or_old,
    who_is_there_stays_signed_in_and_a_page_alone_does_not,
    a_key_has_so_many_sessions_and_the_oldest_makes_room,
    nothing_is_kept_that_signs_in,
    another_page_changes_nothing,
    another_page_signs_nobody_in,
    a_session_is_held_back_as_its_key_is,
    tools_take_no_session,
    a_session_over_tls_is_not_taken_from_the_other_cookie,
    a_link_signs_in_once,
    a_link_that_is_too_old_or_whose_key_is_gone_signs_nobody_in,
    a_link_has_the_scopes_that_were_asked_for,
    what_a_link_made_is_forgotten_with_it,
);

type Headers<'a> = &'a [(&'a str, &'a str)];

fn send(bench: &Bench, method: &str, path: &str, headers: Headers<'_>, body: &str) -> Response {
    let mut request = Request::new(method, path);
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.body = body.as_bytes().to_vec();
    request.send(bench.service.address).unwrap()
}

fn json_of(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

/// The origin of the console's pages.
fn origin(bench: &Bench) -> String {
    format!("http://{}", bench.service.address)
}

fn sign_in_with(bench: &Bench, token: &str, origin: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers =
        [("authorization", bearer.as_str()), ("origin", origin), ("x-portcullis-console", "active")];
    send(bench, "POST", "/api/v1/session", &headers, "")
}

/// The cookie of an answer, as a browser sends it back.
fn cookie_of(answer: &Response) -> String {
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn signed_in(bench: &Bench, token: &str) -> String {
    cookie_of(&sign_in_with(bench, token, &origin(bench)))
}

/// A request as the console's pages send it.
fn by_page(bench: &Bench, cookie: &str, method: &str, path: &str, body: &str) -> Response {
    let origin = origin(bench);
    let headers = [("cookie", cookie), ("origin", origin.as_str()), ("x-portcullis-console", "active")];
    send(bench, method, path, &headers, body)
}

fn status_of(bench: &Bench, cookie: &str) -> u16 {
    by_page(bench, cookie, "GET", "/api/gates", "").status
}

fn link(bench: &Bench, options: &[&str]) -> String {
    let output = Command::new(&bench.control.program)
        .args(["console-link", "--database", &bench.control.database, "--url", &origin(bench)])
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn token_of(link: &str) -> &str {
    link.split_once("/console/#link=").unwrap().1
}

fn key_with(bench: &Bench, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "small", "scopes": scopes});
    let (status, made) = bench.call("POST", "/api/users/api-keys", Some(body));
    assert_eq!(status, 201, "{made}");
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

fn who_signs_in_with_a_key_may_do_what_the_key_may(database: Option<&str>) {
    let bench = Bench::new(database);
    let (id, key) = key_with(&bench, &["gates:read"]);
    let answer = sign_in_with(&bench, &key, &origin(&bench));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("portcullis_session="), "{cookie}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    let cookie = cookie_of(&answer);
    assert_eq!(by_page(&bench, &cookie, "GET", "/api/gates", "").status, 200);
    let refused = by_page(&bench, &cookie, "POST", "/api/gates", r#"{"gate_id": "a", "name": "a"}"#);
    assert_eq!(refused.status, 403);
    assert_eq!(json_of(&refused)["message"], "the API key lacks the scope gates:write");
    let who = json_of(&by_page(&bench, &cookie, "GET", "/api/v1/session", ""));
    assert_eq!(
        (&who["key_id"], &who["key_name"], &who["scopes"]),
        (&json!(id), &json!("small"), &json!(["gates:read"]))
    );
    // What a session does, its key has done.
    let all = signed_in(&bench, &bench.service.key);
    let made = by_page(&bench, &all, "POST", "/api/gates", r#"{"gate_id": "gate_a", "name": "a"}"#);
    assert_eq!(made.status, 201);
    let (_, lines) = bench.call("GET", "/api/v1/audit?action=gate.create", None);
    let who = json_of(&by_page(&bench, &all, "GET", "/api/v1/session", ""));
    assert_eq!(lines["lines"][0]["actor"], who["key_id"], "{lines}");
    for wrong in ["", "mod_live_made_up", "mod_link_made_up"] {
        assert_eq!(sign_in_with(&bench, wrong, &origin(&bench)).status, 401, "{wrong}");
    }
    assert_eq!(status_of(&bench, "portcullis_session=made_up"), 401);
    assert_eq!(status_of(&bench, &format!("{cookie}; {cookie}")), 401, "of two cookies one may be another's");
}

fn a_session_ends_when_its_person_signs_out(database: Option<&str>) {
    let bench = Bench::new(database);
    let (cookie, other) = (signed_in(&bench, &bench.service.key), signed_in(&bench, &bench.service.key));
    let answer = by_page(&bench, &cookie, "DELETE", "/api/v1/session", "");
    assert_eq!(answer.status, 200);
    assert!(
        answer.header("set-cookie").unwrap().starts_with("portcullis_session=; "),
        "it stays in the browser"
    );
    assert_eq!((status_of(&bench, &cookie), status_of(&bench, &other)), (401, 200));
    assert_eq!(bench.call("GET", "/api/gates", None).0, 200, "the key was given, and stays");
}

fn a_session_dies_with_its_key(database: Option<&str>) {
    let bench = Bench::new(database);
    let (id, key) = key_with(&bench, &["gates:read"]);
    let cookie = signed_in(&bench, &key);
    assert_eq!(status_of(&bench, &cookie), 200);
    assert_eq!(bench.call("DELETE", &format!("/api/users/api-keys/{id}"), None).0, 200);
    assert_eq!(status_of(&bench, &cookie), 401);
}

fn a_session_ends_when_it_is_idle_or_old(database: Option<&str>) {
    let bench = Bench::new(database);
    let cookie = signed_in(&bench, &bench.service.key);
    let hour = 3_600_000;
    bench.sql(&format!("UPDATE console_sessions SET seen_at = seen_at - {}", hour - 20_000));
    assert_eq!(status_of(&bench, &cookie), 200);
    bench.sql(&format!("UPDATE console_sessions SET seen_at = seen_at - {hour}"));
    assert_eq!(status_of(&bench, &cookie), 401, "idle for an hour");
    let cookie = signed_in(&bench, &bench.service.key);
    bench.sql(&format!("UPDATE console_sessions SET expires_at = expires_at - {}", 12 * hour));
    assert_eq!(status_of(&bench, &cookie), 401, "twelve hours old");
}

fn who_is_there_stays_signed_in_and_a_page_alone_does_not(database: Option<&str>) {
    let bench = Bench::new(database);
    let cookie = signed_in(&bench, &bench.service.key);
    let half = 1_800_000;
    bench.sql(&format!("UPDATE console_sessions SET seen_at = seen_at - {half}"));
    let waiting = [("cookie", cookie.as_str()), ("x-portcullis-console", "waiting")];
    assert_eq!(send(&bench, "GET", "/api/gates", &waiting, "").status, 200);
    let seen = |at: &str| bench.sql(&format!("UPDATE console_sessions SET seen_at = seen_at WHERE {at}"));
    let now = common::passports::now().as_millis().saturating_sub(60_000);
    assert_eq!(seen(&format!("seen_at > {now}")), 0, "a page that asks by itself keeps nobody signed in");
    assert_eq!(status_of(&bench, &cookie), 200);
    assert_eq!(seen(&format!("seen_at > {now}")), 1);
}

fn a_key_has_so_many_sessions_and_the_oldest_makes_room(database: Option<&str>) {
    let bench = Bench::new(database);
    let first = signed_in(&bench, &bench.service.key);
    bench.sql("UPDATE console_sessions SET seen_at = seen_at - 60000");
    let (_, other) = key_with(&bench, &["gates:read"]);
    let other = signed_in(&bench, &other);
    let later: Vec<_> = (0..15).map(|_| signed_in(&bench, &bench.service.key)).collect();
    assert_eq!(status_of(&bench, &first), 200);
    bench.sql("UPDATE console_sessions SET seen_at = seen_at - 60000");
    let last = signed_in(&bench, &bench.service.key);
    let going = later.iter().chain([&first]).filter(|cookie| status_of(&bench, cookie) == 200).count();
    assert_eq!((going, status_of(&bench, &last), status_of(&bench, &other)), (15, 200, 200));
}

fn nothing_is_kept_that_signs_in(database: Option<&str>) {
    let bench = Bench::new(database);
    let cookie = signed_in(&bench, &bench.service.key);
    let (_, token) = cookie.split_once('=').unwrap();
    assert_eq!(portcullis_core::base64::decode_url(token).unwrap().len(), 32);
    let link = link(&bench, &[]);
    let of = |table: &str, text: &str| {
        bench.sql(&format!("UPDATE {table} SET hash = hash WHERE hash LIKE '%{text}%'"))
    };
    assert_eq!((of("console_sessions", token), of("console_links", token_of(&link))), (0, 0));
    let hash = portcullis_control::auth::hash(token);
    assert_eq!(bench.sql(&format!("UPDATE console_sessions SET hash = hash WHERE hash = '{hash}'")), 1);
    let log = std::fs::read_to_string(bench.folder.path().join("control.log")).unwrap();
    assert!(!log.contains(token) && !log.contains(token_of(&link)), "{log}");
}

/// Each of these is one check: without it, the request would be the console's own.
fn another_page_changes_nothing(database: Option<&str>) {
    let bench = Bench::new(database);
    let (cookie, own) = (signed_in(&bench, &bench.service.key), origin(&bench));
    let (cookie, own) = (("cookie", cookie.as_str()), ("origin", own.as_str()));
    let console = ("x-portcullis-console", "active");
    let make = |headers: Headers<'_>| {
        let answer = send(&bench, "POST", "/api/gates", headers, r#"{"gate_id": "gate_a", "name": "a"}"#);
        let message = json_of(&answer)["message"].as_str().unwrap_or_default().to_owned();
        (answer.status, message)
    };
    for (what, headers) in [
        ("the header x-portcullis-console is missing", vec![cookie, own]),
        ("its Origin is not the page's that signed in", vec![cookie, console]),
        (
            "its Origin is not the page's that signed in",
            vec![cookie, console, ("origin", "https://other.example")],
        ),
        ("its Origin is not the page's that signed in", vec![cookie, console, ("origin", "null")]),
        ("a page of another origin sent it", vec![cookie, console, own, ("sec-fetch-site", "same-site")]),
        ("a page of another origin sent it", vec![cookie, console, own, ("sec-fetch-site", "cross-site")]),
    ] {
        let (status, message) = make(&headers);
        assert_eq!(status, 403, "{headers:?}");
        assert!(message.ends_with(what), "{headers:?}: {message}");
    }
    // A page of another origin does not even read.
    let reading = [cookie, ("sec-fetch-site", "cross-site")];
    assert_eq!(send(&bench, "GET", "/api/gates", &reading, "").status, 403);
    // A cookie beside a key counts for nothing, and asks for nothing.
    let bearer = format!("Bearer {}", bench.service.key);
    assert_eq!(make(&[("cookie", "portcullis_session=x"), ("authorization", &bearer)]).0, 201);
    let again = [cookie, own, console, ("sec-fetch-site", "same-origin")];
    assert_eq!(make(&again).0, 409, "the console's own request is taken");
}

fn another_page_signs_nobody_in(database: Option<&str>) {
    let bench = Bench::new(database);
    let own = origin(&bench);
    let bearer = format!("Bearer {}", bench.service.key);
    let (key, console) = (("authorization", bearer.as_str()), ("x-portcullis-console", "active"));
    let https = own.replace("http:", "https:");
    for headers in [
        vec![key, console],
        vec![key, ("origin", own.as_str())],
        vec![key, console, ("origin", "https://other.example")],
        vec![key, console, ("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(send(&bench, "POST", "/api/v1/session", &headers, "").status, 403, "{headers:?}");
    }
    // Behind a proxy that ends TLS, the page's origin is the host's over HTTPS, or the public URL.
    for origin in [https.as_str(), "https://control.portcullis.invalid"] {
        let answer = sign_in_with(&bench, &bench.service.key, origin);
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-portcullis_session=") && cookie.ends_with("; Secure"), "{cookie}");
    }
}

fn a_session_is_held_back_as_its_key_is(database: Option<&str>) {
    let bench = Bench::with(database, &["--rate", "1"]);
    let cookie = signed_in(&bench, &bench.service.key);
    let answers: Vec<_> = (0..12).map(|_| by_page(&bench, &cookie, "GET", "/api/gates", "")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // It was the key's own that is used up, and not its address's alone.
    let left: Vec<_> = (0..4).map(|_| bench.call("GET", "/api/gates", None).0).collect();
    assert!(left.contains(&429), "{left:?}");
}

fn tools_take_no_session(database: Option<&str>) {
    let bench = Bench::new(database);
    let (cookie, own) = (signed_in(&bench, &bench.service.key), origin(&bench));
    let page = [("cookie", cookie.as_str()), ("origin", own.as_str()), ("x-portcullis-console", "active")];
    let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let form = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    let call = |more: Headers<'_>| {
        send(&bench, "POST", "/mcp", &[page.as_slice(), &form, more].concat(), &ask).status
    };
    let bearer = format!("Bearer {}", bench.service.key);
    assert_eq!(call(&[]), 401);
    // What is no key does not make the cookie count.
    assert_eq!(call(&[("authorization", "Basic eDp5")]), 401);
    let with_key = [form.as_slice(), &[("authorization", &bearer)]].concat();
    assert_eq!(send(&bench, "POST", "/mcp", &with_key, &ask).status, 200);
}

fn a_session_over_tls_is_not_taken_from_the_other_cookie(database: Option<&str>) {
    let bench = Bench::new(database);
    let https = origin(&bench).replace("http:", "https:");
    let cookie = cookie_of(&sign_in_with(&bench, &bench.service.key, &https));
    assert_eq!(status_of(&bench, &cookie), 200);
    let token = cookie.split_once('=').unwrap().1;
    assert_eq!(status_of(&bench, &format!("portcullis_session={token}")), 401);
    let plain = signed_in(&bench, &bench.service.key);
    assert_eq!(status_of(&bench, &format!("__Host-{plain}")), 401);
    // A neighbour that sets the plain name takes nobody's place.
    assert_eq!(status_of(&bench, &format!("portcullis_session=x; {cookie}")), 200);
    assert_eq!(status_of(&bench, &format!("{cookie}; portcullis_session=x")), 200);
}

fn a_link_signs_in_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let link = link(&bench, &["--name", "Ada"]);
    assert!(link.starts_with(&format!("{}/console/#link=mod_link_", origin(&bench))), "{link}");
    let cookie = signed_in(&bench, token_of(&link));
    let who = json_of(&by_page(&bench, &cookie, "GET", "/api/v1/session", ""));
    assert_eq!(who["key_name"], "Ada");
    let again = sign_in_with(&bench, token_of(&link), &origin(&bench));
    assert_eq!(again.status, 401);
    assert!(json_of(&again)["message"].as_str().unwrap().contains("console-link"), "it says how to go on");
    // A link is no API key.
    let bearer = format!("Bearer {}", token_of(&link));
    assert_eq!(send(&bench, "GET", "/api/gates", &[("authorization", &bearer)], "").status, 401);
    // Its key was made for it, and ends with the session.
    assert_eq!(by_page(&bench, &cookie, "DELETE", "/api/v1/session", "").status, 200);
    let (_, keys) = bench.call("GET", "/api/users/api-keys", None);
    let key = keys.as_array().unwrap().iter().find(|key| key["name"] == "Ada").unwrap();
    assert!(key["revoked_at"].is_string(), "{key}");
}

fn a_link_that_is_too_old_or_whose_key_is_gone_signs_nobody_in(database: Option<&str>) {
    let bench = Bench::new(database);
    let old = link(&bench, &["--minutes", "1"]);
    bench.sql("UPDATE console_links SET expires_at = expires_at - 60001");
    assert_eq!(sign_in_with(&bench, token_of(&old), &origin(&bench)).status, 401);
    // The key that was made for it ends with it, as nothing else names it any more.
    let (_, keys) = bench.call("GET", "/api/users/api-keys", None);
    let own = keys.as_array().unwrap().iter().find(|key| key["name"] == "console").unwrap();
    assert!(own["revoked_at"].is_string(), "{own}");
    let (id, _) = key_with(&bench, &["gates:read"]);
    let of_key = link(&bench, &["--key", &id]);
    let unused = link(&bench, &["--key", &id]);
    assert_eq!(sign_in_with(&bench, token_of(&of_key), &origin(&bench)).status, 201);
    assert_eq!(bench.call("DELETE", &format!("/api/users/api-keys/{id}"), None).0, 200);
    assert_eq!(sign_in_with(&bench, token_of(&unused), &origin(&bench)).status, 401);
    let output = Command::new(&bench.control.program)
        .args(["console-link", "--database", &bench.control.database, "--key", &id])
        .output()
        .unwrap();
    assert!(!output.status.success(), "a revoked key gets no link");
}

fn a_link_has_the_scopes_that_were_asked_for(database: Option<&str>) {
    let bench = Bench::new(database);
    let link = link(&bench, &["--scope", "audit", "--scope", "gates:read"]);
    let cookie = signed_in(&bench, token_of(&link));
    let who = json_of(&by_page(&bench, &cookie, "GET", "/api/v1/session", ""));
    assert_eq!(who["scopes"], json!(["audit", "gates:read"]));
    assert_eq!(by_page(&bench, &cookie, "GET", "/api/users/api-keys", "").status, 403);
}

fn what_a_link_made_is_forgotten_with_it(database: Option<&str>) {
    let bench = Bench::new(database);
    link(&bench, &["--name", "unused"]);
    signed_in(&bench, token_of(&link(&bench, &["--name", "left"])));
    // One whose key stays.
    signed_in(&bench, &bench.service.key);
    bench.sql("UPDATE console_links SET expires_at = 1");
    bench.sql("UPDATE console_sessions SET seen_at = 1");
    // Upkeep is at the start, and each minute.
    let key = bench.service.key.clone();
    let (control, folder) = (bench.control.clone(), bench.folder);
    bench.service.end().unwrap();
    let service = control.start_with_key(&key).unwrap();
    let bench = Bench { service, control, folder };
    let began = std::time::Instant::now();
    loop {
        let (_, keys) = bench.call("GET", "/api/users/api-keys", None);
        let ended = keys.as_array().unwrap().iter().filter(|key| key["revoked_at"].is_string()).count();
        if ended == 2 {
            break;
        }
        assert!(began.elapsed().as_secs() < 60, "{keys}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let left = (bench.sql("DELETE FROM console_sessions"), bench.sql("DELETE FROM console_links"));
    assert_eq!(left, (0, 0));
}

#[test]
fn pages_may_run_and_reach_this_service_only() {
    let bench = Bench::new(None);
    let page = send(&bench, "GET", "/console/", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    let parts: Vec<_> = policy.split("; ").collect();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(parts.contains(&part), "{part}: {policy}");
    }
    assert!(parts.contains(&"img-src 'self' data:") && parts.len() == 10, "{policy}");
    // The audit page runs WebAssembly, in a worker, and nothing else beside.
    let audit = send(&bench, "GET", "/console/audit/", &[], "");
    let audit = audit.header("content-security-policy").unwrap();
    let parts: Vec<_> = audit.split("; ").collect();
    for part in [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(parts.contains(&part), "{part}: {audit}");
    }
    assert_eq!(parts.len(), 9, "{audit}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    // The document is the same at each page's address; what is no page is not there.
    for address in ["decisions", "gates/gate_a", "passports/pp.1", "issuers/iss_1%2F2?a=b"] {
        let shown = send(&bench, "GET", &format!("/console/{address}"), &[], "");
        assert_eq!((shown.status, &shown.body), (200, &page.body), "{address}");
    }
    for missing in [
        "/console/js/nothing",
        "/console/package/nothing.js",
        "/console/audit/nothing",
        "/console/audit/nothing.js",
        "/console/package",
        "/console/nothing.js",
        "/console/../Cargo.toml",
        "/console/js/../../build.rs",
        "/console/js/%2e%2e/x.js",
    ] {
        let answer = send(&bench, "GET", missing, &[], "");
        assert_eq!(answer.status, 404, "{missing}");
    }
    assert_eq!(send(&bench, "GET", "/console", &[], "").header("location"), Some("/console/"));
}

#[test]
fn files_are_sent_again_only_when_they_have_changed() {
    let bench = Bench::new(None);
    let first = send(&bench, "GET", "/console/js/app.js", &[], "");
    assert_eq!(first.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let tag = first.header("etag").unwrap();
    let again = send(&bench, "GET", "/console/js/app.js", &[("if-none-match", tag)], "");
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert!(again.header("content-security-policy").is_some());
    assert_eq!(send(&bench, "GET", "/console/js/app.js", &[("if-none-match", "\"other\"")], "").status, 200);
}

#[test]
fn no_file_of_the_console_asks_anybody_else_or_reads_markup() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/console");
    let mut folders = vec![folder];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            seen += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            // What is a name, and no address that is fetched.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for forbidden in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "<script>",
                " style=\"",
                " onclick=",
                "@import",
            ] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
            }
        }
    }
    assert!(seen > 15, "{seen} files");
}
