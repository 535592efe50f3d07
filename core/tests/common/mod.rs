//! Passports and gates for tests.

pub mod guarded;
pub mod log;
pub mod service;

use portcullis_core::json::{Object, Value};
use portcullis_core::modei::{Draft, Signed, delegate, self_issue};
use portcullis_core::{
    Config, CredentialCache, LocalMemory, Process, RequestHead, SecretKey, Snapshot, Step, UnixTime, Verifier,
};

/// 2026-06-01T12:00:00.000Z
pub const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

pub const HOUR: i64 = 3_600_000;

pub fn key(name: u8) -> SecretKey {
    SecretKey::from_seed([name; 32])
}

pub fn draft(id: &str, permissions: &[&str]) -> Draft {
    Draft {
        passport_id: id.into(),
        agent_name: None,
        permissions: permissions.iter().map(|key| ((*key).into(), Object::default())).collect(),
        issued_at: NOW.plus_millis(-HOUR),
        expires_at: NOW.plus_millis(HOUR),
        delegation_authority: true,
    }
}

pub fn constrained(id: &str, permission: &str, constraints: &[(&'static str, i32)]) -> Draft {
    let mut object = Object::default();
    for (name, value) in constraints {
        object.set(name, Value::from(*value));
    }
    Draft { permissions: vec![(permission.into(), object)], ..draft(id, &[]) }
}

/// A chain of `depth` delegations, each by the next key.
pub fn chain(depth: u8, permissions: &[&str]) -> Signed {
    (1..=depth).fold(self_issue(&key(1), &draft("pp_0", permissions)), |parent, hop| {
        let id = format!("pp_{hop}");
        delegate(&parent, &key(hop), &key(hop + 1).public_key(), &draft(&id, permissions)).unwrap()
    })
}

pub fn config(trust: &str) -> String {
    format!(
        r#"{{"gate":{{"id":"gate_test"}},"profile":"L1","authorities":["api.example","api.example:8443"],
        "routes":[
          {{"path":"/health","methods":["GET"],"public":true}},
          {{"path":"/flights","methods":["GET"],"action":"flights:search"}},
          {{"path_prefix":"/bookings/","methods":["GET","POST"],"action":"flights:book"}},
          {{"path_prefix":"/bookings/open/","methods":["GET"],"public":true}},
          {{"path":"/bookings/watch","methods":["GET"],"action":"flights:book","mode":"report","keep_credential":true}},
          {{"path":"/socket","methods":["GET"],"public":true,"allow_upgrade":true}}],
        "trust":{trust}}}"#
    )
}

pub const SELF_ISSUED: &str = r#"{"self_issued":{"actions":["flights:*"]}}"#;

pub fn snapshot(trust: &str) -> Snapshot {
    Snapshot::new(&Config::from_json(config(trust).as_bytes()).unwrap()).unwrap()
}

/// A request's head with everything that most tests leave alone.
pub struct Request<'r> {
    pub method: &'r str,
    pub authority: &'r str,
    pub path: &'r str,
    pub headers: Vec<(&'r str, &'r str)>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Request { method: "GET", authority: "api.example", path: "/flights", headers: vec![] }
    }
}

/// The decision in a word: `ok` or the reason's code.
pub fn decide(
    snapshot: &Snapshot,
    request: &Request<'_>,
    now: UnixTime,
    cache: &mut CredentialCache,
) -> &'static str {
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let head = RequestHead {
        method: request.method.as_bytes(),
        authority: request.authority.as_bytes(),
        path: request.path.as_bytes(),
        headers: &headers,
        source: None,
    };
    match Verifier::new(snapshot).begin(&head, now, cache, &mut LocalMemory::new(&Process::new([1; 32], NOW)))
    {
        Step::Permit(_) => "ok",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => "need body",
    }
}

/// The decision on a request with nothing remembered.
pub fn decide_once(snapshot: &Snapshot, request: &Request<'_>) -> &'static str {
    decide(snapshot, request, NOW, &mut CredentialCache::new(0))
}
