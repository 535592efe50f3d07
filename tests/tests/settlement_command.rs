//! `portcullis settlement` and `portcullis receipts` against the real service: what a gate has
//! metered is settled, recomputed by whoever is to pay, and compared with what the agent has.

use crate::bench::Bench;
use crate::bench::metering::{Offer, Shop, at, bring};
use portcullis_core::base64;
use portcullis_core::catalog::PricingModel;
use portcullis_core::receipt::Outcome;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn portcullis(bench: &Bench, arguments: &[&str]) -> Output {
    let program =
        std::env::var_os("PORTCULLIS_CLI").expect("PORTCULLIS_CLI is not set: run `cargo xtask test`");
    let mut command = Command::new(program);
    command.env("PORTCULLIS_API_KEY", &bench.service.key).current_dir(bench.folder.path());
    command.args(arguments).output().unwrap()
}

fn told(output: &Output, code: i32) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_month_is_settled_recomputed_and_compared_by_commands_alone() {
    let bench = Bench::new();
    let search = Offer { free: 2, ..Offer::new("flights:search", PricingModel::PerCall, 5) };
    let news = Offer::new("news:read", PricingModel::Subscription, 901);
    let shop = Shop::open(&bench, "gate_a", 1, &[search, news]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let used =
        |action, outcome, number: i64| shop.used((&passport, 1), action, outcome, 1, day.plus_millis(number));
    let mut all: Vec<_> = (0..6).map(|number| used("flights:search", Outcome::Success, number)).collect();
    all.extend((6..9).map(|number| used("news:read", Outcome::Partial, number)));
    all.push(used("flights:search", Outcome::Timeout, 9));
    // The agent has not signed for the fifth.
    all[5].0.proof.signature = [1; 64];
    bring(&mut lane, &all);

    let service = bench.service.url();
    let march = |command: &[&str]| {
        let period =
            ["--gate", "gate_a", "--period", "monthly", "--start", "2025-03-01", "--end", "2025-03-31"];
        portcullis(&bench, &[command, &period, &["--service", &service, "--json"]].concat())
    };
    let summary = told(&march(&["settlement", "make"]), 0);
    // Three of five searches, two of which are free, and a month of news.
    assert_eq!((&summary["total_cost_cents"], &summary["excluded_count"]), (&json!(3 * 5 + 901), &json!(1)));
    let again = told(&march(&["settlement", "make"]), 2);
    assert!(again["error"].as_str().unwrap().contains("overlaps"), "{again}");

    let folder = bench.folder.path();
    std::fs::write(folder.join("summary.json"), summary.to_string()).unwrap();
    let fetch = |path: &str, file: &str| bench.service.fetch(path, &folder.join(file)).unwrap();
    fetch(&format!("/api/billing/{}/records", summary["id"].as_str().unwrap()), "records.jsonl");
    fetch("/api/gates/gate_a/attestation-keys", "keys.json");
    fetch("/api/gates/gate_a/receipts", "operator.jsonl");
    let verify = ["settlement", "verify", "summary.json", "records.jsonl", "--keys", "keys.json", "--json"];
    let verified = told(&portcullis(&bench, &verify), 0);
    assert_eq!((&verified["total_cost_cents"], &verified["records"]), (&json!(916), &json!(10)));
    assert_eq!((&verified["free_calls"], &verified["subscription_months"]), (&json!(2), &json!(1)));
    assert_eq!(verified["excluded"], json!({"proof_invalid": 1}));
    edit(&folder.join("records.jsonl"), "\"charged_cents\":5", "\"charged_cents\":4");
    assert_eq!(told(&portcullis(&bench, &verify), 1)["valid"], false);

    // The agent has what `Agent-Receipt` told it, but for the first and the unsigned one.
    let headers =
        all.iter().enumerate().filter(|(index, _)| ![0, 5].contains(index)).map(|(_, (receipt, _))| {
            format!(":{}:\n", base64::encode(receipt.sign(&lane.signer).as_bytes()))
        });
    std::fs::write(folder.join("agent.txt"), headers.collect::<String>()).unwrap();
    let compare = ["receipts", "compare", "operator.jsonl", "agent.txt", "--keys", "keys.json", "--json"];
    let found = told(&portcullis(&bench, &compare), 1);
    assert_eq!(
        (&found["same"], &found["only_operator"], &found["only_agent"]),
        (&json!(8), &json!(2), &json!(0))
    );
    let findings = found["findings"].as_array().unwrap().iter();
    let proofs: Vec<_> =
        findings.map(|one| (one["receipt_id"].clone(), one["operator"]["agent_proof"].clone())).collect();
    for (index, proof) in [(0, "valid"), (5, "proof_invalid")] {
        let id = all[index].0.receipt_id();
        assert!(proofs.contains(&(json!(id), json!(proof))), "{proofs:?}");
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}
