//! docs/compromised-keys.md, each command as it stands there. What a gate makes of it, and its
//! own key, are tested in real Envoy.

use crate::common::Bench;
use portcullis_control::db::Db;
use portcullis_control::keys::{self, Purpose};
use portcullis_control::vault::Vault;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use xtask::on_every_database;

on_every_database!(
    compromised_signing_keys_are_ended_as_the_page_says,
    an_api_key_is_ended_as_the_page_says,
    a_compromised_master_key_is_changed_as_the_page_says,
);

const PAGE: &str = include_str!("../../docs/compromised-keys.md");

/// As xtask::control has it for PostgreSQL.
const MASTER_KEY: &str = "cG9ydGN1bGxpcyB0ZXN0cyBvbmx5LCAzMiBieXRlcyE=";

/// The commands below a heading; before the first for none.
fn commands(heading: &str) -> Vec<String> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// Runs a block of commands; gives what they print.
fn run(bench: &Bench, block: &str, variables: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_portcullis-control")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", block])
        .current_dir(bench.folder.path())
        .env("PATH", path)
        .env("CONTROL", bench.service.url())
        .env("API_KEY", &bench.service.key)
        .env("NO_PROXY", "*")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run_all(bench: &Bench, heading: &str, variables: &[(&str, &str)]) {
    let blocks = commands(heading);
    assert!(!blocks.is_empty(), "{heading} has no commands");
    for block in blocks {
        run(bench, &block, variables);
    }
}

fn listed(bench: &Bench, owner: &str, purpose: &str) -> Vec<String> {
    let (_, page) = bench.call("GET", &format!("/api/v1/signing-keys?owner={owner}&purpose={purpose}"), None);
    page["keys"].as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap().to_owned()).collect()
}

/// The master key's file of the bench.
fn master_key(bench: &Bench) -> std::path::PathBuf {
    if let Some(file) = bench.control.database.strip_prefix("sqlite:") {
        return format!("{file}.key").into();
    }
    let file = bench.folder.path().join("former.key");
    std::fs::write(&file, MASTER_KEY).unwrap();
    assert!(Command::new("chmod").arg("600").arg(&file).status().unwrap().success());
    file
}

/// Works on the service's database beside it.
fn in_database<T>(bench: &Bench, act: impl AsyncFnOnce(&Db) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { act(&Db::open(&bench.control.database).await.unwrap()).await })
}

fn compromised_signing_keys_are_ended_as_the_page_says(database: Option<&str>) {
    let bench = Bench::new(database);
    let vault = Vault::from_file(&master_key(&bench)).unwrap();
    in_database(&bench, async |db| {
        let mut tx = db.write().await.unwrap();
        keys::create(&mut tx, &vault, Purpose::Passports, "iss_1", 0).await.unwrap();
        tx.commit().await.unwrap();
    });
    std::fs::write(bench.folder.path().join("gate.json"), r#"{"service": {"keys": []}}"#).unwrap();
    for (heading, owner, purpose) in [
        ("A signing key of an issuer or a gate", "iss_1", "passports"),
        ("The badge key", "service", "badges"),
        ("The trust key", "service", "trust"),
    ] {
        let compromised = listed(&bench, owner, purpose).remove(0);
        run_all(&bench, heading, &[("OWNER", owner), ("KEY_ID", &compromised), ("PUBLIC_KEY", "")]);
        let left = listed(&bench, owner, purpose);
        assert_eq!(left.len(), 1, "{heading}");
        assert_ne!(left[0], compromised, "{heading}");
    }
    let introduction: Vec<String> = commands("# When").iter().map(|block| run(&bench, block, &[])).collect();
    assert!(introduction[0].contains("signing_key.retire"), "{introduction:?}");
    assert!(introduction[1].contains("iss_1"), "{introduction:?}");
}

fn an_api_key_is_ended_as_the_page_says(database: Option<&str>) {
    let bench = Bench::new(database);
    let (_, made) = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "compromised"})));
    run_all(&bench, "An API key", &[("KEY_ID", made["id"].as_str().unwrap())]);
    let (_, keys) = bench.call("GET", "/api/users/api-keys", None);
    let state = |name: &str| {
        keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap()["revoked_at"].clone()
    };
    assert!(state("compromised").is_string() && state("successor") == Value::Null, "{keys}");
}

fn a_compromised_master_key_is_changed_as_the_page_says(database: Option<&str>) {
    let bench = Bench::new(database);
    let (former, new) = (master_key(&bench), bench.folder.path().join("new.key"));
    let before = listed(&bench, "service", "trust");
    let Bench { service, control, folder } = bench;
    let key = service.key.clone();
    service.end().unwrap();

    let blocks = commands("The master key");
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", &blocks.join("\n")])
        .envs([("PATH", path.as_str()), ("DATABASE", &control.database)])
        .env("FORMER", &former)
        .env("NEW", &new)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let Err(error) =
        control.clone().with(&["--master-key-file", former.to_str().unwrap()]).start_with_key(&key)
    else {
        panic!("the former master key still opens the database")
    };
    assert!(format!("{error:#}").contains("not this database's"), "{error:#}");
    let control = control.with(&["--master-key-file", new.to_str().unwrap()]);
    let service = control.start_with_key(&key).unwrap();
    let bench = Bench { service, control, folder };
    assert_eq!(listed(&bench, "service", "trust"), before, "the keys are the same");
    let rotated = bench.call("POST", "/api/v1/signing-keys/rotate", Some(json!({"purpose": "trust"})));
    assert_eq!(rotated.0, 201, "{}", rotated.1);
}
