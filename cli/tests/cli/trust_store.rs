//! A SimpleGuard trust store: made, changed, listed, and turned into trust material.

use crate::modei_sdk::python;
use crate::support::{Desk, parsed};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::process::Command;

const TRUSTED: &str = "store/capiscio_keys/trusted";

/// A development store in `store`, and another agent's public key in three forms.
fn stores() -> Desk {
    let desk = Desk::new();
    desk.done(&["trust", "init", "--store", "store"]);
    let made = desk.done_json(&["keygen", "--out", "other.key", "--format", "pem"]);
    desk.write("public.pem", made["public_key_pem"].as_str().expect("PEM"));
    desk.write("public.txt", made["public_key"].as_str().expect("base64"));
    let mut jwk = made["public_key_jwk"].clone();
    jwk["kid"] = json!("other-1");
    desk.write("public.jwk", jwk.to_string());
    desk
}

fn add(desk: &Desk, arguments: &[&str]) -> serde_json::Value {
    desk.done_json(&[&["trust", "add", "--store", "store"], arguments].concat())
}

fn not_added(desk: &Desk, arguments: &[&str]) -> String {
    desk.unusable(&[&["trust", "add", "--store", "store"], arguments].concat())
}

fn kids(desk: &Desk) -> Vec<String> {
    let listed = desk.done_json(&["trust", "list", "--store", "store"]);
    let keys = listed["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

fn bundle(desk: &Desk) -> serde_json::Value {
    parsed(&desk.done(&["bundle", "--trust-store", "store", "--trust-store-actions", "flights:*"]))
}

#[test]
fn a_development_store_has_a_key_a_card_and_trust_in_itself() {
    let desk = Desk::new();
    let made = desk.done_json(&["trust", "init", "--store", "store"]);
    assert_eq!((&made["agent_id"], &made["kid"]), (&json!("local-dev-agent"), &json!("local-dev-key")));
    assert_eq!(desk.mode("store/capiscio_keys/private.pem"), 0o600);
    let card = desk.read_json("store/agent-card.json");
    assert_eq!(card["agent_id"], "local-dev-agent");
    assert_eq!(card["public_keys"][0]["kid"], "local-dev-key");
    assert_eq!(card["public_keys"][0]["use"], "sig");
    assert_eq!(
        desk.read("store/capiscio_keys/public.pem"),
        desk.read("store/capiscio_keys/trusted/local-dev-key.pem")
    );
    assert_eq!(kids(&desk), ["local-dev-key"]);
    let named = ["--agent-id", "agent-b", "--kid", "agent-b-key-1"];
    desk.done(&[["trust", "init", "--store", "other"].as_slice(), &named].concat());
    assert_eq!(desk.read_json("other/agent-card.json")["agent_id"], "agent-b");
}

#[test]
fn a_development_store_overwrites_nothing() {
    for there in ["capiscio_keys/private.pem", "capiscio_keys/public.pem", "agent-card.json"] {
        let desk = Desk::new();
        std::fs::create_dir_all(desk.path("store/capiscio_keys")).expect("a folder");
        desk.write(&format!("store/{there}"), "mine");
        let message = desk.unusable(&["trust", "init", "--store", "store"]);
        assert!(message.contains(there), "{message}");
        assert_eq!(desk.read(&format!("store/{there}")), "mine");
        assert!(!desk.path(TRUSTED).exists(), "{there}");
    }
}

#[test]
fn a_development_store_is_refused_in_production() {
    let desk = Desk::new();
    let mut program = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    program.args(["trust", "init", "--store"]).arg(desk.path("store")).env("CAPISCIO_ENV", "prod");
    let output = program.output().expect("the program");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CAPISCIO_ENV is prod"));
    assert!(desk.files().is_empty());
}

#[test]
fn a_key_is_trusted_in_whichever_form_it_comes() {
    let desk = stores();
    for (file, kid) in [("public.pem", "a"), ("public.txt", "b"), ("public.jwk", "c")] {
        assert_eq!(add(&desk, &[file, "--kid", kid])["keys"][0]["is_new"], true);
    }
    assert_eq!(add(&desk, &["public.jwk"])["keys"][0]["kid"], "other-1");
    assert_eq!(kids(&desk), ["a", "b", "c", "local-dev-key", "other-1"]);
    for kid in ["a", "b", "c", "other-1"] {
        assert_eq!(desk.read(&format!("{TRUSTED}/{kid}.pem")), desk.read("public.pem"));
    }
    // Again changes nothing; another key of the kid is another matter.
    assert_eq!(add(&desk, &["public.pem", "--kid", "a"])["keys"][0]["is_new"], false);
    let message = not_added(&desk, &["public.pem", "--kid", "local-dev-key"]);
    assert!(message.contains("--force"), "{message}");
    add(&desk, &["public.pem", "--kid", "local-dev-key", "--force"]);
    assert_eq!(desk.read(&format!("{TRUSTED}/local-dev-key.pem")), desk.read("public.pem"));
}

#[test]
fn a_card_brings_all_its_keys_or_the_one_that_is_asked_for() {
    let desk = stores();
    desk.done(&["trust", "init", "--store", "peer", "--kid", "peer-1"]);
    desk.done(&["trust", "rotate", "--store", "peer"]);
    let message = not_added(&desk, &["peer/agent-card.json", "--kid", "peer-3"]);
    assert!(message.contains("no key of kid peer-3"), "{message}");
    add(&desk, &["peer/agent-card.json", "--kid", "peer-2"]);
    assert_eq!(kids(&desk), ["local-dev-key", "peer-2"]);
    add(&desk, &["peer/agent-card.json"]);
    assert_eq!(kids(&desk), ["local-dev-key", "peer-1", "peer-2"]);
}

#[test]
fn a_pem_needs_a_kid_and_the_message_says_why_its_name_will_not_do() {
    let desk = stores();
    for file in ["public.pem", "public.txt"] {
        let message = not_added(&desk, &[file]);
        assert!(message.contains("--kid") && message.contains("`private` or `public`"), "{message}");
    }
}

#[test]
fn a_private_key_is_never_trusted() {
    let desk = stores();
    let message = not_added(&desk, &["other.key", "--kid", "other"]);
    assert!(message.contains("private key"), "{message}");
    desk.done(&["keygen", "--out", "key.jwk", "--format", "jwk"]);
    not_added(&desk, &["key.jwk", "--kid", "other"]);
    desk.done(&["keygen", "--out", "key.json"]);
    not_added(&desk, &["key.json", "--kid", "other"]);

    desk.write(&format!("{TRUSTED}/other.pem"), desk.read("other.key"));
    let arguments = ["bundle", "--trust-store", "store", "--trust-store-actions", "*"];
    let message = desk.unusable(&arguments);
    assert!(message.contains("trusted/other.pem") && message.contains("private key"), "{message}");
}

#[test]
fn a_kid_that_could_lead_out_of_the_folder_is_refused() {
    let desk = stores();
    let long = "k".repeat(252);
    for kid in ["../x", "a/b", "/etc/x", "a\\b", ".x", "..", "a..b", "", "a b", "ä", "a\u{1}", &long] {
        let message = not_added(&desk, &["public.pem", "--kid", kid]);
        assert!(message.contains("kid"), "{kid}: {message}");
        desk.unusable(&["trust", "remove", "--store", "store", kid]);
    }
    let kid = "did:key:z6Mk#z6Mk";
    add(&desk, &["public.pem", "--kid", kid]);
    add(&desk, &["public.pem", "--kid", &"k".repeat(251)]);
    assert_eq!(kids(&desk).len(), 3);
    // A card's kids are held to the same.
    let card = desk.read("store/agent-card.json").replace("local-dev-key", "../../x");
    desk.write("card.json", card);
    let message = not_added(&desk, &["card.json"]);
    assert!(message.contains("public_keys[0]") && message.contains("slash"), "{message}");
}

#[test]
fn kids_that_differ_in_case_only_are_not_added_and_are_warned_of() {
    let desk = stores();
    add(&desk, &["public.pem", "--kid", "Agent"]);
    let message = not_added(&desk, &["public.pem", "--kid", "agent"]);
    assert!(message.contains("case only"), "{message}");
    desk.write(&format!("{TRUSTED}/agent.pem"), desk.read("public.pem"));
    let outcome = desk.run(&["trust", "list", "--store", "store"]);
    assert!(outcome.err.contains("Agent and agent differ in case only"), "{}", outcome.err);
    assert_eq!(outcome.code, 0);
}

#[test]
fn a_removed_key_is_gone_and_one_that_is_not_there_is_told() {
    let desk = stores();
    add(&desk, &["public.jwk"]);
    assert_eq!(desk.done_json(&["trust", "remove", "--store", "store", "other-1"])["removed"], true);
    assert_eq!(kids(&desk), ["local-dev-key"]);
    assert_eq!(desk.refused_json(&["trust", "remove", "--store", "store", "other-1"])["removed"], false);
    // A file of no use can be removed too.
    desk.write(&format!("{TRUSTED}/broken.pem"), "nothing");
    desk.done(&["trust", "remove", "--store", "store", "broken"]);
    assert_eq!(kids(&desk), ["local-dev-key"]);
}

#[test]
fn links_are_followed_within_the_folder_only() {
    let desk = stores();
    // As Kubernetes mounts a ConfigMap.
    std::fs::create_dir(desk.path(TRUSTED).join("..2026")).expect("a folder");
    desk.write(&format!("{TRUSTED}/..2026/inside.pem"), desk.read("public.pem"));
    symlink("..2026", desk.path(TRUSTED).join("..data")).expect("a link");
    symlink("..data/inside.pem", desk.path(TRUSTED).join("inside.pem")).expect("a link");
    assert_eq!(kids(&desk), ["inside", "local-dev-key"]);
    symlink("../../../public.pem", desk.path(TRUSTED).join("outside.pem")).expect("a link");
    let listed = desk.refused_json(&["trust", "list", "--store", "store"]);
    assert_eq!(listed["keys"].as_array().expect("keys").len(), 2);
    let problem = listed["unusable"][0]["problem"].as_str().expect("a problem");
    assert!(problem.contains("out of the folder"), "{problem}");
    // Nor is one written through.
    not_added(&desk, &["public.pem", "--kid", "outside", "--force"]);
}

#[test]
fn files_that_cannot_be_used_are_errors_unless_they_are_to_be_left_out() {
    const RSA: &str = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END PUBLIC KEY-----\n";
    let desk = stores();
    let good = bundle(&desk);
    std::fs::create_dir(desk.path(TRUSTED).join("folder.pem")).expect("a folder");
    for (name, contents) in [("rsa", RSA), ("empty", ""), ("text", "hello"), ("base64", "public.txt")] {
        let contents = if name == "base64" { desk.read(contents) } else { contents.to_owned() };
        desk.write(&format!("{TRUSTED}/{name}.pem"), contents);
    }
    desk.write(&format!("{TRUSTED}/README"), "keys of our agents");
    let strict = ["bundle", "--trust-store", "store", "--trust-store-actions", "flights:*"];
    let outcome = desk.run(&strict);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("trusted/base64.pem"), "{}", outcome.err);
    let outcome = desk.run(&[strict.as_slice(), &["--skip-unusable"]].concat());
    assert_eq!(parsed(&outcome.out), good);
    for name in ["rsa.pem", "empty.pem", "text.pem", "base64.pem", "folder.pem", "README"] {
        assert!(outcome.err.contains(name), "{name}: {}", outcome.err);
    }
}

#[test]
fn a_store_becomes_trust_material_with_a_ceiling() {
    let desk = stores();
    add(&desk, &["public.jwk"]);
    let made = bundle(&desk);
    assert_eq!(
        made["simpleguard_agents"][1],
        json!({ "key_id": "other-1", "public_key": desk.read("public.txt"), "actions": ["flights:*"] })
    );
    let message = desk.misused(&["bundle", "--trust-store", "store"]);
    assert!(message.contains("--trust-store-actions"), "{message}");
    let message = desk.unusable(&["bundle", "--trust-store", "store", "--trust-store-actions", "no action"]);
    assert!(message.starts_with("--trust-store-actions"), "{message}");
    // An empty folder trusts nobody; one that is not there is a mistake.
    desk.done(&["trust", "remove", "--store", "store", "other-1"]);
    desk.done(&["trust", "remove", "--store", "store", "local-dev-key"]);
    assert_eq!(bundle(&desk), json!({}));
    desk.unusable(&["bundle", "--trust-store", "nowhere", "--trust-store-actions", "*"]);
}

#[test]
fn a_rotated_key_stands_first_and_the_old_one_stays_trusted() {
    let desk = stores();
    let former = desk.read("store/capiscio_keys/private.pem");
    let made = desk.done_json(&["trust", "rotate", "--store", "store", "--kid", "key-1"]);
    assert_eq!((&made["kid"], &made["former_kid"]), (&json!("key-1"), &json!("local-dev-key")));
    assert_eq!(desk.done_json(&["trust", "rotate", "--store", "store"])["kid"], "key-2");
    let card = desk.read_json("store/agent-card.json");
    let listed: Vec<_> =
        card["public_keys"].as_array().expect("keys").iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(listed, [json!("key-2"), json!("key-1"), json!("local-dev-key")]);
    assert_eq!(kids(&desk), ["key-1", "key-2", "local-dev-key"]);
    assert_eq!(desk.mode("store/capiscio_keys/private.pem"), 0o600);
    assert_eq!(desk.read("store/capiscio_keys/public.pem"), desk.read(&format!("{TRUSTED}/key-2.pem")));
    // The old private key is nowhere.
    for name in ["private.pem", "public.pem", "trusted/key-1.pem", "trusted/key-2.pem"] {
        assert_ne!(desk.read(&format!("store/capiscio_keys/{name}")), former);
    }
    assert_eq!(std::fs::read_dir(desk.path("store/capiscio_keys")).expect("the folder").count(), 3);
    let message = desk.unusable(&["trust", "rotate", "--store", "store", "--kid", "key-1"]);
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn ten_thousand_keys_are_read() {
    let desk = stores();
    for number in 0..10_000 {
        desk.write(&format!("{TRUSTED}/agent-{number}.pem"), desk.read("public.pem"));
    }
    let began = std::time::Instant::now();
    let made = bundle(&desk);
    let took = began.elapsed();
    assert_eq!(made["simpleguard_agents"].as_array().expect("agents").len(), 10_001);
    // A tenth of it in a release build; here an unoptimised program on a busy machine.
    assert!(took.as_secs() < 60, "{took:?}");
}

#[test]
fn the_capiscio_sdk_uses_our_store_and_we_its() {
    let desk = stores();
    let name = "the_capiscio_sdk_uses_our_store_and_we_its";
    let probe = "import importlib.util; print(importlib.util.find_spec('capiscio_sdk') is not None)";
    let Some(found) = python(&desk, name, probe, &[]) else { return };
    if found.trim() != "True" {
        crate::modei_sdk::skip(name, "the Python of PORTCULLIS_PYTHON has no capiscio_sdk");
        return;
    }
    let script = "
from capiscio_sdk.simple_guard import SimpleGuard
ours = SimpleGuard(base_dir='store')
body = b'window seat'
old = ours.make_headers({'sub': 'test'}, body=body)['X-Capiscio-JWS']
print(ours.agent_id, ours.verify_inbound(old, body=body)['iss'])
import subprocess, sys
subprocess.run([sys.argv[1], 'trust', 'rotate', '--store', 'store'], check=True, stdout=subprocess.DEVNULL)
again = SimpleGuard(base_dir='store')
new = again.make_headers({'sub': 'test'}, body=body)['X-Capiscio-JWS']
print(again.signing_kid, again.verify_inbound(new, body=body)['iss'], again.verify_inbound(old, body=body)['iss'])
import os
os.mkdir('theirs')
SimpleGuard(base_dir='theirs', dev_mode=True)
";
    let out = python(&desk, name, script, &[env!("CARGO_BIN_EXE_portcullis")]).expect("the SDK");
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        ["local-dev-agent local-dev-agent", "local-dev-key-2 local-dev-agent local-dev-agent"]
    );
    let theirs = desk.done_json(&["trust", "list", "--store", "theirs"]);
    assert_eq!(theirs["keys"][0]["kid"], "local-dev-key");
    add(&desk, &["theirs/agent-card.json", "--force"]);
    desk.set_mode("theirs/capiscio_keys/private.pem", 0o600);
    assert_eq!(desk.done_json(&["trust", "rotate", "--store", "theirs"])["kid"], "local-dev-key-2");
}
