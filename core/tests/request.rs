//! Requests that can be read in one way only, and the routes they take.

use crate::common;
use crate::common::{Request, SELF_ISSUED, chain, config, decide_once, snapshot};
use portcullis_core::{Config, Snapshot};

fn path(path: &str) -> &'static str {
    decide_once(&snapshot(SELF_ISSUED), &Request { path, ..Request::default() })
}

#[test]
fn a_path_that_means_two_things_is_refused() {
    for ambiguous in [
        "flights",
        "",
        "*",
        "http://api.example/flights",
        "//flights",
        "/flights//",
        "/bookings//x",
        "/./flights",
        "/../flights",
        "/bookings/..",
        "/bookings/.",
        "/bookings/../flights",
        "/bookings/%2e%2e/flights",
        "/bookings/%2E/x",
        "/bookings/.%2e/x",
        "/bookings%2Fx",
        "/bookings/%2fx",
        "/bookings/%5cx",
        "/bookings\\x",
        "/flights;v=1",
        "/flights%3Bv=1",
        "/bookings/%00",
        "/bookings/%0a",
        "/bookings/%7f",
        "/bookings/%c2%85",
        "/bookings/%25",
        "/bookings/%252f",
        "/bookings/%",
        "/bookings/%2",
        "/bookings/%zz",
        "/bookings/%+1",
        "/bookings/%c0%af",
        "/bookings/%ff",
        "/bookings/\u{e9}",
        "/bookings/a b",
        "/bookings/\"",
        "/bookings/<",
        "/bookings/^",
        "/bookings/`",
        "/bookings/{",
        "/bookings/|",
        "/flights#x",
        "/flights?a#b",
        "/flights?a b",
        "/flights?\u{e9}",
        "/flights?\u{0}",
    ] {
        assert_eq!(path(ambiguous), "path_ambiguous", "{ambiguous}");
    }
}

#[test]
fn an_encoded_character_does_not_take_another_route_than_the_character() {
    let snapshot = snapshot(SELF_ISSUED);
    for encoded in ["/flights", "/%66lights", "/flight%73", "/%66%6C%69%67%68%74%73?q=%2F"] {
        assert_eq!(
            decide_once(&snapshot, &Request { path: encoded, ..Request::default() }),
            "credential_missing",
            "{encoded}"
        );
    }
    for open in [
        "/bookings/open/x",
        "/bookings/%6fpen/x",
        "/bookings/open/%C3%A9",
        "/bookings/open/a%20b",
        "/bookings/open/a%40b",
        "/bookings/open/",
    ] {
        assert_eq!(path(open), "ok", "{open}");
    }
}

#[test]
fn the_most_specific_path_decides_and_never_a_broader_one_in_its_stead() {
    let snapshot = snapshot(SELF_ISSUED);
    let ask = |method, path| decide_once(&snapshot, &Request { method, path, ..Request::default() });
    assert_eq!(ask("POST", "/bookings/1"), "credential_missing");
    assert_eq!(ask("GET", "/bookings/open/1"), "ok");
    assert_eq!(ask("POST", "/bookings/open/1"), "route_unknown");
    assert_eq!(ask("POST", "/bookings/watch"), "route_unknown");
    assert_eq!(ask("GET", "/bookings"), "route_unknown");
    assert_eq!(ask("GET", "/flights/"), "route_unknown");
    assert_eq!(ask("GET", "/Flights"), "route_unknown");
    assert_eq!(ask("GET", "/"), "route_unknown");
}

#[test]
fn a_method_that_is_not_plainly_known_is_refused() {
    for method in ["CONNECT", "TRACE", "get", "GET ", "", "PROPFIND", "GET\0", "G\u{c9}T"] {
        let request = Request { method, ..Request::default() };
        assert_eq!(decide_once(&snapshot(SELF_ISSUED), &request), "method_unknown", "{method}");
    }
}

#[test]
fn a_request_for_another_host_is_refused_and_case_does_not_matter() {
    let ask = |authority| {
        decide_once(&snapshot(SELF_ISSUED), &Request { authority, path: "/health", ..Request::default() })
    };
    for foreign in [
        "",
        "evil.example",
        "api.example.",
        "api.example:80",
        "x@api.example",
        "api.example,evil.example",
        "api.example\0",
    ] {
        assert_eq!(ask(foreign), "authority_unknown", "{foreign}");
    }
    for own in ["api.example", "API.Example", "api.example:8443"] {
        assert_eq!(ask(own), "ok", "{own}");
    }
}

#[test]
fn a_host_header_beside_the_authority_must_say_the_same() {
    let ask = |headers| {
        decide_once(&snapshot(SELF_ISSUED), &Request { path: "/health", headers, ..Request::default() })
    };
    assert_eq!(ask(vec![("host", "Api.Example")]), "ok");
    assert_eq!(ask(vec![("host", "evil.example")]), "header_ambiguous");
    assert_eq!(ask(vec![("host", "api.example"), ("host", "api.example")]), "header_ambiguous");
}

#[test]
fn a_protocol_switch_is_refused_unless_the_route_allows_it() {
    let ask =
        |path, headers| decide_once(&snapshot(SELF_ISSUED), &Request { path, headers, ..Request::default() });
    for headers in [
        vec![("connection", "Upgrade"), ("upgrade", "websocket")],
        vec![("upgrade", "h2c")],
        vec![("connection", "keep-alive, UPGRADE")],
        vec![("connection", "keep-alive"), ("connection", "upgrade")],
    ] {
        assert_eq!(ask("/health", headers.clone()), "upgrade_refused", "{headers:?}");
        assert_eq!(ask("/socket", headers.clone()), "ok", "{headers:?}");
    }
    assert_eq!(ask("/health", vec![("connection", "keep-alive")]), "ok");
}

#[test]
fn a_request_with_two_credentials_is_refused() {
    let signed = chain(0, &["flights:search"]);
    let header = signed.to_header();
    let bearer = format!("Bearer {}", signed.to_jwt(&common::key(1)));
    let twice = format!("{bearer}, {bearer}");
    let ask = |headers| decide_once(&snapshot(SELF_ISSUED), &Request { headers, ..Request::default() });
    assert_eq!(ask(vec![("agent-passport", &header)]), "ok");
    assert_eq!(ask(vec![("authorization", &bearer)]), "ok");
    assert_eq!(ask(vec![("agent-passport", &header), ("authorization", &bearer)]), "credential_ambiguous");
    assert_eq!(ask(vec![("agent-passport", &header), ("agent-passport", &header)]), "header_ambiguous");
    assert_eq!(ask(vec![("authorization", &bearer), ("authorization", "Basic eDp5")]), "header_ambiguous");
    assert_eq!(ask(vec![("authorization", &twice)]), "header_ambiguous");
}

#[test]
fn an_authorization_that_is_none_of_ours_is_no_credential_and_does_no_harm() {
    let header = chain(0, &["flights:search"]).to_header();
    // {"alg":"HS256","typ":"JWT"}
    let foreign = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA";
    for authorization in [foreign, "Basic eDp5", "Bearer opaque", "Bearer", "", "Bearer a.b.c"] {
        let ask = |headers| decide_once(&snapshot(SELF_ISSUED), &Request { headers, ..Request::default() });
        assert_eq!(ask(vec![("authorization", authorization)]), "credential_missing", "{authorization}");
        assert_eq!(
            ask(vec![("authorization", authorization), ("agent-passport", &header)]),
            "ok",
            "{authorization}"
        );
    }
}

#[test]
fn a_configuration_that_is_wrong_names_the_member_at_fault() {
    let good = config(SELF_ISSUED);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let json = good.replacen(from, to, 1);
        let error = Config::from_json(json.as_bytes())
            .and_then(|config| Snapshot::of_static(&config).map(|_| config));
        error.expect_err(to).path
    };
    assert_eq!(with(r#""gate_test""#, r#""""#), "gate.id");
    assert_eq!(with(r#""L1""#, r#""L2""#), "profile");
    assert_eq!(with(r#""L1""#, r#""L3""#), "profile");
    assert_eq!(with(r#""L1""#, r#""L9""#), "profile");
    assert_eq!(with(r#""profile":"L1","#, ""), "profile");
    assert_eq!(with(r#""profile":"#, r#""mode":"ignore","profile":"#), "mode");
    assert_eq!(with(r#""profile":"#, r#""fail_open":true,"profile":"#), "fail_open");
    assert_eq!(with(r#""profile":"#, r#""profile":"L1","profile":"#), "");
    assert_eq!(with(r#"["api.example","api.example:8443"]"#, "[]"), "authorities");
    assert_eq!(with(r#""api.example:8443""#, r#""Api.example""#), "authorities[1]");
    assert_eq!(with(r#""api.example:8443""#, r#""api.example""#), "authorities[1]");
    assert_eq!(with(r#""path":"/health""#, r#""path":"health""#), "routes[0].path");
    assert_eq!(with(r#""path":"/health""#, r#""path":"/a%20b""#), "routes[0].path");
    assert_eq!(with(r#""path":"/health","#, ""), "routes[0]");
    assert_eq!(with(r#""public":true"#, r#""public":true,"action":"x""#), "routes[0]");
    assert_eq!(with(r#""action":"flights:search""#, r#""action":"flights search""#), "routes[1].action");
    assert_eq!(with(r#""action":"flights:search""#, r#""action":"flights:*""#), "routes[1].action");
    assert_eq!(with(r#","action":"flights:search""#, ""), "routes[1]");
    assert_eq!(with(r#""methods":["GET"]"#, r#""methods":[]"#), "routes[0].methods");
    assert_eq!(with(r#""methods":["GET"]"#, r#""methods":["get"]"#), "routes[0].methods");
    assert_eq!(with(r#"{"path":"/flights""#, r#"{"path":"/health""#), "routes[1].methods");
    assert_eq!(with(r#""/bookings/","#, r#""/bookings","#), "routes[2].path_prefix");
    assert_eq!(with(r#""actions":["flights:*"]"#, r#""actions":[]"#), "trust.self_issued.actions");
    assert_eq!(with(r#""flights:*""#, r#""fl*""#), "trust.self_issued.actions[0]");
    let issuer = r#""trust":{"issuers":[{"id":"iss","type":"platform","tier":2,"actions":["*"],"keys":[{"key_id":"k","public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="}]}],"#;
    let with = |from: &str, to: &str| {
        let json = good.replacen(r#""trust":{"#, &issuer.replacen(from, to, 1), 1);
        let config = Config::from_json(json.as_bytes());
        config.and_then(|config| Snapshot::new(&config).map(|_| ())).map_err(|error| error.path)
    };
    assert_eq!(with("iss", "iss"), Ok(()));
    let path = |path: &str| Err(path.to_string());
    assert_eq!(with(r#""iss""#, r#""self:x""#), path("trust.issuers[0].id"));
    assert_eq!(with(r#""tier":2"#, r#""tier":4"#), path("trust.issuers[0].tier"));
    assert_eq!(with(r#""platform""#, r#""self""#), path("trust.issuers[0].type"));
    assert_eq!(with("ik=", "ik"), path("trust.issuers[0].keys[0].public_key"));
    assert_eq!(
        with("O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        path("trust.issuers[0].keys[0].public_key")
    );
    assert_eq!(
        with(r#""key_id":"k","#, r#""key_id":"k","not_after":"soon","#),
        path("trust.issuers[0].keys[0].not_after")
    );
    assert_eq!(
        with(
            r#""key_id":"k","#,
            r#""key_id":"k","not_before":"2027-01-01T00:00:00Z","not_after":"2026-01-01T00:00:00Z","#
        ),
        path("trust.issuers[0].keys[0].not_after")
    );
    assert_eq!(with(r#""keys":[{"#, r#""keys":[],"x":[{"#), path("trust.issuers[0].x"));
    assert_eq!(with(r#""iss""#, r#""delegate:x""#), path("trust.issuers[0].id"));
    assert_eq!(with(r#""iss""#, r#""with space""#), path("trust.issuers[0].id"));
    assert_eq!(with(r#""key_id":"k""#, r#""key_id":"""#), path("trust.issuers[0].keys[0].key_id"));
    assert_eq!(with(r#""actions":["*"]"#, r#""actions":["a","a"]"#), path("trust.issuers[0].actions[1]"));
    assert_eq!(with(r#""actions":["*"]"#, r#""actions":["a:*","a:*"]"#), path("trust.issuers[0].actions[1]"));
    let trust = |trust: &str| {
        let json = config(trust);
        Config::from_json(json.as_bytes())
            .and_then(|config| Snapshot::new(&config))
            .map(|_| ())
            .map_err(|error| error.path)
    };
    let key = r#"{"key_id":"k","public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="}"#;
    let issuer =
        |keys: &str| format!(r#"{{"id":"iss","type":"gate","tier":1,"actions":["*"],"keys":[{keys}]}}"#);
    let issuers = |list: &str| trust(&format!(r#"{{"issuers":[{list}]}}"#));
    assert_eq!(issuers(&issuer(key)), Ok(()));
    assert_eq!(issuers(&issuer("")), path("trust.issuers[0].keys"));
    assert_eq!(issuers(&issuer(&format!("{key},{key}"))), path("trust.issuers[0].keys[1].key_id"));
    assert_eq!(issuers(&format!("{0},{0}", issuer(key))), path("trust.issuers[1].id"));
    assert_eq!(
        trust(r#"{"revoked_passports":[{"issuer":"","passport_id":"p"}]}"#),
        path("trust.revoked_passports[0].issuer")
    );
    assert_eq!(
        trust(r#"{"disabled_agents":[{"issuer":"i","agent_id":"a b"}]}"#),
        path("trust.disabled_agents[0].agent_id")
    );
    assert_eq!(Config::from_json(b"").unwrap_err().path, "");
    assert_eq!(Config::from_json(b"[]").unwrap_err().path, "");
    assert!(Config::from_json(format!("{good} x").as_bytes()).is_err());
}
