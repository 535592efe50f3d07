//! How requests are played: headers, bodies, pauses, replies, per kind of host.

use crate::probe::started;
use portcullis_harness::{HostProfile, Origin, Request, Response};

#[test]
fn a_plugin_changes_the_headers_that_the_upstream_sees() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers
             (drop (call $remove (i32.const 0) {x-gate-tier}))
             (drop (call $add (i32.const 0) {X-Gate-Issuer} {org}))
             (drop (call $replace (i32.const 0) {x-mode} {strict}))
             (i32.const 0))"#,
    );
    let request = Request::get("/flights?from=GVA")
        .header("X-Gate-Tier", "3")
        .header("x-gate-tier", "2")
        .header("x-mode", "lax")
        .header("x-mode", "laxer");

    let outcome = vm.request(request);

    let upstream = outcome.upstream.as_ref().unwrap();
    assert_eq!((&*upstream.method, &*upstream.path), ("GET", "/flights?from=GVA"));
    assert_eq!(upstream.authority, "127.0.0.1:10000");
    assert!(!upstream.headers.has("x-gate-tier"));
    assert_eq!(upstream.headers.all("x-mode"), ["strict"]);
    assert_eq!(outcome.upstream_header("x-gate-issuer").unwrap(), "org");
    assert_eq!((outcome.status(), &*outcome.reply_text()), (200, "ok"));
    assert!(outcome.admitted());
}

#[test]
fn what_a_plugin_removes_still_reaches_the_upstream_on_nginx() {
    let (_, mut vm) = started(
        HostProfile::nginx(),
        r#"(on request_headers
             (drop (call $replace (i32.const 0) {x-id} {good}))
             (drop (call $remove (i32.const 0) {x-tier}))
             (drop (call $get (i32.const 0) {x-tier} (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    let request = Request::get("/").header("x-id", "evil1").header("X-Id", "evil2").header("x-tier", "3");

    let outcome = vm.request(request);

    let upstream = outcome.upstream.as_ref().unwrap();
    assert_eq!(upstream.headers.all("x-id"), ["good", "evil2"]);
    assert_eq!(upstream.headers.all("x-tier"), ["3"]);
    let looked_again = vm.trace().calls_of("proxy_get_header_map_value");
    assert_eq!(looked_again, [r#"proxy_get_header_map_value(RequestHeaders, "x-tier") = NotFound"#]);
}

#[test]
fn a_local_reply_reaches_the_client_and_nothing_reaches_the_upstream() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        // One pair: count 1, lengths 12 and 2, then the texts.
        r#"(on request_headers
             (drop (call $reply (i32.const 401) {no credential} {denied}
               {\01\00\00\00\06\00\00\00\02\00\00\00x-code\00ab\00} (i32.const -1)))
             (i32.const 0))
           (on response_headers
             (drop (call $add (i32.const 2) {x-seen} {yes}))
             (i32.const 0))"#,
    );

    let outcome = vm.request(Request::post("/flights", "body"));

    let reply = outcome.reply.as_ref().unwrap();
    assert_eq!((reply.origin, reply.status, &*reply.body), (Origin::Plugin, 401, &b"denied"[..]));
    assert_eq!(reply.headers.get("x-code").unwrap(), "ab");
    assert_eq!(reply.headers.get("x-seen").unwrap(), "yes", "a local reply passes the response callbacks");
    assert!(outcome.untouched(), "although the callback answered Continue");
}

/// Pauses at the headers and at the body until its end.
const HOLD: &str = r#"(on request_headers (i32.const 1))
    (on request_body (i32.eqz (local.get $end)))"#;

#[test]
fn a_pause_at_the_headers_holds_everything_until_the_body_is_judged() {
    let (_, mut vm) = started(HostProfile::envoy(), HOLD);

    let outcome = vm.request(Request::post("/", "first, ").chunk("second"));

    let upstream = outcome.upstream.as_ref().unwrap();
    assert_eq!((&*upstream.body, upstream.complete), (&b"first, second"[..], true));
    let callbacks: Vec<_> = vm.trace().lines().filter(|line| line.contains("proxy_on_request")).collect();
    assert_eq!(
        callbacks,
        [
            "> proxy_on_request_headers(stream 2, 5 headers)",
            "> proxy_on_request_body(stream 2, 7 bytes)",
            "> proxy_on_request_body(stream 2, 13 bytes)",
            "> proxy_on_request_body(stream 2, 13 bytes, end of stream)",
        ]
    );
}

#[test]
fn without_the_iteration_setting_a_pause_at_the_headers_hangs_the_request() {
    for profile in [HostProfile::envoy_default(), HostProfile::nginx()] {
        let (_, mut vm) = started(profile, HOLD);

        let outcome = vm.request(Request::post("/", "body"));

        assert!(outcome.held && outcome.untouched() && outcome.reply.is_none());
        assert!(!vm.trace().to_string().contains("proxy_on_request_body"));
    }
}

/// Continues at the headers, denies at the body's end.
const LATE: &str = r#"(on request_headers (i32.const 0))
    (on request_body
      (if (local.get $end) (then
        (drop (call $reply (i32.const 403) {} {} {} (i32.const -1)))))
      (i32.const 1))"#;

#[test]
fn a_refusal_at_the_body_comes_too_late_on_envoy_and_in_time_on_nginx() {
    let (_, mut envoy) = started(HostProfile::envoy(), LATE);
    let outcome = envoy.request(Request::post("/pay", "100"));
    assert_eq!(outcome.status(), 403);
    let partial = outcome.upstream.unwrap();
    assert!(!partial.complete && partial.path == "/pay" && partial.body.is_empty());

    let (_, mut nginx) = started(HostProfile::nginx(), LATE);
    let outcome = nginx.request(Request::post("/pay", "100"));
    assert_eq!(outcome.status(), 403);
    assert!(outcome.untouched());
}

#[test]
fn nginx_never_tells_the_end_of_a_request_without_a_body() {
    let (_, mut vm) = started(HostProfile::nginx(), LATE);
    for empty in [Request::get("/"), Request::get("/").chunked(), Request::post("/", "")] {
        let outcome = vm.request(empty);
        assert!(outcome.admitted());
    }
    assert!(!vm.trace().to_string().contains("end of stream"));
}

#[test]
fn envoy_tells_the_end_of_an_empty_chunked_body_in_a_callback_of_its_own() {
    let (_, mut vm) = started(HostProfile::envoy(), HOLD);
    vm.request(Request::post("/", "").chunked());
    assert!(
        vm.trace().lines().any(|line| line == "> proxy_on_request_body(stream 2, 0 bytes, end of stream)")
    );
}

#[test]
fn nginx_shows_a_decoded_path_and_keeps_the_raw_one_as_a_property() {
    let (_, mut vm) = started(
        HostProfile::nginx(),
        r#"(on request_headers
             (drop (call $get (i32.const 0) {:path} (i32.const 0) (i32.const 4)))
             (drop (call $get (i32.const 0) {:authority} (i32.const 0) (i32.const 4)))
             (drop (call $get (i32.const 0) {host} (i32.const 0) (i32.const 4)))
             (drop (call $property {request\00path} (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );

    let outcome = vm.request(Request::get("/%61%2e%2e/./b//c/../d?q=%20").authority("Api.Example"));

    assert_eq!(
        vm.trace().calls(),
        [
            r#"proxy_get_header_map_value(RequestHeaders, ":path") = Ok "/a../b/d?q=%20""#,
            r#"proxy_get_header_map_value(RequestHeaders, ":authority") = Ok "gate.internal:10000""#,
            r#"proxy_get_header_map_value(RequestHeaders, "host") = Ok "Api.Example""#,
            r#"proxy_get_property("request.path") = Ok "/%61%2e%2e/./b//c/../d?q=%20""#,
        ]
    );
    assert_eq!(outcome.upstream.unwrap().path, "/%61%2e%2e/./b//c/../d?q=%20");
}

#[test]
fn envoy_joins_some_duplicates_and_drops_what_concerns_one_connection() {
    let (_, mut envoy) = started(HostProfile::envoy(), "");
    let (_, mut nginx) = started(HostProfile::nginx(), "");
    let request = || {
        Request::get("/")
            .header("Authorization", "Bearer a")
            .header("authorization", "Bearer b")
            .header("agent-passport", ":a:")
            .header("agent-passport", ":b:")
            .header("connection", "close, X-Mine")
            .header("x-mine", "1")
    };

    let seen = envoy.request(request()).upstream.unwrap().headers;
    assert_eq!(seen.all("authorization"), ["Bearer a,Bearer b"]);
    assert_eq!(seen.all("agent-passport"), [":a:", ":b:"]);
    assert!(!seen.has("x-mine") && !seen.has("connection"));

    let seen = nginx.request(request()).upstream.unwrap().headers;
    assert_eq!(seen.all("authorization"), ["Bearer a", "Bearer b"]);
    assert!(seen.has("x-mine"));
}

#[test]
fn a_spooled_body_tells_its_size_and_keeps_its_bytes() {
    let (_, mut vm) = started(
        HostProfile::nginx(),
        r#"(on request_body
             (drop (call $buffer (i32.const 0) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    vm.request(Request::post("/", vec![b'x'; 16 * 1024]));
    vm.request(Request::post("/", vec![b'x'; 16 * 1024 + 1]));
    assert_eq!(
        vm.trace().calls_of("proxy_get_buffer_bytes"),
        [
            "proxy_get_buffer_bytes(HttpRequestBody, 0, 16384) = Ok <16384 bytes>",
            "proxy_get_buffer_bytes(HttpRequestBody, 0, 16385) = Ok",
        ]
    );
}

#[test]
fn envoy_closes_the_headers_after_continue_and_opens_them_for_the_log() {
    let change = r#"(on request_body
             (drop (call $replace (i32.const 0) {x-a} {b}))
             (i32.const 0))
           (on log
             (drop (call $get (i32.const 0) {x-a} (i32.const 0) (i32.const 4))))"#;
    let request = || Request::post("/", "body").header("x-a", "a");

    let (_, mut envoy) = started(HostProfile::envoy(), change);
    let outcome = envoy.request(request());
    assert_eq!(outcome.upstream_header("x-a").unwrap(), "a");
    assert_eq!(
        envoy.trace().calls().last().unwrap(),
        &r#"proxy_get_header_map_value(RequestHeaders, "x-a") = Ok "a""#
    );
    assert!(envoy.trace().calls()[0].ends_with("BadArgument"));

    let (_, mut nginx) = started(HostProfile::nginx(), change);
    assert_eq!(nginx.request(request()).upstream_header("x-a").unwrap(), "b");
}

#[test]
fn a_held_body_above_the_limit_is_answered_with_413() {
    let (_, mut vm) = started(HostProfile { held_body_limit: 5, ..HostProfile::envoy() }, HOLD);
    assert_eq!(vm.request(Request::post("/", "12345")).status(), 200);
    let outcome = vm.request(Request::post("/", "123456"));
    assert_eq!(outcome.status(), 413);
    assert_eq!(outcome.reply.unwrap().origin, Origin::Host);
    assert!(outcome.upstream.is_none());
}

#[test]
fn a_plugin_replaces_a_body_and_changes_a_response() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers (i32.const 1))
           (on request_body
             (drop (call $set_buffer (i32.const 0) (i32.const 0) (local.get $size) {new}))
             (i32.eqz (local.get $end)))
           (on response_headers
             (drop (call $replace (i32.const 2) {:status} {201}))
             (i32.const 0))
           (on response_body
             (drop (call $set_buffer (i32.const 1) (local.get $size) (i32.const 0) {!}))
             (i32.const 0))"#,
    );
    let request =
        Request::post("/", "old").answered_with(Response::new(200).header("x-up", "1").trailer("t", "v"));

    let outcome = vm.request(request);

    assert_eq!(outcome.upstream.as_ref().unwrap().body, b"new");
    assert_eq!((outcome.status(), outcome.reply_header("x-up").as_deref()), (201, Some("1")));
    assert_eq!(outcome.reply.unwrap().trailers.get("t").unwrap(), "v");
}

#[test]
fn trailers_arrive_and_end_the_request() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers (i32.const 1))
           (on request_body (i32.const 1))
           (on request_trailers
             (drop (call $remove (i32.const 1) {x-gate-tier}))
             (i32.const 0))"#,
    );

    let outcome = vm.request(Request::post("/", "body").trailer("x-gate-tier", "3").trailer("x-sum", "1"));

    let upstream = outcome.upstream.unwrap();
    assert_eq!((upstream.complete, &*upstream.body), (true, &b"body"[..]));
    assert!(upstream.trailers.has("x-sum") && !upstream.trailers.has("x-gate-tier"));
}

#[test]
fn a_held_request_goes_on_when_its_http_call_is_answered() {
    // Three pairs: :method GET, :path /, :authority s
    let call = r#"(on request_headers
             (drop (call $http_call {service}
               {\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00s\00}
               {question} {} (i32.const 1000) (i32.const 0)))
             (i32.const 1))
           (on http_response
             (drop (call $buffer (i32.const 4) (i32.const 0) (local.get $body) (i32.const 0) (i32.const 4)))
             (call $log_returned)
             (drop (call $switch (i32.const 2)))
             (drop (call $continue (i32.const 0))))"#;
    let (_, mut vm) = started(HostProfile::envoy(), call);

    let waiting = vm.request(Request::get("/"));
    assert!(waiting.held);
    let calls = vm.http_calls();
    assert_eq!((calls.len(), &*calls[0].upstream, &*calls[0].body), (1, "service", &b"question"[..]));
    assert_eq!(calls[0].headers.get(":authority").unwrap(), "s");

    vm.answer_http_call(calls[0].token, Response::new(200).body("answer")).unwrap();
    assert!(vm.logs().any(|(_, line)| line == "answer"));
    let outcome = vm.resume(waiting.stream);
    assert!(outcome.admitted() && outcome.status() == 200);
}

#[test]
fn a_failed_http_call_is_told_without_headers_and_only_once() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers
             (drop (call $http_call {service}
               {\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00s\00}
               {} {} (i32.const 1000) (i32.const 0)))
             (i32.const 0))
           (on http_response)"#,
    );
    vm.request(Request::get("/"));
    let token = vm.http_calls()[0].token;
    vm.clear_trace();
    vm.fail_http_call(token).unwrap();
    vm.fail_http_call(token).unwrap();
    let told: Vec<_> = vm.trace().lines().collect();
    assert_eq!(told, ["> proxy_on_http_call_response(call 1, 0 headers, 0 bytes, 0 trailers)"]);
    assert!(vm.http_calls().is_empty());
}

#[test]
fn a_closed_stream_answers_nobody() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        "(on request_headers (drop (call $close (i32.const 0))) (i32.const 0))",
    );
    let outcome = vm.request(Request::get("/"));
    assert!(outcome.reply.is_none() && outcome.untouched() && !outcome.held);
    assert_eq!(outcome.status(), 0);
}

#[test]
fn the_trace_is_lines_of_text() {
    let (_, mut vm) = started(
        HostProfile::envoy(),
        r#"(on request_headers
             (drop (call $get (i32.const 0) {:path} (i32.const 0) (i32.const 4)))
             (drop (call $remove (i32.const 0) {x-gate-tier}))
             (i32.const 0))"#,
    );
    vm.request(Request::get("/flights"));
    assert_eq!(
        vm.trace().to_string(),
        r#"> proxy_on_request_headers(stream 2, 4 headers, end of stream)
  proxy_get_header_map_value(RequestHeaders, ":path") = Ok "/flights"
  proxy_remove_header_map_value(RequestHeaders, "x-gate-tier") = Ok
< Continue
"#
    );
}
