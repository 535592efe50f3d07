//! The plugin on hosts that lack what it needs, as G-Core's FastEdge was measured to: data shared
//! between workers are written and gone, configurations end with a NUL, a refused one is ignored, so is
//! a pause, each callback meets a new instance, and there are no metrics.

use crate::scenario_workers::{AUTHORITY, host};
use portcullis_core::UnixTime;
use portcullis_harness::{CasRules, Headers, HostProfile, Request, StartError, Vm};

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

const CONFIGURATION: &str = r#"{"gate":{"id":"gate_lacking"},"profile":"L1","authorities":["127.0.0.1:10000"],
    "routes":[{"path":"/public","methods":["GET","POST"],"public":true},
              {"path":"/flights","methods":["GET","POST"],"action":"a"}],
    "trust":{"self_issued":{"actions":["a"]}}}"#;

/// As FastEdge, but for the metrics, without which nothing at all would load.
fn lacking() -> HostProfile {
    HostProfile { metrics: true, request_pseudo_headers: true, ..HostProfile::fastedge() }
}

fn start(profile: HostProfile) -> Result<Vm, StartError> {
    host(profile, CONFIGURATION, NOW).start()
}

/// What a gate says that does not start where that is heeded.
fn why_not(profile: HostProfile) -> String {
    let heeds = HostProfile { ignores_refused_configuration: false, ..profile };
    match start(heeds) {
        Err(error @ StartError::Refused { .. }) => error.log_text(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it starts"),
    }
}

#[test]
fn a_host_without_metrics_does_not_load_the_plugin() {
    let Err(StartError::Unlinkable(lack)) = start(HostProfile::fastedge()) else { panic!("it loads") };
    assert!(lack.contains("proxy_define_metric") || lack.contains("proxy_increment_metric"), "{lack}");
}

#[test]
fn a_host_that_forgets_shared_data_is_found_out_at_every_start() {
    let profile = HostProfile { configuration_nul_terminated: false, ..lacking() };
    for _ in 0..2 {
        let said = why_not(profile.clone());
        assert!(said.contains("the host does not give it data shared between workers"), "{said}");
        let critical = said.lines().filter(|line| line.starts_with("critical: "));
        assert_eq!(critical.count(), 1, "{said}");
    }
}

#[test]
fn a_configuration_with_a_nul_behind_it_is_no_configuration() {
    let said = why_not(HostProfile { cas_rules: CasRules::Envoy, ..lacking() });
    assert!(said.contains("the gate does not start: the configuration"), "{said}");
}

#[test]
fn a_host_that_goes_on_all_the_same_gets_nothing_through() {
    for profile in [
        lacking(),
        HostProfile { configuration_nul_terminated: false, ..lacking() },
        HostProfile { cas_rules: CasRules::Envoy, ..lacking() },
    ] {
        let mut vm = start(profile).unwrap();
        for request in [Request::get("/public"), Request::post("/public", "x"), Request::get("/flights")] {
            let outcome = vm.request(request);
            assert_eq!(outcome.status(), 503);
            assert!(outcome.untouched());
        }
    }
}

#[test]
fn a_body_that_meets_another_instance_than_its_head_is_refused() {
    // This one has what the gate needs, and yet a new instance for every callback.
    let host = host(HostProfile::envoy(), CONFIGURATION, NOW);
    let head = [(":method", "POST"), (":path", "/public"), (":authority", AUTHORITY), (":scheme", "http")];
    let mut first = host.start().unwrap();
    let stream = first.open().unwrap();
    assert!(first.request_headers(stream, head.into_iter().collect(), false).reply.is_none());
    for trailers in [false, true] {
        let mut second = host.start().unwrap();
        let stream = second.open().unwrap();
        let step = if trailers {
            second.request_trailers(stream, Headers::default())
        } else {
            second.request_body(stream, "x", true)
        };
        assert_eq!(step.reply.map(|reply| reply.status), Some(503));
        assert!(step.passed.body.is_empty());
    }
}
