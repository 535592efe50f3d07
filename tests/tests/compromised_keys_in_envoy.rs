//! docs/compromised-keys.md, each command as it stands there, and what gates in real Envoy
//! make of it.

use crate::live_stand::{GATE, LiveStand, Wishes, agent, counter_of, given, passport};
use portcullis_core::base64;
use portcullis_core::modei::Signed;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use xtask::http::Request;
use xtask::live_gate::{Enrolled, KEY_VARIABLE, wait_until_open};

const PAGE: &str = include_str!("../../docs/compromised-keys.md");

/// The page's commands are for people who have curl and jq. Where they are not, that is
/// said, and counted as skipped.
fn is_without_tools(test: &str) -> bool {
    let lacks = |program: &str| std::process::Command::new(program).arg("--version").output().is_err();
    let lacking: Vec<_> = ["curl", "jq"].into_iter().filter(|program| lacks(program)).collect();
    if lacking.is_empty() {
        return false;
    }
    let line = format!("{test}: {} is not here", lacking.join(", "));
    println!("SKIPPED {line}");
    if let Some(file) = std::env::var_os("PORTCULLIS_SKIPPED") {
        use std::io::Write;
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    true
}

#[test]
fn a_gate_refuses_what_a_retired_key_signed_and_takes_what_was_issued_again() {
    if is_without_tools("a_gate_refuses_what_a_retired_key_signed_and_takes_what_was_issued_again") {
        return;
    }
    let stand = LiveStand::start("compromised-issuer", &Wishes::default());
    let made = stand.call("POST", "/api/v1/issuers", &json!({"name": "Acme", "actions": ["flights:*"]}));
    for owner in [made["issuer_id"].as_str().unwrap(), GATE] {
        let mut asked = json!({
            "agent_id": "agent-1", "agent_public_key": base64::encode(&agent(40).public_key()),
            "permissions": ["flights:search"],
        });
        let path = if owner == GATE {
            format!("/api/gates/{GATE}/passports")
        } else {
            "/api/v1/passports".to_owned()
        };
        if owner != GATE {
            asked["issuer_id"] = json!(owner);
        }
        let former = signed(&stand.call("POST", &path, &asked));
        stand.wait_for(&former, (200, ""));
        let key = newest_key(&stand, "passports", owner);
        let variables =
            [("OWNER", owner), ("KEY_ID", text(&key, "key_id")), ("PUBLIC_KEY", text(&key, "public_key"))];
        let blocks = commands("A signing key of an issuer or a gate");
        run(&stand, &blocks[0], &variables);
        stand.wait_for(&former, (401, "signature_key_unavailable"));
        run(&stand, &blocks[1], &variables);
        let again: Value = serde_json::from_str(&run(&stand, &blocks[2], &variables)).unwrap();
        assert_eq!(blocks.len(), 3);
        stand.wait_for(&signed(&again), (200, ""));
        // Once more, nothing is left to be issued again.
        run(&stand, &blocks[1], &variables);
        assert_eq!(run(&stand, &blocks[2], &variables), "");
    }
}

#[test]
fn a_gate_with_the_new_pin_believes_the_successor_alone() {
    if is_without_tools("a_gate_with_the_new_pin_believes_the_successor_alone") {
        return;
    }
    let stand = LiveStand::start("compromised-trust", &Wishes::default());
    let file = stand.folder.path().join("gate.json");
    std::fs::write(&file, &stand.enrolled.config).unwrap();
    let compromised = newest_key(&stand, "trust", "service");
    let variables = [("KEY_ID", text(&compromised, "key_id"))];
    let blocks = commands("The trust key");
    run(&stand, &blocks[0], &variables);
    run(&stand, &blocks[1], &variables);
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(!config.contains(text(&compromised, "key_id")), "{config}");

    let enrolled = Enrolled { config, key: stand.enrolled.key.clone() };
    let renewed = stand.closed_envoy("compromised-trust-renewed", &enrolled);
    let began = std::time::Instant::now();
    while counter_of(&renewed, "portcullis_trust.unknown_key") == 0 {
        assert!(began.elapsed().as_secs() < 60, "{}", renewed.log_tail());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(status(renewed.listen), 503, "nothing that the compromised key signs is believed");
    run(&stand, &blocks[2], &variables);
    assert_eq!(blocks.len(), 3);
    wait_until_open(&renewed).unwrap();
}

#[test]
fn a_gate_is_enrolled_again_and_its_former_key_hears_nothing_more() {
    if is_without_tools("a_gate_is_enrolled_again_and_its_former_key_hears_nothing_more") {
        return;
    }
    let stand = LiveStand::start("compromised-gate", &Wishes::default());
    let holder = agent(41);
    let revoked = passport(&holder, "pp_self_revoked");
    stand.wait_for(&revoked, (200, ""));
    // Whoever has the key has brought another.
    let thief = format!("{KEY_VARIABLE}={}\n", stand.enrolled.key);
    std::fs::write(stand.folder.path().join("thief.env"), thief).unwrap();
    let bring = "portcullis gate rotate --service \"$CONTROL\" --gate \"$GATE\"";
    let before = stand.counter("portcullis_trust.status");
    let variables = [("GATE", GATE)];
    run(&stand, &format!("{bring} --env thief.env --out thief.2.env"), &variables);
    for block in commands("The key by which a gate calls") {
        run(&stand, &block, &variables);
    }
    for (number, file) in ["thief.env", "thief.2.env"].into_iter().enumerate() {
        let again = format!("! {bring} --env {file} --out thief.{}.env 2> refused", number + 3);
        run(&stand, &again, &variables);
        let refused = std::fs::read_to_string(stand.folder.path().join("refused")).unwrap();
        assert!(refused.contains("401"), "{refused}");
    }
    stand.wait_for_counter("portcullis_trust.status", before);
    stand.revoke(&holder, &revoked);

    let read = |name: &str| std::fs::read_to_string(stand.folder.path().join(name)).unwrap();
    let key = read("gate.env");
    let key = key.trim().strip_prefix(KEY_VARIABLE).unwrap().strip_prefix('=').unwrap().to_owned();
    assert_ne!(key, stand.enrolled.key);
    let config: Value = serde_json::from_str(&read("gate.json")).unwrap();
    assert_eq!(config["gate"]["id"], GATE);
    let renewed =
        stand.another_envoy("compromised-gate-renewed", &Enrolled { config: config.to_string(), key });
    assert_eq!(counter_of(&renewed, "portcullis_trust.status"), 0);
    assert_eq!(stand.ask(&revoked), (200, String::new()), "who is not enrolled hears of no revocation");
}

/// The commands below a heading.
fn commands(heading: &str) -> Vec<String> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// Runs a block of commands in the stand's folder; gives what they print.
fn run(stand: &LiveStand, block: &str, variables: &[(&str, &str)]) -> String {
    let cli = given("PORTCULLIS_CLI");
    let folder = cli.parent().map(Path::to_owned).unwrap();
    let service = stand.service.as_ref().unwrap();
    let output = Command::new("sh")
        .args(["-euc", block])
        .current_dir(stand.folder.path())
        .env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()))
        .env("CONTROL", service.url())
        .env("API_KEY", &service.key)
        .env("NO_PROXY", "*")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{block}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn newest_key(stand: &LiveStand, purpose: &str, owner: &str) -> Value {
    let page =
        stand.call("GET", &format!("/api/v1/signing-keys?purpose={purpose}&owner={owner}"), &json!({}));
    page["keys"][0].clone()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}

fn signed(record: &Value) -> Signed {
    let envelope: Value = serde_json::from_str(text(record, "passport_json")).unwrap();
    let wire = json!({"passport_json": envelope, "signature": record["signature"]});
    Signed::from_json(wire.to_string().as_bytes()).unwrap()
}

fn status(proxy: SocketAddr) -> u16 {
    Request::new("GET", "/flights").send(proxy).unwrap().status
}
