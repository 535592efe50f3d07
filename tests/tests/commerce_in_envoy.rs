//! The whole of agent commerce: published, found, checked, agreed, used, receipted and settled,
//! with the unmodified Modei client, real Envoy and the real service, on both databases.
//!
//! A month is settled when it is over. So the test begins five weeks ago: it runs itself once
//! more with a clock that is behind, for all up to the receipts, and settles them by the real one.

use crate::live_stand::{GATE, LiveStand, Wishes, given};
use crate::sdk::Sdk;
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use xtask::control::{Control, Service};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(what_agents_use_is_agreed_metered_and_paid_to_the_cent);

/// From five weeks ago on, some month is over, whichever it is.
const AGO: Duration = Duration::from_secs(35 * 86_400);

const FOLDER: &str = "PORTCULLIS_COMMERCE_FOLDER";
const DATABASE: &str = "PORTCULLIS_COMMERCE_DATABASE";

const AGENT_ID: &str = "agent-001";
const SEARCH_CENTS: u64 = 12;
const SEATS_CENTS: u64 = 150;
/// 2.5 %: 0.3 cents of a search, 7.5 of two seats. Each is the next whole cent.
const FEE_BASIS_POINTS: u64 = 250;

fn what_agents_use_is_agreed_metered_and_paid_to_the_cent(database: Option<&str>) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let database = std::env::var(DATABASE).ok();
        return until_both_hold_receipts(Path::new(&folder), database.as_deref());
    }
    if !cfg!(target_os = "linux") {
        let test = "what_agents_use_is_agreed_metered_and_paid_to_the_cent";
        xtask::skipped::tell(test, "only Linux lets a test set the clock of the programs that it starts");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    five_weeks_ago(folder.path(), database);

    // 7. The month is settled, invoiced and paid.
    let control = Control::in_folder(&given("PORTCULLIS_CONTROL"), folder.path(), database).unwrap();
    let service = control.start().unwrap();
    let mut client =
        Client { sdk: Sdk::running("modei_client.py"), url: service.url(), key: service.key.clone() };
    let period = read_json(&folder.path().join("period.json"));
    let settled = client.call("generate_settlement", json!([]), period.clone());
    assert_eq!(settled["total_cost_cents"], 3 * SEARCH_CENTS + 2 * SEATS_CENTS, "{settled}");
    assert_eq!(settled["total_platform_fee_cents"], 3 + 8, "{settled}");
    assert_eq!((&settled["total_transactions"], &settled["verified_count"]), (&json!(5), &json!(5)));
    assert_eq!((&settled["excluded_count"], &settled["status"]), (&json!(0), &json!("pending")));
    assert_eq!(client.error("generate_settlement", json!([]), period.clone()).1, 409, "it is settled");
    let id = &settled["id"];
    let mut status = |status: &str| client.call("update_settlement_status", json!([id, status]), json!({}));
    status("invoiced");
    status("paid");
    let paid = client.call("get_settlement", json!([id]), json!({}));
    assert_eq!((&paid["status"], &paid["content_hash"]), (&json!("paid"), &settled["content_hash"]));
    assert_eq!(
        client.error("update_settlement_status", json!([id, "void"]), json!({})).1,
        409,
        "paid is final"
    );
    let asked = json!({"period_start": period["period_start"], "period_end": period["period_end"]});
    let sla = client.call("get_sla_compliance", json!([GATE]), asked);
    // Of two uses of seats one failed, and nine in ten were promised to go well.
    let metric = |key: &str| {
        sla["metrics"].as_array().unwrap().iter().find(|one| one["permission_key"] == key).unwrap()
    };
    assert_eq!(
        (&metric("flights:search")["uptime_basis_points"], &metric("flights:search")["compliant"]),
        (&json!(10_000), &json!(true))
    );
    assert_eq!(
        (&metric("flights:seats")["uptime_basis_points"], &metric("flights:seats")["compliant"]),
        (&json!(5000), &json!(false))
    );
    trace_every_cent(&service, folder.path(), &settled);
}

/// Runs this very test in the past.
fn five_weeks_ago(folder: &Path, database: Option<&str>) {
    let library = folder.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commerce/clock.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status();
    assert!(built.expect("a C compiler").success());
    let name = std::thread::current().name().expect("the name of a test").to_owned();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(FOLDER, folder).env("LD_PRELOAD", &library);
    command.env("PORTCULLIS_CLOCK_SHIFT", format!("-{}", AGO.as_secs()));
    if let Some(database) = database {
        command.env(DATABASE, database);
    }
    assert!(command.status().unwrap().success(), "the part in the past failed: see above");
}

/// Steps 1 to 6, with whatever clock this process has.
fn until_both_hold_receipts(folder: &Path, database: Option<&str>) {
    let gate = |authority: &str| {
        json!({
            "gate": {"id": GATE, "name": "Flights"}, "profile": "L1", "authorities": [authority],
            "routes": [{"path": "/search", "methods": ["GET"], "action": "flights:search"}],
        })
        .to_string()
    };
    let wishes = Wishes { database, gate: Some(&gate), folder: Some(folder), ..Wishes::default() };
    let stand = LiveStand::start("commerce", &wishes);
    let service = stand.service.as_ref().expect("the service runs");
    let mut client =
        Client { sdk: Sdk::running("modei_client.py"), url: service.url(), key: service.key.clone() };
    let agent = SecretKey::from_seed([7; 32]);

    // 1. The operator publishes what the gate offers.
    let offer = |key: &str, model: &str, cents: u64| {
        json!({"permission_key": key, "display_name": key, "description": "", "risk_level": "low",
            "min_trust_level": 1, "constraints": {
                "core:pricing:model": model, "core:pricing:per_call_cents": cents,
                "core:platform_fee:basis_points": FEE_BASIS_POINTS, "core:sla:uptime_basis_points": 9000}})
    };
    let permissions = json!([
        offer("flights:search", "per_call", SEARCH_CENTS),
        offer("flights:seats", "usage", SEATS_CENTS)
    ]);
    client.call(
        "create_catalog",
        json!([GATE]),
        json!({"version": "1.0", "catalog_name": "Flights",
        "description": "", "is_active": true, "permissions": permissions}),
    );
    let published = client.call("publish_catalog", json!([GATE]), json!({"change_summary": "the first"}));
    client.call("update_gate", json!([GATE]), json!({"is_discoverable": true}));

    // 2. An agent finds it, without an account, and 3. checks the terms alone.
    let found = Request::new("GET", "/api/discover?capability=flights:*").send(service.address).unwrap();
    let file = folder.join("found.json");
    std::fs::write(&file, &found.body).unwrap();
    let public = Request::new("GET", &format!("/api/gates/{GATE}/public")).send(service.address).unwrap();
    let public: Value = serde_json::from_slice(&public.body).unwrap();
    let gate_key = public["signing_keys"][0]["public_key"].as_str().unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(portcullis(&["catalog", "verify", file, "--key", gate_key]).0, 0);
    let cheaper = String::from_utf8(found.body).unwrap().replace(":12,", ":11,");
    let touched = folder.join("cheaper.json");
    std::fs::write(&touched, cheaper).unwrap();
    assert_eq!(portcullis(&["catalog", "verify", touched.to_str().unwrap(), "--key", gate_key]).0, 1);

    // 4. It is given a passport under these terms.
    let asked = json!({
        "agent_id": AGENT_ID, "permissions": ["flights:search", "flights:seats"], "expires_in": "24h",
        "agent_public_key": base64::encode(&agent.public_key()),
        "constraints": {"flights:search": {"core:rate:max_per_day": 3}},
    });
    let passport = client.call("issue_passport", json!([GATE]), asked);
    assert_eq!(passport["catalog_content_hash"], published["content_hash"]);
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    let credential = json!({"passport_json": envelope, "signature": passport["signature"]}).to_string();
    let credential = format!(":{}:", base64::encode(credential.as_bytes()));

    // 5. It calls. The gate counts, charges, and refuses what was not agreed. 6. Each has a receipt.
    let unsigned = |_| search(&stand, &[("agent-passport", &credential)]);
    wait_until("the gate knows the terms", || {
        (0..20).map(unsigned).all(|(status, code, _)| (status, code.as_str()) == (401, "proof_missing"))
    });
    let mut held = Vec::new();
    for number in 0..3 {
        let (status, code, receipt) = call_signed(&stand, &agent, &credential, number);
        assert_eq!(status, 200, "{code}");
        held.push(json!({"receipt": text_of(&receipt.expect("a receipt"))}));
    }
    let (status, code, receipt) = call_signed(&stand, &agent, &credential, 3);
    assert_eq!(
        (status, code.as_str(), receipt),
        (429, "rate_limit_exceeded", None),
        "a fourth was not agreed"
    );
    for (number, outcome) in ["success", "error"].into_iter().enumerate() {
        let used = json!({
            "passport_id": passport["passport_id"], "gate_id": GATE, "action": "flights:seats", "outcome": outcome,
            "quantity": 2, "agent_pop": pop(&agent, &passport, "flights:seats", number),
        });
        let answer = client.call("issue_consumption_attestation", json!([]), used.clone());
        held.push(json!({"receipt": answer["receipt"], "base": answer["base"]}));
        assert_eq!(client.error("issue_consumption_attestation", json!([]), used).1, 409, "a nonce twice");
    }
    let operators = folder.join("operator.jsonl");
    wait_until("the service has all receipts", || {
        service.fetch(&format!("/api/gates/{GATE}/receipts"), &operators).unwrap();
        std::fs::read_to_string(&operators).unwrap().lines().count() == held.len()
    });
    let lines: String = held.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("agent.jsonl"), lines).unwrap();
    service.fetch(&format!("/api/gates/{GATE}/attestation-keys"), &folder.join("keys.json")).unwrap();
    let (first, last) = month_of(now());
    let period =
        json!({"gate_id": GATE, "period_type": "monthly", "period_start": first, "period_end": last});
    std::fs::write(folder.join("period.json"), period.to_string()).unwrap();
}

/// That both sides hold the same receipts, that these are what was settled, cent by cent, and that
/// neither can change one unseen.
fn trace_every_cent(service: &Service, folder: &Path, settled: &Value) {
    let [operators, agents, keys] =
        ["operator.jsonl", "agent.jsonl", "keys.json"].map(|name| path(folder, name));
    let compare =
        |ours: &str, theirs: &str| portcullis(&["receipts", "compare", ours, theirs, "--keys", &keys]);
    assert_eq!(compare(&operators, &agents).0, 0);
    let text = std::fs::read_to_string(&operators).unwrap();
    for (name, changed) in [
        ("dearer.jsonl", text.replacen("\\\"total_cents\\\":12", "\\\"total_cents\\\":13", 1)),
        ("fewer.jsonl", text.lines().skip(1).map(|line| format!("{line}\n")).collect()),
    ] {
        assert_ne!(changed, text);
        let changed_file = path(folder, name);
        std::fs::write(&changed_file, changed).unwrap();
        assert_eq!(compare(&changed_file, &agents).0, 1, "{name}");
    }

    let records = folder.join("records.jsonl");
    let id = settled["id"].as_str().unwrap();
    service.fetch(&format!("/api/billing/{id}/records"), &records).unwrap();
    let held = std::fs::read_to_string(&agents).unwrap();
    let mut held: Vec<Value> = held.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut cents, mut fees) = (0, 0);
    for line in std::fs::read_to_string(&records).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let at = held.iter().position(|one| one["receipt"] == line["receipt"]);
        held.remove(at.expect("the agent holds it too"));
        cents += line["charged_cents"].as_u64().unwrap();
        fees += line["charged_fee_cents"].as_u64().unwrap();
    }
    assert!(held.is_empty(), "the agent holds more than was settled: {held:?}");
    assert_eq!(
        (&json!(cents), &json!(fees)),
        (&settled["total_cost_cents"], &settled["total_platform_fee_cents"])
    );
    let summary = folder.join("summary.json");
    service.fetch(&format!("/api/billing/{id}"), &summary).unwrap();
    let [summary, records] = [summary, records].map(|file| file.to_str().unwrap().to_owned());
    assert_eq!(portcullis(&["settlement", "verify", &summary, &records, "--keys", &keys]).0, 0);
}

struct Client {
    sdk: Sdk,
    url: String,
    key: String,
}

impl Client {
    fn ask(&mut self, method: &str, args: Value, kwargs: Value) -> Value {
        let call = json!({"url": self.url, "key": self.key, "method": method, "args": args, "kwargs": kwargs,
            "is_async": false});
        self.sdk.ask("call", call)
    }

    fn call(&mut self, method: &str, args: Value, kwargs: Value) -> Value {
        let answer = self.ask(method, args, kwargs);
        answer.get("answer").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
    }

    fn error(&mut self, method: &str, args: Value, kwargs: Value) -> (String, u64) {
        let answer = self.ask(method, args, kwargs);
        (
            answer["error"].as_str().unwrap_or_default().to_owned(),
            answer["status"].as_u64().unwrap_or_default(),
        )
    }
}

/// Status, reason of a refusal, and receipt.
type Answered = (u16, String, Option<String>);

fn call_signed(stand: &LiveStand, agent: &SecretKey, credential: &str, number: usize) -> Answered {
    let nonce = nonce(number);
    let authority = stand.envoy.listen.to_string();
    let draft = ProofDraft {
        method: "GET",
        authority: &authority,
        path: "/search",
        query: None,
        credential: ("agent-passport", credential),
        body: None,
        key_id: AGENT_ID,
        created: now(),
        expires: None,
        nonce: &nonce,
    };
    let signed = draft.sign(agent);
    let mut headers: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("agent-passport", credential));
    search(stand, &headers)
}

fn search(stand: &LiveStand, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::new("GET", "/search");
    request.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let answer = request.send(stand.envoy.listen).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["reason_code"].as_str().unwrap_or_default().to_owned();
    (answer.status, code, answer.header("agent-receipt").map(str::to_owned))
}

/// The text of a receipt in its header, an RFC 9651 byte sequence.
fn text_of(header: &str) -> String {
    let encoded = header.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).expect("a byte sequence");
    String::from_utf8(base64::decode(encoded).unwrap()).unwrap()
}

/// The agent's word for a use outside a gate, as Modei documents it.
fn pop(agent: &SecretKey, passport: &Value, action: &str, number: usize) -> Value {
    let (timestamp, nonce) = (now().as_millis(), nonce(100 + number));
    let text = format!("{timestamp}:{nonce}:{action}:{}", passport["passport_id"].as_str().unwrap());
    json!({
        "signature": base64::encode(&agent.sign(text.as_bytes())), "timestamp": timestamp, "nonce": nonce,
        "public_key": base64::encode(&agent.public_key()),
        "catalog_content_hash": passport["catalog_content_hash"],
    })
}

fn nonce(number: usize) -> String {
    base64::encode_url(format!("nonce number {number:010}").as_bytes())
}

fn portcullis(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(given("PORTCULLIS_CLI")).args(arguments).output().unwrap();
    let told =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("portcullis {}: {told}", arguments.join(" "));
    (output.status.code().expect("an exit code"), told)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// The first and the last day of the month.
fn month_of(time: UnixTime) -> (String, String) {
    let day = |time: UnixTime| time.to_iso()[..10].to_owned();
    let month = day(time)[..7].to_owned();
    let mut last = time;
    while day(last.plus_millis(86_400_000)).starts_with(&month) {
        last = last.plus_millis(86_400_000);
    }
    (format!("{month}-01"), day(last))
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn path(folder: &Path, name: &str) -> String {
    let file: PathBuf = folder.join(name);
    file.to_str().unwrap().to_owned()
}
