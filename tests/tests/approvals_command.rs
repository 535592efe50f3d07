//! `portcullis approvals` against the real service.

use crate::bench::Bench;
use crate::bench::passports::now;
use crate::bench::records::{Gate, draft};
use portcullis_core::attestation::Decision;
use serde_json::Value;
use std::process::{Command, Output};

/// The command, with the service's key in its environment.
fn portcullis(bench: &Bench, arguments: &[&str]) -> Output {
    let program =
        std::env::var_os("PORTCULLIS_CLI").expect("PORTCULLIS_CLI is not set: run `cargo xtask test`");
    let mut command = Command::new(program);
    command.env("PORTCULLIS_API_KEY", &bench.service.key).arg("approvals").args(arguments);
    command.args(["--service", &bench.service.url()]).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A gate that holds requests under these ids.
fn holding(bench: &Bench, ids: &[&str]) {
    let gate = Gate::enrolled(bench, "gate_a", 1);
    let drafts = ids.iter().map(|id| {
        let mut draft = draft("gate_a", "agent-1", Decision::RequestHold);
        draft.approval_request_id = Some((*id).to_owned());
        let hold = draft.hold.as_mut().unwrap();
        hold.expires_at = now().plus_millis(200_000);
        hold.summary = "book a \u{1b}[31mflight".to_owned();
        draft
    });
    let drafts: Vec<_> = drafts.collect();
    gate.lane(bench.service.address, 1).record(&drafts);
}

#[test]
fn requests_are_listed_shown_and_answered() {
    let bench = Bench::new();
    holding(&bench, &["appr_1", "appr_2"]);
    let listed = text(&portcullis(&bench, &["list"]));
    assert!(listed.contains("appr_1  pending") && listed.contains("appr_2"), "{listed}");
    assert!(
        listed.contains(r"book a \u{1b}[31mflight"),
        "what agents wrote does not reach the terminal: {listed}"
    );
    let shown = text(&portcullis(&bench, &["show", "appr_1"]));
    assert!(shown.starts_with("appr_1 is pending\n") && shown.contains("$1.20"), "{shown}");
    let approved = json(&portcullis(&bench, &["approve", "appr_1", "--note", "fine", "--json"]));
    assert_eq!((&approved["status"], &approved["note"]), (&"approved".into(), &"fine".into()));
    assert!(text(&portcullis(&bench, &["deny", "appr_2"])).starts_with("appr_2 is denied\n"));
    assert_eq!(text(&portcullis(&bench, &["list"])), "No request\n");
    let all = json(&portcullis(&bench, &["list", "--status", "all", "--gate", "gate_a", "--json"]));
    assert_eq!(all["approvals"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_done_is_said_with_exit_code_2() {
    let bench = Bench::new();
    holding(&bench, &["appr_1"]);
    let fails = |arguments: &[&str], why: &str| {
        let output = portcullis(&bench, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    };
    fails(&["approve", "appr_9"], "there is no approval appr_9");
    assert!(portcullis(&bench, &["deny", "appr_1"]).status.success());
    fails(&["approve", "appr_1"], "it is denied");
    fails(&["show", "../gates"], "the id must be of letters");
    let mut keyless = Bench::new();
    keyless.service.key = String::new();
    let output = portcullis(&keyless, &["list"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORTCULLIS_API_KEY is not set"));
}
