//! The plugin and the programs say which version they are, and of which commit.

use crate::stand::{Stand, given};
use portcullis_harness::{Host, HostProfile, Plugin};
use std::process::Command;
use std::sync::{Arc, Mutex};
use xtask::http::Request;

const GATE: &str = r#"{"gate":{"id":"gate_told"},"profile":"L1","authorities":["127.0.0.1:10000"],
    "routes":[{"path":"/","methods":["GET"],"public":true}]}"#;

/// As `Cargo.toml` has it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that stands between two texts: of a release, twelve digits of it.
fn commit(said: &str, before: &str, after: &str) -> String {
    let rest = said.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {said}")).1;
    let commit = rest.split_once(after).expect("it ends").0;
    let is_hash = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(commit == "unknown" || is_hash, "{commit}");
    commit.to_owned()
}

fn gauge(commit: &str) -> String {
    format!("portcullis_build.version.{VERSION}.commit.{commit}")
}

#[test]
fn a_worker_says_which_plugin_it_is_before_it_reads_a_configuration_that_may_be_no_good() {
    let plugin = Plugin::from_file(given("PORTCULLIS_WASM")).unwrap();
    for (configuration, last) in [(GATE, "gate gate_told is ready"), ("{}", "the gate does not start: ")] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let host = Host::new(&plugin, HostProfile::envoy())
            .configuration(configuration)
            .log_to(portcullis_harness::LogLevel::Info, move |_, line| {
                kept.lock().unwrap().push(line.to_owned())
            });
        for _ in 0..2 {
            assert_eq!(host.start().is_ok(), configuration == GATE);
        }
        let lines = lines.lock().unwrap();
        let first = format!("{}\n", lines[0]);
        assert!(first.starts_with("portcullis "), "{first}");
        let commit = commit(&first, &format!("portcullis {VERSION}, commit "), "\n");
        assert!(lines[1].starts_with(last), "{lines:?}");
        assert_eq!(host.metric(&gauge(&commit)), Some(1), "whatever the number of workers");
    }
}

#[test]
fn envoys_log_and_statistics_say_which_plugin_runs() {
    let stand = Stand::start("versions-told", GATE).unwrap();
    let stats = Request::new("GET", "/stats?filter=portcullis_build").send(stand.envoy.admin).unwrap();
    let stats = String::from_utf8_lossy(&stats.body).into_owned();
    let log = std::fs::read_to_string(&stand.envoy.log).unwrap();
    let commit = commit(&log, &format!("portcullis {VERSION}, commit "), "\n");
    assert_eq!(stats, format!("wasmcustom.{}: 1\n", gauge(&commit)));
}

#[test]
fn the_programs_say_their_version_and_commit() {
    for (variable, name) in [("PORTCULLIS_CLI", "portcullis"), ("PORTCULLIS_CONTROL", "portcullis-control")] {
        let output = Command::new(given(variable)).arg("--version").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let commit = commit(&said, " (commit ", ")\n");
        assert_eq!(said, format!("{name} {VERSION} (commit {commit})\n"));
    }
}
