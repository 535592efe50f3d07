//! What bounds a gate in real Envoy: the memory of a VM, which neither grows with what it has seen nor
//! beyond its ceiling, whatever comes.

use crate::stand::given;
use crate::trapping::{ceiling, leaking, with_ceiling};
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::http::{Connection, Request};
use xtask::net;
use xtask::soak::{self, Outcome, Programs};
use xtask::workspace::Workspace;

/// A short form of `cargo xtask soak`, which sends a million: as short as one can be.
const SOAK: u64 = 20_000;

#[test]
fn twenty_thousand_mixed_requests_leave_a_warm_gate_as_large_as_it_was() {
    let outcome = soak("soak", &given("PORTCULLIS_WASM"), SOAK);
    println!("{outcome:?}");
    outcome.check().unwrap();
    let refusals = outcome.answers.keys().filter(|answer| !answer.ends_with(" ok")).count();
    assert!(refusals >= 15, "{:?}", outcome.answers);
}

#[test]
fn a_plugin_that_leaks_does_not_pass_the_soak() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    let file = folder.path().join("leaking.wasm");
    std::fs::write(&file, leaking(&plugin, "proxy_on_request_headers", 256)).unwrap();
    let outcome = soak("soak-leaking", &file, SOAK);
    let error = outcome.check().unwrap_err().to_string();
    assert!(error.contains("a leak"), "{error}");
    assert_eq!(outcome.wrong, 0, "nothing else is wrong with it");
}

fn soak(name: &str, plugin: &Path, requests: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let [envoy, control, cli] = ["PORTCULLIS_ENVOY", "PORTCULLIS_CONTROL", "PORTCULLIS_CLI"].map(given);
    let programs = Programs { envoy: &envoy, control: &control, cli: &cli, plugin };
    let workspace = Workspace::find().unwrap();
    soak::run(&workspace, &programs, (name, folder.path()), requests, &|_| ()).unwrap()
}

/// The memory that a VM may have beyond what it begins with, in pages of 64 KiB: less than it is
/// told to remember.
const ROOM: u64 = 48;

#[test]
fn a_vm_that_has_no_more_memory_refuses_and_another_takes_its_place() {
    let plugin = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    let (least, most) = ceiling(&plugin);
    assert_eq!(most, Some(4096), "256 MiB, as .cargo/config.toml has it");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.wasm");
    std::fs::write(&file, with_ceiling(&plugin, least + ROOM)).unwrap();

    let [listen, admin, echo] = net::free().unwrap();
    let upstream = Upstream::start(echo, echo::Answer::Echo).unwrap();
    let gate = json!({
        "gate": {"id": "gate_small"}, "profile": "L1", "authorities": [listen.to_string()],
        "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}],
        "trust": {"self_issued": {"actions": ["flights:*"]}},
        // More than there is.
        "cache_bytes": 64 << 20,
    });
    let workspace = Workspace::find().unwrap();
    let config = EnvoyConfig::shipped(&workspace)
        .and_then(|shipped| shipped.with_plugin(&file))
        .and_then(|shipped| shipped.with_gate(&gate.to_string()))
        .unwrap();
    let addresses = Addresses { listen, admin, upstream: upstream.address };
    let program = given("PORTCULLIS_ENVOY");
    let envoy = Envoy::start(&workspace, &program, "limits-memory", config, &addresses, 1).unwrap();
    let authority = listen.to_string();
    let mut kept = None;
    let mut ask = |id: &str, forge: bool| {
        let text = passport(id).to_json();
        let text = if forge { text.replace("flights:search", "flights:searcx") } else { text };
        let mut request = Request::new("GET", "/flights");
        let header = format!(":{}:", portcullis_core::base64::encode(text.as_bytes()));
        request.headers.push(("agent-passport".to_owned(), header));
        let mut connection = kept.take().unwrap_or_else(|| Connection::open(listen).unwrap());
        let answer = connection.exchange(&request.to_bytes(&authority, false)).unwrap().expect("an answer");
        kept = connection.is_open().then_some(connection);
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body["reason_code"].as_str().unwrap_or_default().to_owned())
    };
    let log = || std::fs::read_to_string(&envoy.log).unwrap();
    let out_of_memory = || log().matches("the gate panicked").count();
    let (began, mut passed, mut number) = (Instant::now(), 0, 0);
    // Each is new, and remembered; some are forged. Until no memory was left twice.
    while out_of_memory() < 2 {
        assert!(began.elapsed() < Duration::from_secs(240), "{number} passports fit; {}", envoy.log_tail());
        for _ in 0..10 {
            number += 1;
            let is_forged = number % 10 == 0;
            match ask(&format!("pp_{number}"), is_forged) {
                (200, _) => {
                    assert!(!is_forged, "{number}");
                    passed += 1;
                }
                (401, reason) => assert!(is_forged && reason == "signature_invalid", "{number} {reason}"),
                // Envoy's own word: the VM is gone, and the next comes after a tenth of a second.
                other => assert_eq!(other, (503, String::new()), "{number}"),
            }
        }
    }
    println!("{number} passports, {passed} passed, until memory was short twice");
    assert!(number > 40, "a VM with no more than {ROOM} pages remembers some");
    let began = Instant::now();
    while ask("pp_after", false).0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", envoy.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask("pp_forged", true), (401, "signature_invalid".to_owned()));
    assert_eq!(upstream.served(), passed + 1);
    assert!(envoy.runs().unwrap());
}

/// A passport of some 10 KB: it grants much that nobody asks for.
fn passport(id: &str) -> portcullis_core::modei::Signed {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap());
    let draft = Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: std::iter::once("flights:search".to_owned())
            .chain((0..40).map(|number| format!("flights:{number:0>200}")))
            .map(|action| (action, Object::default()))
            .collect(),
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        delegation_authority: false,
    };
    self_issue(&SecretKey::from_seed([9; 32]), &draft)
}
