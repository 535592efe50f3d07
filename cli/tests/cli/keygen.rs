//! Keys: made, kept to their owner, and read in every format.

use crate::support::{Desk, members};

#[test]
fn a_key_file_is_readable_by_its_owner_alone_and_nothing_else_is_left_behind() {
    let desk = Desk::new();
    for (name, format) in [("agent.json", "modei"), ("agent.pem", "pem"), ("agent.jwk", "jwk")] {
        desk.done(&["keygen", "--format", format]);
        assert_eq!(desk.mode(name), 0o600, "{format}");
    }
    assert_eq!(desk.files(), ["agent.json", "agent.jwk", "agent.pem"]);
}

#[test]
fn no_umask_makes_a_key_file_readable_by_others() {
    let desk = Desk::new();
    let script = format!("umask 000 && exec '{}' keygen", env!("CARGO_BIN_EXE_portcullis"));
    let folder = desk.path(".");
    let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder).output();
    assert!(status.expect("a shell").status.success());
    assert_eq!(desk.mode("agent.json"), 0o600);
}

#[test]
fn the_credential_file_has_the_members_of_version_1() {
    let desk = Desk::new();
    let made = desk.done_json(&["keygen", "--out", "agent.json"]);
    let file = desk.read_json("agent.json");
    assert_eq!(
        members(&file),
        ["agent_id", "created_at", "private_key_base64", "public_key_base64", "version"]
    );
    assert_eq!(file["version"], 1);
    assert_eq!(file["agent_id"], made["agent_id"]);
    assert_eq!(file["public_key_base64"], made["public_key"]);
    let created_at = file["created_at"].as_str().expect("text");
    assert_eq!((created_at.len(), created_at.ends_with('Z')), (20, true), "{created_at}");
}

#[test]
fn the_private_key_is_printed_only_where_standard_output_is_asked_for() {
    let desk = Desk::new();
    let plain = desk.run(&["keygen", "--out", "plain.json"]);
    let json = desk.run(&["keygen", "--out", "json.json", "--json"]);
    for (outcome, file) in [(plain, "plain.json"), (json, "json.json")] {
        let secret = desk.read_json(file)["private_key_base64"].as_str().expect("text").to_owned();
        assert!(!outcome.out.contains(&secret) && !outcome.err.contains(&secret), "{file}");
    }

    desk.write("printed.json", desk.done(&["keygen", "--out", "-"]));
    desk.set_mode("printed.json", 0o600);
    desk.done(&["issue", "--key", "printed.json", "--permission", "flights:search"]);
    let made = desk.done_json(&["keygen", "--out", "-", "--format", "pem"]);
    assert!(made["private_key"].as_str().expect("text").starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(made["file"].is_null());
}

#[test]
fn the_answer_names_the_public_key_in_every_form() {
    let desk = Desk::new();
    let made = desk.done_json(&["keygen", "--out", "agent.json"]);
    assert_eq!(
        members(&made),
        [
            "agent_id",
            "did",
            "file",
            "issuer_id",
            "private_key",
            "public_key",
            "public_key_jwk",
            "public_key_pem"
        ]
    );
    assert!(made["private_key"].is_null());
    assert!(made["issuer_id"].as_str().expect("text").starts_with("self:"));
    for (name, text) in [
        ("public.pem", made["public_key_pem"].as_str().expect("text").to_owned()),
        ("public.jwk", made["public_key_jwk"].to_string()),
        ("public.txt", made["public_key"].as_str().expect("text").to_owned()),
    ] {
        desk.write(name, text);
        assert_eq!(agent_for(&desk, name), made["agent_id"], "{name}");
    }
}

#[test]
fn a_key_that_exists_is_replaced_only_by_force() {
    let desk = Desk::new();
    desk.done(&["keygen", "--out", "agent.json"]);
    let first = desk.read("agent.json");
    assert!(desk.unusable(&["keygen", "--out", "agent.json"]).contains("--force"));
    assert_eq!(desk.read("agent.json"), first);
    desk.done(&["keygen", "--out", "agent.json", "--force"]);
    assert_ne!(desk.read("agent.json"), first);
    assert_eq!(desk.mode("agent.json"), 0o600);
}

#[test]
fn every_format_signs_and_is_told_by_its_content_not_its_name() {
    let desk = Desk::new();
    for format in ["modei", "pem", "jwk"] {
        let made = desk.done_json(&["keygen", "--out", "some.key", "--format", format, "--force"]);
        let issued =
            desk.done_json(&["issue", "--key", "some.key", "--permission", "flights:search", "--out", "p"]);
        assert_eq!(issued["agent_id"], made["agent_id"], "{format}");
        assert_eq!(desk.done_json(&["verify", "p"])["valid"], true, "{format}");
    }
}

/// RFC 8410 section 10: the example keys, both versions of the private one.
#[test]
fn the_example_keys_of_the_standard_are_one_key() {
    let desk = Desk::new();
    desk.write(
        "version_1.pem",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
    );
    desk.write(
        "version_2.pem",
        "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n",
    );
    desk.write(
        "public.pem",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    );
    for name in ["version_1.pem", "version_2.pem"] {
        desk.set_mode(name, 0o600);
        assert_eq!(agent_for(&desk, name), agent_for(&desk, "public.pem"), "{name}");
    }
}

/// RFC 8037 appendix A: the example key.
#[test]
fn the_example_jwk_of_the_standard_is_read() {
    let desk = Desk::new();
    desk.write(
        "example.jwk",
        r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    );
    desk.set_mode("example.jwk", 0o600);
    desk.write(
        "public.jwk",
        r#"{"kty":"OKP","crv":"Ed25519","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    );
    assert_eq!(agent_for(&desk, "example.jwk"), agent_for(&desk, "public.jwk"));
}

/// The vector published for Modei's agent ids: a seed of 32 zero bytes.
#[test]
fn the_published_credential_is_read() {
    let desk = Desk::new();
    desk.write("zero.json", zero_credential("agent_self_E545QOZLVJFyIIjZoNdBYo_IJuCUddNB", ZERO_PUBLIC));
    desk.set_mode("zero.json", 0o600);
    let issued = desk.done_json(&["issue", "--key", "zero.json", "--permission", "flights:search"]);
    assert_eq!(issued["agent_id"], "agent_self_E545QOZLVJFyIIjZoNdBYo_IJuCUddNB");
}

#[test]
fn a_private_key_that_others_may_read_is_refused_in_every_format() {
    let desk = Desk::new();
    for format in ["modei", "pem", "jwk"] {
        desk.done(&["keygen", "--out", "some.key", "--format", format, "--force"]);
        for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
            desk.set_mode("some.key", mode);
            let message = desk.unusable(&["issue", "--key", "some.key", "--permission", "flights:search"]);
            assert!(message.contains("chmod 600"), "{format} {mode:o}: {message}");
        }
        desk.set_mode("some.key", 0o400);
        desk.done(&["issue", "--key", "some.key", "--permission", "flights:search"]);
    }
}

#[test]
fn a_credential_file_whose_parts_disagree_is_refused_without_repeating_them() {
    let desk = Desk::new();
    let id = "agent_self_E545QOZLVJFyIIjZoNdBYo_IJuCUddNB";
    let other = "agent_self_Zmh6rfhivXdsj8GLjp-OIAiXFIVu4jOz";
    let good = zero_credential(id, ZERO_PUBLIC);
    for (damaged, problem) in [
        (zero_credential(other, ZERO_PUBLIC), "agent_id"),
        (zero_credential(id, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), "does not belong"),
        (good.replace("\"version\":1", "\"version\":2"), "version 2"),
        (good.replace("\"version\":1", "\"version\":\"1\""), "version"),
        (good.replace("created_at", "made_at"), "created_at"),
        (good.replace(ZERO_SEED, "AAAA"), "private_key_base64"),
        (good.replace('}', ",\"version\":1}"), "same name"),
        (good.replace('}', ""), "not JSON"),
    ] {
        desk.write("damaged.json", &damaged);
        desk.set_mode("damaged.json", 0o600);
        let message = desk.unusable(&["issue", "--key", "damaged.json", "--permission", "flights:search"]);
        assert!(message.contains(problem), "{message}");
        assert!(!message.contains(ZERO_SEED), "{message}");
    }
}

#[test]
fn what_is_no_ed25519_key_is_refused() {
    let desk = Desk::new();
    let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (contents, problem) in [
        ("", "empty"),
        ("hello", "none of PEM"),
        (weak, "no Ed25519 key"),
        ("{}", "neither a JWK"),
        (r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#, "OKP"),
        (r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#, "Ed25519"),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#, "32 bytes"),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "openssl pkey"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "Ed25519"),
        ("-----BEGIN PUBLIC KEY-----\n", "Ed25519"),
    ] {
        desk.write("no.key", contents);
        let arguments = ["issue", "--key", "no.key", "--permission", "flights:search"];
        let message = desk.unusable(&arguments);
        assert!(message.contains("no.key") && message.contains(problem), "{contents}: {message}");
    }
}

#[test]
fn a_public_key_does_not_sign() {
    let desk = Desk::new();
    desk.write("public.txt", ZERO_PUBLIC);
    let message = desk.unusable(&["issue", "--key", "public.txt", "--permission", "flights:search"]);
    assert!(message.contains("private key is needed"), "{message}");
}

const ZERO_SEED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const ZERO_PUBLIC: &str = "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=";

fn zero_credential(agent_id: &str, public_key: &str) -> String {
    format!(
        r#"{{"version":1,"agent_id":"{agent_id}","public_key_base64":"{public_key}","private_key_base64":"{ZERO_SEED}","created_at":"2026-01-01T00:00:00Z"}}"#
    )
}

/// The id of the agent whose key is in a file, as an issuer that names no id gets it.
fn agent_for(desk: &Desk, key: &str) -> serde_json::Value {
    desk.done(&["keygen", "--out", "any.pem", "--force"]);
    let issuer = ["issue", "--key", "any.pem", "--as", "platform", "--issuer", "issuer:a", "--key-id", "k"];
    let agent = ["--agent-key", key, "--permission", "flights:search"];
    desk.done_json(&[issuer.as_slice(), &agent].concat())["agent_id"].clone()
}
