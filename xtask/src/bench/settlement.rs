//! How long a million receipts take to settle: both signatures of each are verified, on all
//! cores, by the service as users have it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_core::attestation::Signer;
use portcullis_core::catalog::{Price, PricingModel};
use portcullis_core::live::hex;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::{AgentProof, Charge, Consumer, Outcome, ProofForm, Rate, Receipt};
use portcullis_core::{SecretKey, UnixTime, base64, sha256};
use serde_json::{Value, json};
use xtask::control::{Control, Service};

use super::report::{Report, Row};
use crate::workspace::Workspace;
use crate::{progress, test};

/// Makes a database of receipts unless there is one from before, settles their month on a copy,
/// and reports the seconds.
pub(crate) fn measure(workspace: &Workspace, receipts: u32, report: &mut Report) -> Result<()> {
    let program = test::release_control(workspace)?;
    let folder = workspace.target_folder("bench/settlement")?;
    let filled = folder.join(format!("ledger-{receipts}.db"));
    if !filled.exists() {
        fill(&program, &folder, &filled, receipts)?;
    }
    let used = folder.join("control.db");
    for (from, to) in [(filled.clone(), used.clone()), (key_of(&filled), key_of(&used))] {
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    for part in ["-wal", "-shm"] {
        // What a former copy has left; there may be none.
        let _ = std::fs::remove_file(format!("{}{part}", used.display()));
    }
    let service = Control::in_folder(&program, &folder, None)?.start()?;
    let seconds = settle(&service, receipts)?;
    println!("\na settlement of {receipts} receipts: {seconds:.1} s");
    // The bar is for a million.
    let bar = 60.0 * f64::from(receipts) / 1_000_000.0;
    report.add(Row::new("settlement.seconds", seconds, "s").at_most(bar));
    Ok(())
}

const GATE: &str = "gate_bench";
const ACTION: &str = "flights:search";
/// 2026-02-01T00:00:00.000Z
const BEGIN: i64 = 1_769_904_000_000;
const MONTH_MS: i64 = 28 * 86_400_000;
const AGENTS: usize = 100;
const CENTS: u64 = 5;
const FEE: u64 = 250;

/// As long as a person waits before something is wrong.
const LONGEST_S: f64 = 600.0;

fn settle(service: &Service, receipts: u32) -> Result<f64> {
    let asked = json!({
        "gate_id": GATE, "period_type": "monthly", "period_start": "2026-02-01", "period_end": "2026-02-28",
    });
    let bar = ProgressBar::new(receipts.into()).with_style(style("receipts settled")?);
    let began = Instant::now();
    let mut summary = ask(service, "POST", "/api/billing", Some(&asked))?;
    while summary.get("total_cost_cents").is_none() {
        ensure!(began.elapsed().as_secs_f64() < LONGEST_S, "the settlement does not end");
        let run = text(&summary, "settlement_run_id")?;
        let told = ask(service, "GET", &format!("/api/billing/runs/{run}"), None)?;
        bar.set_position(told.get("verified").and_then(Value::as_u64).unwrap_or(0));
        if told.get("status") == Some(&json!("done")) {
            summary = ask(service, "GET", &format!("/api/billing/{}", text(&told, "settlement_id")?), None)?;
            break;
        }
        ensure!(told.get("status") == Some(&json!("running")), "the settlement has failed: {told}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let owed = u64::from(receipts).saturating_mul(CENTS);
    for (member, expected) in
        [("total_cost_cents", owed), ("verified_count", receipts.into()), ("excluded_count", 0)]
    {
        ensure!(summary.get(member) == Some(&json!(expected)), "{member} must be {expected}: {summary}");
    }
    Ok(seconds)
}

fn style(what: &str) -> Result<ProgressStyle> {
    Ok(ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {what} {{elapsed}}"))?)
}

fn ask(service: &Service, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let body = body.map(Value::to_string);
    let answer = service.call_patiently(method, path, body.as_deref())?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    ensure!((200..300).contains(&answer.status), "{method} {path}: {} {value}", answer.status);
    Ok(value)
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {value}"))
}

fn key_of(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}.key", database.display()))
}

/// An agent with its passport, and the parts of its receipts that are the same in all.
struct Agent {
    key: SecretKey,
    passport: String,
    receipt: Receipt,
}

/// Fills a database by what every database can be filled by: a backup of a small one, with a
/// million rows added to it.
fn fill(program: &Path, folder: &Path, filled: &Path, receipts: u32) -> Result<()> {
    let seed = folder.join("seed");
    // What was broken off before.
    let _ = std::fs::remove_dir_all(&seed);
    std::fs::create_dir(&seed)?;
    let control = Control::in_folder(program, &seed, None)?;
    let service = control.start()?;
    let agents = furnish(&service)?;
    service.end()?;
    let backup = seed.join("backup.jsonl");
    run(program, &["backup", "--database", &control.database, "--to"], &backup)?;
    let whole = seed.join("whole.jsonl");
    write_backup(&backup, &whole, &agents, receipts)?;
    let database = seed.join("filled.db");
    progress::step("restore the receipts into a database", |_| {
        run(program, &["restore", "--database", &format!("sqlite:{}", database.display()), "--from"], &whole)
    })?;
    std::fs::copy(seed.join("control.db.key"), key_of(filled))?;
    std::fs::rename(&database, filled)?;
    std::fs::remove_dir_all(&seed)?;
    Ok(())
}

fn run(program: &Path, arguments: &[&str], file: &Path) -> Result<()> {
    let output = Command::new(program).args(arguments).arg(file).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Makes a gate that sells one thing, and agents with passports for it.
fn furnish(service: &Service) -> Result<Vec<Agent>> {
    ask(service, "POST", "/api/gates", Some(&json!({"gate_id": GATE, "name": "A gate"})))?;
    let terms = json!({"core:pricing:per_call_cents": CENTS, "core:platform_fee:basis_points": FEE});
    let draft = json!({"is_active": true, "permissions": [
        {"permission_key": ACTION, "display_name": "Search", "description": "", "constraints": terms}]});
    ask(service, "POST", &format!("/api/gates/{GATE}/catalog"), Some(&draft))?;
    let published = ask(service, "POST", &format!("/api/gates/{GATE}/catalog/publish"), Some(&json!({})))?;
    let content_hash = text(&published, "content_hash")?;
    let rate = Rate { price: Price { model: PricingModel::PerCall, cents: CENTS }, fee_basis_points: FEE };
    let charge = Charge::of(rate, Outcome::Success, 1).context("a price of a call")?;
    let mut agents = Vec::with_capacity(AGENTS);
    for number in 0..AGENTS {
        let key = SecretKey::from_seed([u8::try_from(number)?; 32]);
        let agent_id = format!("agent-{number:03}");
        let asked = json!({"agent_id": agent_id, "agent_public_key": base64::encode(&key.public_key()),
            "permissions": [ACTION], "expires_in": "365d"});
        let passport = ask(service, "POST", &format!("/api/gates/{GATE}/passports"), Some(&asked))?;
        let envelope: Value = serde_json::from_str(text(&passport, "passport_json")?)?;
        let wire = json!({"passport_json": envelope, "signature": text(&passport, "signature")?});
        let receipt = Receipt {
            action: ACTION.to_owned(),
            agent: Consumer {
                agent_id,
                issuer_id: GATE.to_owned(),
                passport_id: text(&passport, "passport_id")?.to_owned(),
                public_key: key.public_key(),
            },
            attestation_id: None,
            catalog: CatalogPin { version: 1, content_hash: content_hash.to_owned() },
            charge,
            duration_ms: None,
            gate_id: GATE.to_owned(),
            issued_at: UnixTime::from_millis(BEGIN),
            outcome: Outcome::Success,
            proof: AgentProof {
                base_sha256: [0; 32],
                created: UnixTime::from_millis(BEGIN),
                form: ProofForm::Rfc9421,
                nonce: String::new(),
                signature: [0; 64],
            },
            id: [0; 16],
            request_payload_hash: None,
            response_payload_hash: None,
            status: Some(200),
        };
        agents.push(Agent { key, passport: base64::encode(wire.to_string().as_bytes()), receipt });
    }
    Ok(agents)
}

/// Receipts that are made together, before they are written.
const CHUNK: u32 = 10_000;

fn write_backup(from: &Path, to: &Path, agents: &[Agent], receipts: u32) -> Result<()> {
    let gate = SecretKey::from_seed([201; 32]);
    let signer = Signer::new(&gate.attestation_key());
    let mut out = BufWriter::with_capacity(1024 * 1024, File::create(to)?);
    let mut rows = 0_u64;
    for line in BufReader::new(File::open(from)?).lines() {
        let line = line?;
        if line.starts_with("{\"end\"") {
            break;
        }
        rows = rows.saturating_add(u64::from(line.starts_with("{\"row\"")));
        writeln!(out, "{line}")?;
    }
    let row = |table: &str, values: Value| json!({"row": {"table": table, "values": values}}).to_string();
    let key_id = base64::encode_url(&sha256(&gate.public_key()));
    let gate_key = json!({"gate_id": GATE, "key_id": key_id, "public_key": base64::encode(&gate.public_key()), "created_at": BEGIN});
    writeln!(out, "{}", row("gate_keys", gate_key))?;
    let attestation_key = json!({"gate_id": GATE, "key_id": signer.key_id(), "gate_key_id": key_id,
        "public_key": base64::encode(signer.public_key()), "created_at": BEGIN});
    writeln!(out, "{}", row("attestation_keys", attestation_key))?;
    let bar = ProgressBar::new(receipts.into()).with_style(style("receipts signed")?);
    let cores = u32::try_from(available_parallelism().map_or(1, usize::from))?;
    for first in (0..receipts).step_by(usize::try_from(CHUNK)?) {
        let end = first.saturating_add(CHUNK).min(receipts);
        let (signer, agents) = (&signer, agents);
        let made = std::thread::scope(|scope| {
            let parts: Vec<_> = (0..cores)
                .map(|core| {
                    scope.spawn(move || {
                        let mine = (first..end).filter(|number| number.rem_euclid(cores) == core);
                        mine.map(|number| made(number, receipts, agents, signer)).collect::<Result<Vec<_>>>()
                    })
                })
                .collect();
            let joined =
                parts.into_iter().map(|part| part.join().unwrap_or_else(|_| bail!("a thread failed")));
            joined.collect::<Result<Vec<_>>>()
        })?;
        for values in made.into_iter().flatten() {
            writeln!(out, "{}", row("receipts", values))?;
        }
        bar.set_position(end.into());
    }
    bar.finish_and_clear();
    let count = rows.saturating_add(2).saturating_add(receipts.into());
    writeln!(out, "{}", json!({"end": count}))?;
    out.flush()?;
    Ok(())
}

/// The row of a receipt, really signed by both.
fn made(number: u32, of: u32, agents: &[Agent], signer: &Signer) -> Result<Value> {
    let agent = agents.get(usize::try_from(number)?.rem_euclid(agents.len())).context("an agent")?;
    let apart = MONTH_MS.checked_div(of.into()).context("there are some")?;
    let at = BEGIN.saturating_add(i64::from(number).saturating_mul(apart));
    let random = sha256(&number.to_be_bytes());
    let (id, rest) = random.split_first_chunk::<16>().context("32 bytes")?;
    let nonce = base64::encode_url(rest);
    let Agent { key, passport, receipt } = agent;
    let created = at.div_euclid(1000);
    let base = format!(
        "\"@method\": GET\n\"@authority\": flights.example\n\"@path\": /search\n\"@query\": ?to=ZRH&on={number}\n\
         \"agent-passport\": :{passport}:\n\
         \"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"@query\" \"agent-passport\");\
         created={created};nonce=\"{nonce}\";keyid=\"{}\";alg=\"ed25519\";tag=\"agent-proof\"",
        receipt.agent.agent_id
    );
    let proof = AgentProof {
        base_sha256: sha256(base.as_bytes()),
        created: UnixTime::from_millis(created.saturating_mul(1000)),
        form: ProofForm::Rfc9421,
        nonce,
        signature: key.sign(base.as_bytes()),
    };
    let receipt = Receipt {
        issued_at: UnixTime::from_millis(at),
        proof,
        id: *id,
        attestation_id: Some(format!("att_{}", hex(id))),
        ..receipt.clone()
    };
    Ok(json!({
        "receipt_id": receipt.receipt_id(), "gate_id": GATE, "agent_id": receipt.agent.agent_id,
        "issuer_id": GATE, "passport_id": receipt.agent.passport_id, "action": ACTION, "catalog_version": 1,
        "outcome": "success", "model": "per_call", "quantity": 1, "unit_cents": CENTS,
        "fee_basis_points": FEE, "total_cents": CENTS, "fee_cents": receipt.charge.fee_cents(),
        "issued_at": at, "received_at": at, "text": receipt.sign(signer), "key_id": signer.key_id(),
        "base_sha256": hex(&receipt.proof.base_sha256), "base": base, "log_index": number,
        "permit": receipt.attestation_id,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_that_is_settled_is_february() {
        assert_eq!(UnixTime::from_millis(BEGIN).to_iso(), "2026-02-01T00:00:00.000Z");
        assert_eq!(UnixTime::from_millis(BEGIN + MONTH_MS).to_iso(), "2026-03-01T00:00:00.000Z");
    }
}
