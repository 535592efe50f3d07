//! The plugin on a host whose calls fail in every way: it never traps, and it never lets
//! through what it would not on a host that works.

use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime};
use portcullis_harness::{Fault, Host, HostProfile, Outcome, Plugin, Request, StartError, Status, Vm};
use std::sync::LazyLock;
use std::time::Duration;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

const CONFIGURATION: &str = r#"{
    "gate": {"id": "gate_faults"}, "profile": "L1", "authorities": ["127.0.0.1:10000"],
    "routes": [
        {"path": "/flights", "methods": ["GET"], "action": "flights:search"},
        {"path": "/public", "methods": ["GET"], "public": true},
        {"path": "/watched", "methods": ["GET"], "action": "flights:search", "mode": "report"}
    ],
    "trust": {"self_issued": {"actions": ["flights:search"]}}
}"#;

fn host() -> Host {
    let host = Host::new(&PLUGIN, HostProfile::envoy()).configuration(CONFIGURATION);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
    host
}

/// What every request here carries: a claim to an identity that is not its own.
fn spoofed(path: &str) -> Request {
    Request::get(path)
        .header("x-gate-agent-id", "root")
        .header("X-Gate-Tier", "3")
        .trailer("x-gate-issuer", "iss")
}

fn passport() -> String {
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Default::default())],
        issued_at: NOW.plus_millis(-1000),
        expires_at: NOW.plus_millis(3_600_000),
        delegation_authority: false,
    };
    self_issue(&SecretKey::from_seed([7; 32]), &draft).to_header()
}

/// Every import by its name alone, as faults are named.
fn calls() -> Vec<String> {
    let name = |import: String| import.rsplit('.').next().unwrap_or_default().to_owned();
    PLUGIN.imports().into_iter().map(name).filter(|name| name != "proc_exit").collect()
}

/// Every status that a host might answer, and some that no host should.
fn statuses() -> impl Iterator<Item = Status> {
    Status::ALL.into_iter().chain([Status(13), Status(255), Status(u32::MAX)])
}

/// Plays the three requests that matter, and checks what must hold of each on any host.
fn check(vm: &mut Vm, passport: &str, fault: &str) {
    let unproven = vm.request(spoofed("/flights"));
    assert!(unproven.trap.is_none(), "{fault}: {:?}", unproven.trap);
    assert!(!saw_whole(&unproven), "{fault}: a request without a credential was let through");

    for (path, header) in [("/flights", Some(passport)), ("/public", None), ("/watched", None)] {
        let request =
            header.iter().fold(spoofed(path), |request, value| request.header("agent-passport", *value));
        let outcome = vm.request(request);
        assert!(outcome.trap.is_none(), "{fault}: {path}: {:?}", outcome.trap);
        if !saw_whole(&outcome) {
            continue;
        }
        let arrived = outcome.upstream.as_ref().unwrap();
        let told: Vec<_> = arrived.headers.iter().filter(|(name, _)| name.starts_with(b"x-gate-")).collect();
        let is_spoofed = told.iter().any(|(_, value)| [b"root".as_slice(), b"3", b"iss"].contains(value));
        assert!(!is_spoofed, "{fault}: {path}: a client's claim reached the upstream: {told:?}");
        let in_trailers = arrived.trailers.iter().any(|(name, _)| name.starts_with(b"x-gate-"));
        assert!(!in_trailers, "{fault}: {path}: a claim in a trailer reached the upstream");
        assert!(
            !arrived.headers.has("agent-passport"),
            "{fault}: {path}: the credential reached the upstream"
        );
        // A host that says it set a header and did not is not found out: the upstream is
        // then told of nobody, never of somebody else.
        let is_lie = fault.contains("Status(0)") || fault.contains("rubbish");
        if !(is_lie && fault.contains("proxy_replace_header_map_value")) {
            assert_eq!(told.len(), if header.is_some() { 5 } else { 0 }, "{fault}: {path}: {told:?}");
        }
    }
}

fn saw_whole(outcome: &Outcome) -> bool {
    outcome.upstream.as_ref().is_some_and(|arrived| arrived.complete)
}

#[test]
fn a_host_that_works_lets_through_what_it_should() {
    let host = host();
    let mut vm = host.start().unwrap();
    check(&mut vm, &passport(), "no fault");
    assert_eq!(vm.request(spoofed("/flights").header("agent-passport", passport())).status(), 200);
    assert_eq!(vm.request(spoofed("/public")).status(), 200);
    assert_eq!(vm.request(spoofed("/watched")).status(), 200);
    assert_eq!(vm.request(spoofed("/flights")).status(), 401);
}

#[test]
fn any_call_may_answer_any_status_while_requests_are_judged() {
    let passport = passport();
    for call in calls() {
        for status in statuses() {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(Fault::status(&call, status));
            check(&mut vm, &passport, &format!("{call} answers {status:?}"));
            host.clear_faults();
            check(&mut vm, &passport, &format!("after {call} answered {status:?}"));
            let outcome = vm.request(spoofed("/flights").header("agent-passport", passport.clone()));
            assert_eq!(outcome.status(), 200, "{call} answered {status:?}, and the gate did not recover");
        }
    }
}

#[test]
fn each_single_call_may_fail_in_the_middle_of_a_request() {
    let passport = passport();
    for call in calls() {
        // No request here makes more than a dozen calls of one name.
        for occurrence in 1..=12 {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(Fault::status(&call, Status::INTERNAL_FAILURE).nth(occurrence));
            check(&mut vm, &passport, &format!("call {occurrence} of {call} fails"));
        }
    }
}

#[test]
fn any_call_may_return_rubbish() {
    let passport = passport();
    for call in calls() {
        let rubbish = [
            Fault::data(&call, vec![]),
            Fault::data(&call, vec![0; 4]),
            Fault::data(&call, vec![0xff; 3]),
            Fault::data(&call, vec![0xff; 64]),
            Fault::data(&call, [1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f].to_vec()),
            Fault::number(&call, 0),
            Fault::number(&call, u64::MAX),
            Fault::pointer(&call, 0, 5),
            Fault::pointer(&call, 0, 0),
            Fault::pointer(&call, u32::MAX, u32::MAX),
            Fault::pointer(&call, 8, u32::MAX),
            Fault::pointer(&call, u32::MAX - 2, 8),
        ];
        for (index, fault) in rubbish.into_iter().enumerate() {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(fault);
            check(&mut vm, &passport, &format!("{call} returns rubbish {index}"));
        }
    }
}

#[test]
fn a_gate_that_lacks_what_it_needs_refuses_to_start_and_never_traps() {
    for call in calls() {
        for status in statuses().filter(|status| *status != Status::OK) {
            let host = host();
            host.inject(Fault::status(&call, status));
            match host.start() {
                Ok(mut vm) => {
                    host.clear_faults();
                    check(&mut vm, &passport(), &format!("started while {call} answered {status:?}"));
                }
                Err(StartError::Refused { .. }) => {}
                Err(other) => panic!("{call} answers {status:?} at the start: {other}"),
            }
        }
    }
    for call in [
        "random_get",
        "environ_sizes_get",
        "proxy_get_buffer_bytes",
        "proxy_set_shared_data",
        "proxy_get_shared_data",
    ] {
        let host = host();
        host.inject(Fault::status(call, Status::INTERNAL_FAILURE));
        assert!(matches!(host.start(), Err(StartError::Refused { .. })), "{call} is needed");
    }
}

#[test]
fn a_host_that_keeps_nothing_for_its_access_log_changes_no_decision_and_is_told_of_once() {
    let (host, passport) = (host(), passport());
    let mut vm = host.start().unwrap();
    host.inject(Fault::status("proxy_set_property", Status::UNIMPLEMENTED));
    for _ in 0..3 {
        check(&mut vm, &passport, "no texts are kept");
        let outcome = vm.request(spoofed("/flights").header("agent-passport", passport.clone()));
        assert_eq!(outcome.status(), 200);
    }
    let told = vm.logs().filter(|(_, line)| line.contains("the access log is told of no decisions"));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_host_that_only_says_that_it_removed_a_header_is_found_out() {
    // Measured on nginx: removal answers Ok, and the header still reaches the upstream.
    let host = host();
    let mut vm = host.start().unwrap();
    host.inject(Fault::status("proxy_remove_header_map_value", Status::OK));
    let outcome = vm.request(spoofed("/public"));
    assert_eq!(outcome.status(), 503, "{}", outcome.reply_text());
    assert!(!saw_whole(&outcome));
}
