//! Routes that lead to an MCP server: what the head decides, and what waits for the message.

use crate::common::{NOW, SELF_ISSUED, draft, key};
use portcullis_core::attestation::AccessMode;
use portcullis_core::modei::{Signed, self_issue};
use portcullis_core::{
    Config, CredentialCache, Denial, LocalMemory, Pending, Process, ProofDraft, Reason, RequestHead,
    Snapshot, Step, Verifier,
};
use serde_json::{Value, json};

/// A configuration with these members beside the usual ones.
fn config(members: &Value) -> Value {
    let mut config = json!({"gate": {"id": "gate_test"}, "profile": "L1", "authorities": ["api.example"],
        "routes": [{"path": "/mcp", "methods": ["POST", "GET", "DELETE"], "action": "flights:connect",
            "cost_cents": 3, "mcp": {
                "tools": {"search": {"action": "flights:search"},
                    "book": {"action": "flights:book", "cost_cents": 250, "target_domain": "airline.example", "model": "opus"}},
                "methods": {"completion/complete": {"action": "flights:complete"}}}}]});
    config["trust"] = serde_json::from_str(SELF_ISSUED).unwrap();
    for (name, value) in members.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

struct Gate {
    snapshot: Snapshot,
    cache: CredentialCache,
    memory: LocalMemory,
    process: Process,
}

impl Gate {
    fn of(members: &Value) -> Self {
        let config = Config::from_json(config(members).to_string().as_bytes()).unwrap();
        let process = Process::new([1; 32], NOW.plus_millis(-1_000_000));
        Gate {
            snapshot: Snapshot::of_static(&config).unwrap(),
            cache: CredentialCache::new(1 << 20),
            memory: LocalMemory::new(&process),
            process,
        }
    }

    fn begin(&mut self, headers: &[(&str, &str)], source: Option<&str>) -> Step {
        let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
        let typed = (!is_typed).then_some(&("content-type", "application/json"));
        let headers: Vec<_> = typed
            .into_iter()
            .chain(headers)
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let head = RequestHead {
            method: b"POST",
            authority: b"api.example",
            path: b"/mcp",
            headers: &headers,
            source: source.map(str::as_bytes),
        };
        let verifier = Verifier::new(&self.snapshot).with_process(&self.process);
        verifier.begin(&head, NOW, &mut self.cache, &mut self.memory)
    }

    fn finish(&mut self, mut pending: Box<Pending>, message: &Value) -> Step {
        if let Err(refused) = pending.absorb_message(message.to_string().into_bytes()) {
            return Step::Deny(*refused);
        }
        let verifier = Verifier::new(&self.snapshot).with_process(&self.process);
        verifier.finish(pending, NOW, &mut self.memory)
    }

    fn step(&mut self, headers: &[(&str, &str)], source: Option<&str>, message: &Value) -> Step {
        match self.begin(headers, source) {
            Step::NeedBody(pending) => self.finish(pending, message),
            decided => decided,
        }
    }

    fn code(&mut self, signed: &Signed, message: &Value) -> &'static str {
        code(&self.step(&[("agent-passport", &signed.to_header())], None, message))
    }
}

fn code(step: &Step) -> &'static str {
    match step {
        Step::Permit(_) => "ok",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::Hold(_) => "hold",
        Step::NeedAuthority(_) => panic!("this gate asks nobody"),
        Step::NeedBody(_) => panic!("a body is asked for once"),
    }
}

fn call(tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"to": "LIS"}}})
}

fn issued(permissions: &[&str]) -> Signed {
    self_issue(&key(1), &draft("pp_1", permissions))
}

#[test]
fn what_a_tool_does_not_say_is_as_the_route_has_it() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&["flights:search", "flights:book"]);
    for (tool, action, cents, host, model) in [
        ("search", "flights:search", 3, "api.example", None),
        ("book", "flights:book", 250, "airline.example", Some("opus")),
    ] {
        let step = gate.step(&[("agent-passport", &signed.to_header())], None, &call(tool));
        let Step::Permit(permit) = step else { panic!("{step:?}") };
        let route = permit.route();
        assert_eq!(permit.identity().unwrap().action(), action);
        assert_eq!((route.action(), route.cost_cents(), route.model()), (action, cents, model));
        assert_eq!(route.target_domain("api.example"), host);
        assert!(route.is_mcp());
    }
}

#[test]
fn a_bad_credential_is_refused_by_the_head_and_no_message_is_awaited() {
    let mut gate = Gate::of(&json!({}));
    let expired = draft("pp_1", &["flights:search"]);
    let expired = self_issue(
        &key(1),
        &portcullis_core::modei::Draft {
            issued_at: NOW.plus_millis(-7_200_000),
            expires_at: NOW.plus_millis(-3_600_000),
            ..expired
        },
    );
    let header = expired.to_header();
    for (headers, reason) in [
        (vec![], Reason::CredentialMissing),
        (vec![("agent-passport", header.as_str())], Reason::PassportExpired),
        (vec![("agent-passport", "rubbish")], Reason::CredentialMalformed),
    ] {
        let Step::Deny(refused) = gate.begin(&headers, Some("192.0.2.1")) else { panic!("{reason:?}") };
        assert_eq!((refused.denial.reason, refused.message_id), (reason, None));
    }
}

#[test]
fn without_a_credential_only_the_tools_of_the_policy_may_be_called() {
    let policy = json!({"anonymous": {"enabled": true, "allowed_actions": ["flights:search"], "read_only": false,
        "rate_limit_per_minute": 1}});
    let mut gate = Gate::of(&policy);
    let step = gate.step(&[], Some("192.0.2.1"), &call("search"));
    let Step::Permit(permit) = step else { panic!("{step:?}") };
    assert_eq!((permit.access(), permit.route().action()), (AccessMode::Anonymous, "flights:search"));
    let mut ask = |tool| gate.step(&[], Some("192.0.2.1"), &call(tool));
    let Step::Deny(refused) = ask("book") else { panic!("it passed") };
    assert_eq!(refused.denial.reason, Reason::AnonymousNotAllowed);
    assert_eq!(refused.message_id.as_deref(), Some("1"));
    assert_eq!(code(&ask("search")), "rate_limit_exceeded");
    assert_eq!(code(&ask("unlisted")), "mcp_tool_unknown");
    assert_eq!(code(&gate.step(&[], Some("192.0.2.2"), &call("search"))), "ok");
    assert_eq!(code(&gate.step(&[], None, &call("search"))), "anonymous_not_allowed");
}

#[test]
fn a_tool_asks_for_its_own_permission_and_everything_else_for_the_routes() {
    let mut gate = Gate::of(&json!({}));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let complete = json!({"jsonrpc": "2.0", "id": 1, "method": "completion/complete"});
    for (permission, passing) in [
        ("flights:search", [true, false, false, false]),
        ("flights:book", [false, true, false, false]),
        ("flights:connect", [false, false, true, false]),
        ("flights:complete", [false, false, false, true]),
    ] {
        let signed = issued(&[permission]);
        for (message, passes) in [&call("search"), &call("book"), &list, &complete].into_iter().zip(passing) {
            let expected = if passes { "ok" } else { "permission_denied" };
            assert_eq!(gate.code(&signed, message), expected, "{permission} {message}");
        }
    }
}

#[test]
fn a_proof_must_cover_the_message() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&["flights:search"]);
    let signed_text = call("search").to_string();
    let mut prove = |nonce: &str, body: Option<&str>, message: &Value| {
        code(&prove(&mut gate, &signed, nonce, body, message))
    };
    let text = Some(signed_text.as_str());
    let nonces = ["bm9uY2Ugb2YgMTYgYnl0ZXMx", "bm9uY2Ugb2YgMTYgYnl0ZXMy", "bm9uY2Ugb2YgMTYgYnl0ZXMz"];
    assert_eq!(prove(nonces[0], text, &call("book")), "body_digest_mismatch");
    assert_eq!(prove(nonces[1], None, &call("search")), "body_not_signed");
    assert_eq!(prove(nonces[2], text, &call("search")), "ok");
    assert_eq!(prove(nonces[2], text, &call("search")), "request_replayed");
}

/// A call with a proof over this body.
fn prove(gate: &mut Gate, signed: &Signed, nonce: &str, body: Option<&str>, message: &Value) -> Step {
    let (credential, agent) = (signed.to_header(), key(1));
    let draft = ProofDraft {
        method: "POST",
        authority: "api.example",
        path: "/mcp",
        query: None,
        credential: ("agent-passport", &credential),
        body: body.map(str::as_bytes),
        key_id: &portcullis_core::modei::self_agent_id(&agent.public_key()),
        created: NOW,
        expires: None,
        nonce,
    };
    let made = draft.sign(&agent);
    let headers = made.iter().map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = [("agent-passport", credential.as_str())].into_iter().chain(headers).collect();
    gate.step(&headers, None, message)
}

#[test]
fn a_call_that_other_proxies_have_seen_is_refused_under_its_own_id() {
    let mut gate = Gate::of(&json!({}));
    let asks = config(&json!({"nonce_authority": true})).to_string();
    gate.snapshot = Snapshot::new(&Config::from_json(asks.as_bytes()).unwrap()).unwrap();
    let signed = issued(&["flights:search"]);
    let text = call("search").to_string();
    let step = prove(&mut gate, &signed, "bm9uY2Ugb2YgMTYgYnl0ZXMx", Some(&text), &call("search"));
    let Step::NeedAuthority(pending) = step else { panic!("{step:?}") };
    let refused = pending.refused(Denial::new(Reason::RequestReplayed, "elsewhere"));
    assert_eq!((refused.denial.reason, refused.message_id.as_deref()), (Reason::RequestReplayed, Some("1")));
}

#[test]
fn what_a_refused_call_would_have_used_up_is_not_used() {
    let mut gate = Gate::of(&json!({"guardrails": {"flights:search": {"core:rate:max_per_day": 1}}}));
    let signed = issued(&["flights:search", "flights:book"]);
    for message in [call("unlisted"), json!([]), json!({"jsonrpc": "2.0", "id": 1, "method": "unlisted"})] {
        assert_ne!(gate.code(&signed, &message), "ok");
    }
    assert_eq!(gate.code(&signed, &call("search")), "ok");
    assert_eq!(gate.code(&signed, &call("search")), "rate_limit_exceeded");
    assert_eq!(gate.code(&signed, &call("book")), "ok");
}

/// The code of what a gate answers to this body under these headers.
fn judged(headers: &[(&str, &str)], body: &str) -> &'static str {
    let mut gate = Gate::of(&json!({"guardrails": {"flights:complete": {"core:approval:required": true}}}));
    let credential = issued(&["flights:search", "flights:connect", "flights:complete"]).to_header();
    let all: Vec<_> = [("agent-passport", credential.as_str())].iter().chain(headers).copied().collect();
    match gate.begin(&all, None) {
        Step::NeedBody(mut pending) => {
            pending.absorb_message(body.as_bytes().to_vec()).unwrap();
            let verifier = Verifier::new(&gate.snapshot).with_process(&gate.process);
            code(&verifier.finish(pending, NOW, &mut gate.memory))
        }
        decided => code(&decided),
    }
}

#[test]
fn a_message_that_can_be_read_in_two_ways_is_refused() {
    let good = call("search").to_string();
    assert_eq!(judged(&[], &good), "ok");
    for body in [
        "",
        "7",
        "{}",
        "[]",
        &format!("[{good}]"),
        &format!("{good}{good}"),
        &good.replace("2.0", "1.0"),
        &good.replace("\"jsonrpc\":\"2.0\",", ""),
        &good.replace("\"id\":1", "\"id\":1,\"id\":2"),
        &good.replace("\"id\":1", "\"id\":1,\"ID\":1"),
        &good.replace("\"id\":1", "\"id\":1,\"result\":{}"),
        &good.replace("\"id\":1", "\"id\":1,\"more\":{}"),
        &good.replace("\"tools/call\"", "[\"tools/call\"]"),
        &good.replace("\"tools/call\"", "\"\""),
        &good.replace("\"name\":\"search\"", "\"name\":7"),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["search"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":7}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
    ] {
        assert_eq!(judged(&[], body), "mcp_message_malformed", "{body}");
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#,
    ] {
        assert_eq!(judged(&[], body), "ok", "{body}");
    }
}

#[test]
fn headers_must_say_what_the_message_says() {
    let good = call("search").to_string();
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}"#;
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"taskId":"t"}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}"#;
    for (header, body, expected) in [
        (("mcp-name", "search"), good.as_str(), "ok"),
        (("mcp-name", "=?base64?c2VhcmNo?="), &good, "ok"),
        (("mcp-name", "=?base64?c2VhcmNp?="), &good, "mcp_header_mismatch"),
        (("mcp-name", "=?base64?c2VhcmNo"), &good, "mcp_header_mismatch"),
        (("mcp-name", "=?base64?/w==?="), &good, "mcp_header_mismatch"),
        (("mcp-name", "book"), &good, "mcp_header_mismatch"),
        (("mcp-name", "LIS"), &good, "mcp_header_mismatch"),
        (("mcp-name", ""), &good, "mcp_header_mismatch"),
        (("mcp-name", "a:b"), read, "mcp_method_unknown"),
        (("mcp-name", "a:c"), read, "mcp_header_mismatch"),
        (("mcp-name", "t"), asked, "hold"),
        (("mcp-name", "u"), asked, "mcp_header_mismatch"),
        (("mcp-method", "tools/call"), &good, "ok"),
        (("mcp-method", "Tools/call"), &good, "mcp_header_mismatch"),
        (("mcp-method", "ping"), &good, "mcp_header_mismatch"),
        (("mcp-method", "tools/call"), answer, "mcp_header_mismatch"),
        (("content-encoding", "identity"), &good, "mcp_message_malformed"),
        (("content-type", "application/json;charset=UTF-8"), &good, "ok"),
        (("content-type", "application/json;charset=utf-16"), &good, "mcp_message_malformed"),
        (("content-type", "application/jsonp"), &good, "mcp_message_malformed"),
        (("content-type", "text/plain"), &good, "mcp_message_malformed"),
    ] {
        assert_eq!(judged(&[header], body), expected, "{header:?} {body}");
    }
    for name in ["mcp-name", "mcp-method", "mcp-protocol-version", "mcp-session-id", "content-type"] {
        assert_eq!(judged(&[(name, "search"), (name, "search")], &good), "header_ambiguous", "{name}");
    }
}

#[test]
fn what_is_approved_is_the_call_whatever_its_id() {
    let mut gate = Gate::of(&json!({"guardrails": {"flights:search": {"core:approval:required": true}}}));
    let credential = issued(&["flights:search"]).to_header();
    let mut held = |change: &dyn Fn(&mut Value)| {
        let mut message = call("search");
        message["params"]["_meta"] = json!({"progressToken": 1, "v": 1});
        change(&mut message);
        let step = gate.step(&[("agent-passport", &credential)], None, &message);
        let Step::Hold(held) = step else { panic!("{step:?}") };
        assert_eq!(held.refused.message_id, Some(message["id"].to_string()));
        held.binding
    };
    let same = held(&|_| {});
    assert_eq!(held(&|message| message["id"] = json!("another")), same);
    for name in ["progressToken", "traceparent", "tracestate", "baggage"] {
        assert_eq!(held(&|message| message["params"]["_meta"][name] = json!("x")), same);
    }
    let others: [&dyn Fn(&mut Value); 5] = [
        &|message| message["params"]["arguments"]["to"] = json!("OPO"),
        &|message| message["params"]["arguments"]["_meta"] = json!({}),
        &|message| message["params"]["more"] = json!(1),
        &|message| message["params"]["_meta"]["v"] = json!(2),
        &|message| message["params"]["progressToken"] = json!(1),
    ];
    for other in others {
        assert_ne!(held(other), same);
    }
}

#[test]
fn what_is_approved_of_an_answer_is_that_answer() {
    let mut gate = Gate::of(&json!({"guardrails": {"flights:connect": {"core:approval:required": true}}}));
    let credential = issued(&["flights:connect"]).to_header();
    let mut held = |id: u8, member: &str, action: &str| {
        let message = json!({"jsonrpc": "2.0", "id": id, member: {"code": 1, "message": action}});
        let step = gate.step(&[("agent-passport", &credential)], None, &message);
        let Step::Hold(held) = step else { panic!("{step:?}") };
        held.binding
    };
    let decline = held(7, "result", "decline");
    assert_eq!(held(7, "result", "decline"), decline);
    for (id, member, action) in [(7, "result", "accept"), (8, "result", "decline"), (7, "error", "decline")] {
        assert_ne!(held(id, member, action), decline);
    }
}

#[test]
fn what_a_message_may_be_nested_and_how_many_values_it_may_have_is_bounded() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&["flights:search"]);
    let with = |arguments: Value| {
        let mut message = call("search");
        message["params"]["arguments"] = arguments;
        message
    };
    let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!([inner]));
    assert_eq!(gate.code(&signed, &with(nested(61))), "ok");
    assert_eq!(gate.code(&signed, &with(nested(62))), "mcp_message_malformed");
    assert_eq!(gate.code(&signed, &with(json!(vec![0; 65_529]))), "ok");
    assert_eq!(gate.code(&signed, &with(json!(vec![0; 65_530]))), "mcp_message_malformed");
}

#[test]
fn ids_are_told_as_they_came() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&["flights:search"]);
    let mut told = |id: Value| {
        let mut message = call("unlisted");
        message["id"] = id;
        let step = gate.step(&[("agent-passport", &signed.to_header())], None, &message);
        let Step::Deny(refused) = step else { panic!("{step:?}") };
        (refused.denial.reason, refused.message_id)
    };
    let longest = "é".repeat(128);
    for id in [json!(0), json!(-7), json!("a\"b\\\n"), json!(longest)] {
        assert_eq!(told(id.clone()), (Reason::McpToolUnknown, Some(id.to_string())));
    }
    for id in [json!(1.5), json!(true), json!(format!("{longest}a")), json!([1]), Value::Null] {
        assert_eq!(told(id), (Reason::McpMessageMalformed, None));
    }
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_at_its_place() {
    let fault = |change: &dyn Fn(&mut Value)| {
        let mut config = config(&json!({}));
        change(&mut config["routes"][0]);
        Config::from_json(config.to_string().as_bytes())
            .and_then(|config| Snapshot::of_static(&config))
            .map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(fault(&|_| {}), "");
    let tool = |tool: Value| move |route: &mut Value| route["mcp"]["tools"]["search"] = tool.clone();
    for (place, told) in [
        ("routes[0].mcp.tools.search: must have either", fault(&tool(json!({})))),
        (
            "routes[0].mcp.tools.search: must have either",
            fault(&tool(json!({"public": true, "action": "a:b"}))),
        ),
        ("routes[0].mcp.tools.search.action: must be 1 to 256", fault(&tool(json!({"action": "a:*"})))),
        ("routes[0].mcp.tools.search.model: must be", fault(&tool(json!({"action": "a:b", "model": ""})))),
        (
            "routes[0].mcp.tools.search.target_domain: must",
            fault(&tool(json!({"action": "a:b", "target_domain": "A"}))),
        ),
        ("routes[0].mcp.tools.search.cost: is unknown", fault(&tool(json!({"action": "a:b", "cost": 1})))),
        (
            "routes[0].mcp.tools: cannot be listed",
            fault(&|route| route["mcp"]["tools"][""] = json!({"action": "a:b"})),
        ),
        (
            "routes[0].mcp.methods.tools/call: cannot",
            fault(&|route| route["mcp"]["methods"]["tools/call"] = json!({"action": "a:b"})),
        ),
        ("routes[0].mcp.tools: is missing", fault(&|route| route["mcp"] = json!({}))),
        ("routes[0].methods: must be of GET, POST", fault(&|route| route["methods"] = json!(["PUT"]))),
        (
            "routes[0]: must have an action",
            fault(&|route| {
                route["public"] = json!(true);
                route.as_object_mut().unwrap().remove("action");
            }),
        ),
        (
            "routes[0].mcp.tools: has more than",
            fault(&|route| {
                for number in 0..1024 {
                    route["mcp"]["tools"][format!("t{number}")] = json!({"action": "a:b"});
                }
            }),
        ),
    ] {
        assert!(told.starts_with(place), "{told}, and not {place}");
    }
}

#[test]
fn a_configuration_is_written_as_it_was_read() {
    let config = Config::from_json(config(&json!({})).to_string().as_bytes()).unwrap();
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["routes"][0]["mcp"], self::config(&json!({}))["routes"][0]["mcp"]);
}
