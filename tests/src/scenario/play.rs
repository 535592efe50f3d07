//! Playing a scenario on a gate.

use super::credential::Wallet;
use super::proof::{Surroundings, asked, spent};
use super::{Case, Expected, Person, ReceiptText, Scenario, Upstream};
use portcullis_core::receipt::SignedReceipt;
use portcullis_core::{PublicKey, UnixTime, base64};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// A gate that scenarios are played on.
pub trait Gate {
    /// Whether Envoy's own answers count.
    const IS_ENVOY: bool;

    /// The authority that requests name which name no other.
    fn authority(&self) -> String;

    /// Lets so many seconds go by; whether it can.
    fn wait(&mut self, seconds: u64) -> bool;

    /// Answers the request for this approval, as a person does; once it is answered, all workers
    /// know. Whether this gate has anybody to ask.
    fn answer(&mut self, approval: &str, person: Person) -> bool;

    /// The hashes of the catalogs that the gate has published, the first first, where they are
    /// not those of the text.
    fn catalogs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The key that signs its receipts, if it makes any.
    fn attestation_key(&self) -> Option<PublicKey> {
        None
    }

    /// Sends one request and tells what came of it.
    fn send(&mut self, request: &Sent) -> Answer;
}

/// A request, filled in.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub path: Vec<u8>,
    /// Left out: the gate's own.
    pub authority: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    /// The body in chunks, instead of whole.
    pub chunks: Option<Vec<Vec<u8>>>,
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// What came back, and what the upstream saw.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub upstream: Option<Arrived>,
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Plays all cases, in order, on one gate whose clock shows `now`. Tells what went
/// otherwise than the text says; empty is good.
pub fn play<G: Gate>(scenario: &Scenario, now: UnixTime, gate: &mut G) -> Vec<String> {
    let wallet = Wallet::new(scenario, now, &gate.catalogs());
    let names: BTreeSet<_> = scenario.cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), scenario.cases.len(), "two cases have one name");
    let (mut faults, mut now, mut challenge, mut last, mut held) = (Vec::new(), now, None, None, None);
    for case in &scenario.cases {
        if let Some(person) = case.person {
            let approval: &String = held.as_ref().expect("nothing was held yet");
            assert!(gate.answer(approval, person), "{}: this gate has nobody to ask", case.name);
        }
        let after = case.request.after;
        if after > 0 && !gate.wait(after) {
            // What comes later in the text is meant for that time.
            eprintln!("SKIPPED from \"{}\" on: this gate's clock cannot be moved", case.name);
            break;
        }
        now = now.plus_millis(i64::try_from(after).expect("seconds") * 1000);
        let mut request = sent(case, &wallet);
        if let Some(proof) = &case.request.proof {
            let authority = gate.authority();
            let (case, challenge, spent) = (case.name.as_str(), challenge.as_deref(), last.as_deref());
            proof.sign(
                &mut request,
                &Surroundings {
                    scenario,
                    case,
                    authority: &authority,
                    wallet: &wallet,
                    challenge,
                    spent,
                    now,
                },
            );
        }
        last = spent(&request).or(last);
        if G::IS_ENVOY {
            wait_for_minute(case.request.minute_left);
        }
        let answer = gate.send(&request);
        let asked = asked(&answer.headers);
        if case.expect.asks.is_some_and(|asks| asks != asked.is_some()) {
            faults.push(format!("{}: the answer asks for {asked:?}", case.name));
        }
        challenge = asked.or(challenge);
        held = approval(&answer).or(held);
        let mut found = differences::<G>(case, &wallet, &answer);
        found.extend(receipt_otherwise(&case.expect, gate.attestation_key().as_ref(), &answer));
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    faults
}

/// Waits for the next minute in UTC where this one has fewer seconds left.
fn wait_for_minute(seconds: u64) {
    assert!(seconds < 60, "a minute has not {seconds} seconds left");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let left = 60 - now.as_secs() % 60;
    if left <= seconds {
        std::thread::sleep(Duration::from_secs(left));
    }
}

/// What a person is asked about by an answer.
fn approval(answer: &Answer) -> Option<String> {
    let told = problem(answer);
    told["approval_request_id"].as_str().filter(|_| told["status"] == 202).map(str::to_owned)
}

/// What a refusal says, as it stands or as the data of a JSON-RPC error.
fn problem(answer: &Answer) -> serde_json::Value {
    let mut told: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if told.get("jsonrpc").is_some() { told["error"]["data"].take() } else { told }
}

fn sent(case: &Case, wallet: &Wallet) -> Sent {
    let request = &case.request;
    let header = |(name, value): &(String, String)| (name.clone(), latin1(&wallet.fill(value)));
    let mut headers: Vec<_> = request.headers.iter().map(header).collect();
    if request.rpc.is_some() {
        headers.push(("content-type".into(), b"application/json".to_vec()));
    }
    let body = request.body.as_deref().or(request.rpc.as_deref());
    Sent {
        method: if request.rpc.is_some() { "POST".into() } else { request.method.clone() },
        path: latin1(&wallet.fill(&request.path)),
        authority: request.authority.clone(),
        headers,
        body: body.map(|body| wallet.fill(body).into_bytes()),
        chunks: request
            .chunks
            .as_ref()
            .map(|chunks| chunks.iter().map(|chunk| wallet.fill(chunk).into_bytes()).collect()),
        trailers: request.trailers.iter().map(header).collect(),
    }
}

/// Each character up to U+00FF as one byte, so that texts can hold any bytes.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("a character up to U+00FF")).collect()
}

fn differences<G: Gate>(case: &Case, wallet: &Wallet, answer: &Answer) -> Vec<String> {
    let on_envoy = case.on_envoy.as_ref().filter(|_| G::IS_ENVOY);
    let (status, reason, upstream) = match on_envoy {
        Some(other) => (other.status, &other.reason, &other.upstream),
        None => (case.expect.status, &case.expect.reason, &case.upstream),
    };
    let mut faults = Vec::new();
    if answer.status != status {
        faults.push(format!("answered {}, and not {status}: {}", answer.status, answer.body));
    }
    if let Some(reason) = reason {
        let problem = problem(answer);
        if problem["reason_code"] != reason.as_str() {
            faults.push(format!("refused for {}, and not {reason}", problem["reason_code"]));
        }
        let rpc = case.expect.rpc.as_ref().filter(|_| on_envoy.is_none());
        if problem["status"] != rpc.map_or(status, |(_, _, status)| *status) {
            faults.push(format!("the body says status {}", problem["status"]));
        }
        let kind = if rpc.is_some() { "application/json" } else { "application/problem+json" };
        faults.extend(lacking(&answer.headers, "content-type", kind));
        faults.extend(rpc.and_then(|rpc| answered_otherwise(rpc, &problem, answer)));
        let is_held = reason == "approval_required";
        let decision = if is_held { "request_hold" } else { "block" };
        if problem["decision"] != decision || is_held != approval(answer).is_some() {
            faults.push(format!("the body says {problem}, which is no {decision}"));
        }
        faults.extend(told_otherwise(&case.expect, &problem, answer).filter(|_| on_envoy.is_none()));
    }
    for (name, value) in case.expect.headers.iter().filter(|_| on_envoy.is_none()) {
        faults.extend(lacking(&answer.headers, name, &wallet.fill(value)));
    }
    match (upstream, &answer.upstream) {
        (None, None) => {}
        (None, Some(_)) => faults.push("the upstream saw the request".into()),
        (Some(_), None) => faults.push("the upstream saw nothing".into()),
        (Some(expected), Some(arrived)) => faults.extend(arrival(case, expected, wallet, arrived)),
    }
    faults
}

/// What a refusal says is wrong, and when to come back.
fn told_otherwise(expected: &Expected, problem: &serde_json::Value, answer: &Answer) -> Option<String> {
    if expected.detail.as_ref().is_some_and(|detail| problem["detail"] != detail.as_str()) {
        return Some(format!("the detail is {}", problem["detail"]));
    }
    let told: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("retry-after")).collect();
    let is_told = match (expected.retry_after, told.as_slice()) {
        (None, []) => true,
        (Some(most), [(_, seconds)]) => {
            seconds.parse::<u64>().is_ok_and(|seconds| (1..=most).contains(&seconds))
        }
        _ => false,
    };
    (!is_told).then(|| format!("it says {told:?}, and not to come back within {:?}", expected.retry_after))
}

/// How a JSON-RPC error differs from what is expected.
fn answered_otherwise(
    (id, code, _): &(String, i64, u16),
    problem: &serde_json::Value,
    answer: &Answer,
) -> Option<String> {
    let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let id: serde_json::Value = serde_json::from_str(id).expect("an id in JSON");
    let detail = problem["detail"].as_str().unwrap_or_default();
    let says_why = told["error"]["message"].as_str().is_some_and(|message| message.ends_with(detail));
    let header = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let is_it = told["jsonrpc"] == "2.0"
        && told["id"] == id
        && told["error"]["code"] == *code
        && says_why
        && problem["retry_after_s"].as_u64() == header.and_then(|(_, seconds)| seconds.parse().ok());
    (!is_it).then(|| format!("it is no such error: {}", answer.body))
}

/// What a receipt, or the name of one, says otherwise than the text.
fn receipt_otherwise(expected: &Expected, key: Option<&PublicKey>, answer: &Answer) -> Option<String> {
    let told: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("agent-receipt")).collect();
    match (told.as_slice(), &expected.receipt) {
        ([], None) if !expected.names_receipt => None,
        ([(_, named)], None) if expected.names_receipt => {
            let id = named.strip_prefix("\"rcpt_").and_then(|rest| rest.strip_suffix('"'));
            let is_id =
                id.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            (!is_id).then(|| format!("the answer names the receipt {named}"))
        }
        ([(_, brought)], Some(expected)) => {
            let text = brought.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
            let text = text.and_then(base64::decode).unwrap_or_default();
            let signed = match SignedReceipt::read(&text) {
                Ok(signed) => signed,
                Err(error) => return Some(format!("the answer brings {brought}: {error}")),
            };
            if key.is_none_or(|key| signed.verify(key).is_err()) {
                return Some("the receipt is not signed by the gate".into());
            }
            let receipt = &signed.receipt;
            let found = ReceiptText {
                action: receipt.action.clone(),
                outcome: receipt.outcome.name().into(),
                status: receipt.status.unwrap_or_default(),
                total_cents: receipt.charge.total_cents(),
                fee_cents: receipt.charge.fee_cents(),
            };
            (found != *expected).then(|| format!("the receipt says {found:?}"))
        }
        _ => Some(format!("the answer brings the receipts {told:?}")),
    }
}

fn arrival(case: &Case, expected: &Upstream, wallet: &Wallet, arrived: &Arrived) -> Vec<String> {
    let mut faults = Vec::new();
    let path = expected.path.as_ref().unwrap_or(&case.request.path);
    if arrived.path != wallet.fill(path) {
        faults.push(format!("the upstream saw the path {}", arrived.path));
    }
    for (name, value) in &expected.has {
        faults.extend(lacking(&arrived.headers, name, &wallet.fill(value)));
    }
    for name in &expected.lacks {
        let is_it = |header: &str| header.replace('_', "-").eq_ignore_ascii_case(name);
        if arrived.headers.iter().any(|(header, _)| is_it(header)) {
            faults.push(format!("the upstream saw {name}"));
        }
    }
    if expected.body.as_ref().is_some_and(|body| *body != arrived.body) {
        faults.push(format!("the upstream saw the body {}", arrived.body));
    }
    faults
}

/// The fault that a header is not there once with this value.
fn lacking(headers: &[(String, String)], name: &str, value: &str) -> Option<String> {
    let values: Vec<_> = headers
        .iter()
        .filter(|(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    let is_there = matches!(values.as_slice(), [one] if *one == value);
    (!is_there).then(|| format!("{name} is {values:?}, and not {value}"))
}
