//! The public Modei SDK reads what we make, and we what it makes. `PORTCULLIS_PYTHON`
//! names a Python that has it; without one these tests say that they were skipped.

use crate::support::{Desk, NOON};
use std::io::Write;
use std::process::Command;

/// Runs a script with the SDK; `None` where there is no such Python.
pub(crate) fn python(desk: &Desk, test: &str, script: &str, arguments: &[&str]) -> Option<String> {
    let Ok(python) = std::env::var("PORTCULLIS_PYTHON") else {
        skip(test, "PORTCULLIS_PYTHON names no Python that has the Modei SDK");
        return None;
    };
    let mut command = Command::new(python);
    let output = command.args(["-c", script]).args(arguments).current_dir(desk.path(".")).output();
    let output = output.expect("PORTCULLIS_PYTHON runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Says that a test did not run: on standard output, and where whoever counts the
/// tests gave a file for it, there too.
pub(crate) fn skip(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
    if let Ok(list) = std::env::var("PORTCULLIS_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(list);
        writeln!(file.expect("the list of skipped tests"), "{test}: {reason}").expect("a line");
    }
}

#[test]
fn the_sdk_loads_our_credential_file_and_we_load_its() {
    let desk = Desk::new();
    let ours = desk.done_json(&["keygen", "--out", "ours.json"]);
    let script = "
from modei.passport import AgentCredentials
print(AgentCredentials.load('ours.json').agent_id)
theirs = AgentCredentials.generate()
theirs.save('theirs.json')
print(theirs.agent_id)
";
    let Some(out) = python(&desk, "the_sdk_loads_our_credential_file_and_we_load_its", script, &[]) else {
        return;
    };
    let ids: Vec<_> = out.lines().collect();
    assert_eq!(ids.first().copied(), ours["agent_id"].as_str());
    let issued = desk.done_json(&["issue", "--key", "theirs.json", "--permission", "flights:search"]);
    assert_eq!(ids.get(1).copied(), issued["agent_id"].as_str());
}

#[test]
fn the_sdk_verifies_our_passports_at_every_depth() {
    let desk = Desk::furnished();
    let (mut parent, mut key) = ("agent.passport".to_owned(), "agent.json".to_owned());
    for depth in 1..=5 {
        let (child, child_key) = (format!("{depth}.passport"), format!("{depth}.json"));
        desk.done(&["keygen", "--out", &child_key]);
        let from = ["delegate", "--parent", &parent, "--key", &key, "--to", &child_key, "--out", &child];
        let rest = ["--at", "2026-06-01T11:45:00Z", "--delegable", "--permission", "flights:book"];
        desk.done(&[from.as_slice(), &rest].concat());
        (parent, key) = (child, child_key);
    }
    let script = "
import json, sys
from modei.passport import PassportVerifier
for name in sys.argv[1:]:
    passport = json.load(open(name))
    result = PassportVerifier().verify(passport['passport_json'], passport['signature'])
    print(result.valid, result.tier.value, result.reason_code)
";
    let files = ["agent.passport", "1.passport", "2.passport", "3.passport", "4.passport", "5.passport"];
    let Some(out) = python(&desk, "the_sdk_verifies_our_passports_at_every_depth", script, &files) else {
        return;
    };
    assert_eq!(out.lines().collect::<Vec<_>>(), ["True L0 None"; 6]);
}

#[test]
fn we_verify_and_delegate_the_sdks_passports() {
    let desk = Desk::furnished();
    let script = "
import json
from datetime import timedelta
from modei.passport import AgentCredentials, DelegationBuilder, PassportIssuer
def save(name, signed):
    json.dump({'passport_json': signed.envelope.model_dump(mode='json'), 'signature': signed.signature}, open(name, 'w'))
root, child = AgentCredentials.generate(), AgentCredentials.generate()
child.save('child.json')
permissions = [{'permission_key': 'flights:book', 'constraints': {'max_per_action_cost': 500}}]
parent = PassportIssuer(root, identity_claim='Agent \\u00e9 \\U0001f600').self_issue(permissions, timedelta(days=1), True)
save('root.passport', parent)
builder = DelegationBuilder(parent=parent, parent_credentials=root)
signed = builder.authorize(child_credentials=child).with_permissions(
    [{'permission_key': 'flights:book', 'constraints': {'max_per_action_cost': 200}}]).with_expiry(timedelta(hours=1)).with_delegation_authority(True).sign()
save('child.passport', signed)
";
    if python(&desk, "we_verify_and_delegate_the_sdks_passports", script, &[]).is_none() {
        return;
    }
    let verdict = desk.done_json(&["verify", "root.passport"]);
    assert_eq!(verdict["provenance"], "L0");
    assert_eq!(verdict["passport"]["agent_name"], "Agent é 😀");
    let verdict = desk.done_json(&["verify", "child.passport"]);
    assert_eq!(verdict["passport"]["permissions"][0]["constraints"]["max_per_action_cost"], 200);

    let from = ["delegate", "--parent", "child.passport", "--key", "child.json", "--to", "helper.jwk"];
    desk.done(&[from.as_slice(), &["--permission", "flights:book", "--out", "ours.passport"]].concat());
    assert_eq!(
        desk.done_json(&["verify", "ours.passport"])["passport"]["hops"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn the_sdk_and_we_refuse_a_changed_passport_alike() {
    let desk = Desk::furnished();
    desk.write("forged", desk.read("agent.passport").replace("flights:search", "flights:cancel"));
    let script = "
import json
from modei.passport import PassportVerifier
passport = json.load(open('forged'))
print(PassportVerifier().verify(passport['passport_json'], passport['signature']).reason_code)
";
    let test = "the_sdk_and_we_refuse_a_changed_passport_alike";
    let Some(out) = python(&desk, test, script, &[]) else { return };
    assert_eq!(desk.refused_json(&["verify", "forged", "--at", NOON])["reason_code"], out.trim());
}
