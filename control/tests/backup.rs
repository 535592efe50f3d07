//! Backups: whole while the service writes, and good for either kind of database.

use crate::common::Bench;
use crate::common::metering::{Offer, Shop, at, bring};
use portcullis_core::catalog::PricingModel;
use portcullis_core::receipt::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use xtask::control::Control;
use xtask::{on_every_database, postgres};

on_every_database!(
    a_backup_restores_into_the_other_database_while_the_service_writes,
    a_backup_is_not_restored_over_anything_nor_in_part,
);

/// As xtask::control has it for PostgreSQL.
const MASTER_KEY: &str = "cG9ydGN1bGxpcyB0ZXN0cyBvbmx5LCAzMiBieXRlcyE=";

fn run(command: &str, database: &str, option: &str, file: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_portcullis-control");
    let mut run = Command::new(program);
    run.args([command, "--database", database, option]).arg(file);
    run.output().unwrap()
}

fn succeeds(command: &str, database: &str, option: &str, file: &Path) -> String {
    let output = run(command, database, option, file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(command: &str, database: &str, option: &str, file: &Path) -> String {
    let output = run(command, database, option, file);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows of a backup by table, in an order that does not depend on the database.
fn rows(file: &Path) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::<String, Vec<String>>::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(row) = line.get("row") {
            let mut values = row["values"].clone();
            let table = row["table"].as_str().unwrap().to_owned();
            // What a restore changes: the numbers go on from far behind.
            for name in ["number", "revocations_number", "snapshot_number", "snapshot_at"] {
                if table == "trust_clock" || table == "gates" {
                    values.as_object_mut().unwrap().remove(name);
                }
            }
            rows.entry(table).or_default().push(values.to_string());
        }
    }
    rows.values_mut().for_each(|rows| rows.sort());
    rows.remove("revocation_changes");
    rows
}

/// A database of the other kind, with the options that name this one's master key.
fn other(database: Option<&str>, folder: &Path, bench: &Bench) -> Option<(String, PathBuf)> {
    let key = folder.join("master.key");
    if database.is_some() {
        std::fs::write(&key, MASTER_KEY).unwrap();
        Command::new("chmod").arg("600").arg(&key).status().unwrap();
        Some((format!("sqlite:{}", folder.join("other.db").display()), key))
    } else {
        let file = bench.control.database.trim_start_matches("sqlite:");
        std::fs::copy(format!("{file}.key"), &key).unwrap();
        Some((postgres::for_test("a backup of SQLite restored into PostgreSQL")?, key))
    }
}

/// A use that has a receipt, and is settled.
fn settle_something(bench: &Bench) {
    let offer = Offer::new("flights:search", PricingModel::PerCall, 5);
    let shop = Shop::open(bench, "gate_a", 1, &[offer]);
    let passport = shop.issue(bench, 1);
    let used = shop.used((&passport, 1), offer.action, Outcome::Success, 1, at("2025-03-02T00:00:00Z"));
    bring(&mut shop.gate.lane(bench.service.address, 1), &[used]);
    let march = json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01",
        "period_end": "2025-03-31"});
    let (status, settled) = bench.call("POST", "/api/billing", Some(march));
    assert_eq!((status, &settled["verified_count"]), (201, &json!(1)), "{settled}");
}

fn a_backup_restores_into_the_other_database_while_the_service_writes(database: Option<&str>) {
    let bench = Bench::new(database);
    let folder = tempfile::tempdir().unwrap();
    let Some((other, master_key)) = other(database, folder.path(), &bench) else { return };
    let text = "é 🛂 \"\\ \u{2028}";
    bench.call("POST", "/api/users/api-keys", Some(json!({"name": text})));
    let revoked = json!({"kind": "passport", "issuer": "iss_1", "ids": ["pass_1", "pass_2"], "reason": text});
    assert_eq!(bench.call("POST", "/api/v1/revocations", Some(revoked)).0, 200);
    bench.call("POST", "/api/v1/signing-keys/rotate", Some(json!({"purpose": "trust", "lead_seconds": 0})));

    settle_something(&bench);

    let file = folder.path().join("first.jsonl");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(bench.call("POST", "/api/users/api-keys", Some(json!({"name": "w"}))).0, 201);
                written += 1;
            }
            written
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        let said = succeeds("backup", &bench.control.database, "--to", &file);
        assert!(said.contains("the master key is not among them"), "{said}");
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0, "nothing was written meanwhile");
    });
    let backed_up = rows(&file);
    for table in ["records", "receipts", "settlements", "settled_receipts"] {
        assert!(backed_up.contains_key(table), "nothing of {table} is backed up");
    }
    // Each key that was made has its line in the audit, both or neither.
    let names = |table: &str, part: &str| backed_up[table].iter().filter(|row| row.contains(part)).count();
    assert_eq!(names("api_keys", r#""name":"w""#) + 1, names("audit", "api_key.create"));
    assert_eq!(mode(&file), 0o600);
    let whole = std::fs::read_to_string(&file).unwrap();
    let key = std::fs::read_to_string(&master_key).unwrap();
    assert!(!whole.contains(key.trim()) && !whole.contains(&bench.service.key));

    succeeds("restore", &other, "--from", &file);
    let again = folder.path().join("again.jsonl");
    succeeds("backup", &other, "--to", &again);
    assert_eq!(rows(&again), backed_up);

    // The service goes on from it, with its own keys, under higher numbers.
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
    let mut control = Control::in_folder(program, folder.path(), Some(&other)).unwrap();
    control = control.with(&["--master-key-file", master_key.to_str().unwrap()]);
    let restored = control.start_with_key(&bench.service.key).unwrap();
    let keys = |service: &xtask::control::Service| {
        let answer = service.call("GET", "/api/v1/signing-keys", None).unwrap();
        assert_eq!(answer.status, 200);
        serde_json::from_slice::<Value>(&answer.body).unwrap()["keys"].clone()
    };
    assert_eq!(keys(&restored), keys(&bench.service));
    let more = r#"{"kind": "passport", "issuer": "iss_1", "ids": ["pass_3"]}"#;
    let number = |answer: xtask::http::Response| {
        serde_json::from_slice::<Value>(&answer.body).unwrap()["number"].as_i64().unwrap()
    };
    let before = number(bench.service.call("POST", "/api/v1/revocations", Some(more)).unwrap());
    let after = number(restored.call("POST", "/api/v1/revocations", Some(more)).unwrap());
    assert!(after > before, "{after} {before}");
}

fn mode(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

fn a_backup_is_not_restored_over_anything_nor_in_part(database: Option<&str>) {
    let bench = Bench::new(database);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.jsonl");
    succeeds("backup", &bench.control.database, "--to", &file);
    let said = fails("backup", &bench.control.database, "--to", &file);
    assert!(said.contains("cannot make"), "it would have overwritten: {said}");
    let said = fails("restore", &bench.control.database, "--from", &file);
    assert!(said.contains("not empty"), "{said}");

    let empty = match database {
        None => format!("sqlite:{}", folder.path().join("empty.db").display()),
        Some(_) => postgres::for_test("a backup in part").unwrap(),
    };
    let whole = std::fs::read_to_string(&file).unwrap();
    let (cut, _) = whole.trim_end().rsplit_once('\n').unwrap();
    let part = folder.path().join("part.jsonl");
    std::fs::write(&part, cut).unwrap();
    assert!(fails("restore", &empty, "--from", &part).contains("not whole"));
    let lines: Vec<_> = whole.lines().collect();
    let missing: Vec<_> =
        lines.iter().enumerate().filter(|(index, _)| *index != 3).map(|(_, line)| *line).collect();
    std::fs::write(&part, missing.join("\n")).unwrap();
    assert!(fails("restore", &empty, "--from", &part).contains("were written"));
    std::fs::write(&part, whole.replacen(r#""key_id""#, r#""key_id) VALUES (1) --""#, 1)).unwrap();
    assert!(fails("restore", &empty, "--from", &part).contains("column's name"));
    // Nothing of these attempts is left.
    succeeds("restore", &empty, "--from", &file);

    if database.is_none() {
        // Without its master key the restored database is not served, and none is made up.
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
        let mut control = Control::in_folder(program, folder.path(), None).unwrap();
        control.database = empty;
        let Err(error) = control.start_with_key(&bench.service.key) else { panic!("it started") };
        assert!(format!("{error:#}").contains("master key is missing"), "{error:#}");
    }
}
