//! A gate with guardrails, and what is asked of it.

use super::{NOW, SELF_ISSUED, draft, key};
use portcullis_core::json::{self, Object};
use portcullis_core::live::hex;
use portcullis_core::modei::{Draft, Signed, self_issue};
use portcullis_core::{
    Config, CredentialCache, Held, LocalMemory, Permit, Process, ProofDraft, Refused, RequestHead, Snapshot,
    Step, UnixTime, Verifier, base64, sha256,
};
use serde_json::{Value, json};

const SECRET: [u8; 32] = [1; 32];

fn process() -> Process {
    Process::new(SECRET, NOW.plus_millis(-1_000_000))
}

/// A configuration with these members beside the usual ones.
pub fn config(members: &Value) -> Value {
    let mut config: Value = serde_json::from_str(
        r#"{"gate":{"id":"gate_test"},"profile":"L1","authorities":["api.example","api.example:8443"],"routes":[
          {"path":"/flights","methods":["GET","POST"],"action":"flights:search"},
          {"path":"/costly","methods":["GET","POST"],"action":"flights:book","cost_cents":250,
           "target_domain":"airline.example","model":"opus"},
          {"path":"/free","methods":["GET","POST"],"action":"flights:book"},
          {"path":"/open","methods":["GET"],"public":true}]}"#,
    )
    .unwrap();
    config["trust"] = serde_json::from_str(SELF_ISSUED).unwrap();
    for (name, value) in members.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

pub fn read(config: &Value) -> Config {
    Config::from_json(config.to_string().as_bytes()).unwrap()
}

/// The place of what is wrong with a configuration, as a gate without a control service
/// reads it.
pub fn fault(members: &Value) -> String {
    let config = Config::from_json(config(members).to_string().as_bytes());
    config
        .and_then(|config| Snapshot::of_static(&config))
        .map_or_else(|error| error.to_string(), |_| String::new())
}

pub fn permission(permission: &str, constraints: &Value) -> (String, Object<'static>) {
    let limits = json::Limits { bytes: 1 << 20, depth: 16, values: 10_000 };
    let value = json::parse(constraints.to_string().as_bytes(), limits).unwrap().into_owned();
    let json::Value::Object(object) = value else { panic!("no object") };
    (permission.into(), object)
}

pub fn passport(id: &str, constraints: &Value) -> Draft {
    let permissions = ["flights:search", "flights:book"].map(|key| permission(key, constraints)).to_vec();
    Draft { permissions, ..draft(id, &[]) }
}

pub fn issued(constraints: &Value) -> Signed {
    self_issue(&key(1), &passport("pp_1", constraints))
}

/// A gate with what it remembers.
pub struct Gate {
    pub snapshot: Snapshot,
    pub cache: CredentialCache,
    pub memory: LocalMemory,
    pub process: Process,
}

#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub authority: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
    pub source: Option<&'a str>,
    pub now: UnixTime,
}

pub const ASK: Ask<'_> =
    Ask { method: "GET", authority: "api.example:8443", path: "/flights", body: b"", source: None, now: NOW };

impl Gate {
    pub fn of(members: &Value) -> Self {
        Self::with(Snapshot::of_static(&read(&config(members))).unwrap())
    }

    pub fn live(members: &Value) -> Self {
        Self::with(Snapshot::new(&read(&config(members))).unwrap())
    }

    pub fn with(snapshot: Snapshot) -> Self {
        let process = process();
        Gate { snapshot, cache: CredentialCache::new(1 << 20), memory: LocalMemory::new(&process), process }
    }

    pub fn step(&mut self, headers: &[(&str, &str)], ask: Ask<'_>) -> Step {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let head = RequestHead {
            method: ask.method.as_bytes(),
            authority: ask.authority.as_bytes(),
            path: ask.path.as_bytes(),
            headers: &headers,
            source: ask.source.map(str::as_bytes),
        };
        let verifier = Verifier::new(&self.snapshot).with_process(&self.process);
        match verifier.begin(&head, ask.now, &mut self.cache, &mut self.memory) {
            Step::NeedBody(mut pending) => {
                pending.absorb(ask.body).unwrap();
                verifier.finish(pending, ask.now, &mut self.memory)
            }
            decided => decided,
        }
    }

    pub fn ask(&mut self, signed: &Signed, ask: Ask<'_>) -> Step {
        self.step(&[("agent-passport", &signed.to_header())], ask)
    }

    /// `ok`, `hold`, or a reason's code.
    pub fn code(&mut self, signed: &Signed, ask: Ask<'_>) -> &'static str {
        code(&self.ask(signed, ask))
    }
}

pub fn code(step: &Step) -> &'static str {
    match step {
        Step::Permit(_) => "ok",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::Hold(_) => "hold",
        Step::NeedBody(_) | Step::NeedAuthority(_) => panic!("a body is asked for once"),
    }
}

pub fn permit(step: Step) -> Permit {
    let Step::Permit(permit) = step else { panic!("{step:?}") };
    permit
}

pub fn refused(step: Step) -> Refused {
    let Step::Deny(refused) = step else { panic!("{step:?}") };
    refused
}

pub fn held(step: Step) -> Held {
    let Step::Hold(held) = step else { panic!("{step:?}") };
    held
}

/// The binding of what `/costly` asks for, as another implementation would make it.
pub fn binding(body: &[u8], method: &str, target: &str, action: &str, cost: u64, agent: u8) -> String {
    let thumbprint = base64::encode_url(&sha256(&key(agent).public_key()));
    let text = format!(
        r#"{{"action":"{action}","agent_key":"{thumbprint}","body":"{}","cost_cents":{cost},"domain":"airline.example","gate":"gate_test","method":"{method}","target":"{target}","v":2}}"#,
        hex(&sha256(body))
    );
    hex(&sha256(text.as_bytes()))
}

pub fn approved(binding: &str) -> Value {
    json!({"id": "appr_1", "binding": binding, "lane": base64::encode_url(&process().lane("gate_test")),
           "expires_at": NOW.plus_millis(60_000).to_iso()})
}

pub const BOOK: Ask<'_> = Ask { method: "POST", path: "/costly?seat=1A", body: b"{\"seat\":1}", ..ASK };

pub fn needing_approval() -> Signed {
    issued(&json!({"core:cost:approval_threshold": 100, "rate_limit_per_minute": 1}))
}

/// Asks with a proof that has this nonce.
pub fn prove(gate: &mut Gate, signed: &Signed, nonce: &str, ask: Ask<'_>) -> Step {
    let credential = signed.to_header();
    let agent = portcullis_core::modei::self_agent_id(&key(1).public_key());
    let (path, query) =
        ask.path.split_once('?').map_or((ask.path, None), |(path, query)| (path, Some(query)));
    let proof = ProofDraft {
        method: ask.method,
        authority: ask.authority,
        path,
        query,
        credential: ("agent-passport", &credential),
        body: Some(ask.body),
        key_id: &agent,
        created: NOW,
        expires: None,
        nonce,
    }
    .sign(&key(1));
    let mut headers = vec![("agent-passport", credential.as_str())];
    headers.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    gate.step(&headers, ask)
}

pub const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
