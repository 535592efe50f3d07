//! Guardrails at gates in real Envoy with a real control service: rates right across workers,
//! spending that two proxies share, and requests that a person must approve.

use crate::live_stand::{GATE, LiveStand, Wishes, agent, given};
use portcullis_core::json::{self, Limits};
use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use xtask::http::{Request, Response, exchange};

fn gate(authority: &str) -> String {
    json!({
        "gate": {"id": GATE}, "profile": "L1", "authorities": [authority],
        "routes": [
            {"path": "/flights", "methods": ["GET"], "action": "flights:search"},
            {"path": "/book", "methods": ["POST"], "action": "flights:book", "cost_cents": 500},
        ],
        "trust": {"self_issued": {"actions": ["flights:*"]}},
    })
    .to_string()
}

fn stand(name: &str) -> LiveStand {
    LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() })
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// A passport that grants one action with these constraints.
fn passport(holder: &SecretKey, id: &str, action: &str, constraints: &Value) -> String {
    let limits = Limits { bytes: 4096, depth: 8, values: 100 };
    let text = constraints.to_string();
    let constraints = json::parse(text.as_bytes(), limits).unwrap().as_object().unwrap().clone();
    let draft = Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: vec![(action.to_owned(), constraints.into_owned())],
        issued_at: now(),
        expires_at: now().plus_millis(3_600_000),
        delegation_authority: false,
    };
    self_issue(holder, &draft).to_header()
}

fn send(to: SocketAddr, method: &str, path: &str, credential: &str, body: &[u8]) -> (Response, Value) {
    send_for(&to.to_string(), to, method, path, credential, body)
}

/// To one Envoy, in the name of the gate at another.
fn send_for(
    authority: &str,
    to: SocketAddr,
    method: &str,
    path: &str,
    credential: &str,
    body: &[u8],
) -> (Response, Value) {
    let mut request = Request::new(method, path);
    request.headers.push(("agent-passport".to_owned(), credential.to_owned()));
    request.body = body.to_vec();
    let answer = exchange(to, &request.to_bytes(authority, true)).unwrap();
    let told = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer, told)
}

#[test]
fn a_rate_holds_right_across_workers_and_says_when_to_come_back() {
    let stand = stand("rates");
    let credential = passport(&agent(1), "pp_rate", "flights:search", &json!({"core:rate:max_per_hour": 25}));
    // Not across the turn of an hour, where another window begins.
    let left = 3_600_000 - now().as_millis().rem_euclid(3_600_000);
    if left < 30_000 {
        std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap() + 100));
    }
    let to = stand.envoy.listen;
    let passed: usize = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let answers = (0..20).map(|_| send(to, "GET", "/flights", &credential, b"").0.status);
                    answers.filter(|status| *status == 200).count()
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).sum()
    });
    assert_eq!(passed, 25);
    let (answer, told) = send(to, "GET", "/flights", &credential, b"");
    assert_eq!((answer.status, told["reason_code"].as_str()), (429, Some("rate_limit_exceeded")));
    let wait = answer.headers.iter().find(|(name, _)| name == "retry-after").unwrap();
    assert!((1..=3600).contains(&wait.1.parse::<u32>().unwrap()), "{wait:?}");
    assert!(told["attestation_id"].as_str().unwrap().starts_with("att_"));
}

#[test]
fn a_gates_own_rate_counts_each_agent_whatever_passport_it_has() {
    let limited = |authority: &str| {
        let mut gate: Value = serde_json::from_str(&gate(authority)).unwrap();
        gate["guardrails"] = json!({"rate_limits": {"requests_per_day": 6}});
        gate.to_string()
    };
    let stand = LiveStand::start("gate_rates", &Wishes { gate: Some(&limited), ..Wishes::default() });
    for name in [4, 5] {
        let passed = (0..10).filter(|number| {
            let credential = passport(&agent(name), &format!("pp_{number}"), "flights:search", &json!({}));
            send(stand.envoy.listen, "GET", "/flights", &credential, b"").0.status == 200
        });
        assert_eq!(passed.count(), 6, "{name}");
    }
}

#[test]
fn two_envoys_together_spend_a_cap_to_the_cent_and_a_restart_forgets_nothing() {
    let stand = stand("spend");
    let authority = stand.envoy.listen.to_string();
    let book = |to, credential: &str| send_for(&authority, to, "POST", "/book", credential, b"");
    let other = stand.another_envoy("spend_b", &stand.enrolled);
    // Ten bookings.
    let caps = json!({"core:cost:max_cumulative": 5000, "core:cost:cumulative_window": "daily"});
    let credential = passport(&agent(2), "pp_spend", "flights:book", &caps);
    let began = Instant::now();
    let (mut booked, mut exhausted, mut pending) = (0, 0, 0);
    // Until both say that nothing is left, as each may hold a part of it for a while.
    while began.elapsed() < Duration::from_secs(120) && (exhausted < 6 || booked < 10) {
        for to in [stand.envoy.listen, other.listen] {
            let (answer, told) = book(to, &credential);
            match (answer.status, told["reason_code"].as_str()) {
                (200, _) => booked += 1,
                (403, Some("spend_limit_exceeded")) => exhausted += 1,
                (503, Some("spend_lease_pending")) => {
                    pending += 1;
                    std::thread::sleep(Duration::from_millis(200));
                }
                other => panic!("{other:?} {told}"),
            }
        }
        assert!(booked <= 10, "{booked}");
    }
    assert!((8..=10).contains(&booked), "{booked} booked, {exhausted} exhausted, {pending} pending");
    drop(other);
    let third = stand.another_envoy("spend_c", &stand.enrolled);
    for _ in 0..8 {
        let (answer, told) = book(third.listen, &credential);
        booked += usize::from(answer.status == 200);
        assert!(booked <= 10, "{told}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn what_a_person_approves_passes_once_and_nothing_else_does() {
    let stand = stand("approvals");
    let to = stand.envoy.listen;
    let held = json!({"core:cost:approval_threshold": 100});
    let credential = passport(&agent(3), "pp_hold", "flights:book", &held);
    let (answer, told) = send(to, "POST", "/book", &credential, b"seat 12a");
    assert_eq!((answer.status, told["decision"].as_str()), (202, Some("request_hold")), "{told}");
    let id = told["approval_request_id"].as_str().unwrap().to_owned();

    let approvals = |arguments: &[&str]| {
        let service = stand.service.as_ref().unwrap();
        let output = Command::new(given("PORTCULLIS_CLI"))
            .args(["--json", "approvals"])
            .args(arguments)
            .args(["--service", &service.url()])
            .env("PORTCULLIS_API_KEY", &service.key)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let began = Instant::now();
    let told = loop {
        let (found, told) = approvals(&["show", &id]);
        if found {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{told}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(told.contains("pending"), "{told}");
    let (approved, told) = approvals(&["approve", &id]);
    assert!(approved, "{told}");

    // The same, and nothing else: it passes once, as soon as the gate knows.
    let began = Instant::now();
    loop {
        let (other, _) = send(to, "POST", "/book", &credential, b"seat 12b");
        assert_eq!(other.status, 202);
        let (answer, told) = send(to, "POST", "/book", &credential, b"seat 12a");
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 202, "{told}");
        assert!(began.elapsed() < Duration::from_secs(60), "{told}; {}", stand.envoy.log_tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..6 {
        assert_eq!(send(to, "POST", "/book", &credential, b"seat 12a").0.status, 202);
    }
}

#[test]
fn who_has_no_credential_may_do_what_the_policy_says_and_who_has_a_bad_one_nothing() {
    let stand = stand("anonymous");
    let policy = json!({
        "enabled": true, "allowed_actions": ["flights:search"], "rate_limit_per_minute": 4,
        "upgrade_message": "Get a passport", "upgrade_url": "https://example.com/join",
    });
    stand.call("PUT", &format!("/api/gates/{GATE}/anonymous-policy"), &policy);
    let to = stand.envoy.listen;
    let ask = |credential: Option<&str>| {
        let mut request = Request::new("GET", "/flights");
        request.headers.extend(credential.map(|text| ("agent-passport".to_owned(), text.to_owned())));
        let answer = request.send(to).unwrap();
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, told["reason_code"].as_str().unwrap_or_default().to_owned())
    };
    // Each worker takes the policy up by itself, and all of them count together.
    let (began, mut passed, mut limited) = (Instant::now(), 0, 0);
    while limited < 20 {
        match ask(None) {
            (200, _) => passed += 1,
            (429, reason) => limited += usize::from(reason == "rate_limit_exceeded"),
            (401, reason) => assert_eq!(reason, "credential_missing"),
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", stand.envoy.log_tail());
    }
    // Or twice as many at the turn of a minute.
    assert!(passed == 4 || (5..=8).contains(&passed), "{passed}");
    for bad in [":AAAA:", "", "x"] {
        let (status, _) = ask(Some(bad));
        assert_ne!(status, 200, "{bad}");
    }
}
