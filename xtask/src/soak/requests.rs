//! The requests of a long run: of each family of answers some.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::{Limits, Object, Value as Strict, parse};
use portcullis_core::modei::{
    Draft, Issuer, RootKind, Signed, issue, self_agent_id, self_issue, self_issuer_id,
};
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64};
use serde_json::{Value, json};

use crate::http::{Request, exchange};

/// Who asks, and what does not change from one request to the next.
pub(super) struct Scene {
    authority: String,
    known: String,
    revoked: String,
    elsewhere: String,
    expired: String,
    rated: String,
}

/// The reason where there is none.
const OK: &str = "ok";

const KEY: &str = "ik_soak";
const ISSUER: &str = "issuer:soak";

/// The agent that has signed its passports itself, and the issuer.
fn agent() -> SecretKey {
    SecretKey::from_seed([91; 32])
}

fn issuer() -> SecretKey {
    SecretKey::from_seed([92; 32])
}

impl Scene {
    pub(super) fn new(authority: &str) -> Self {
        let signed = |id: &str, action: &str| self_issue(&agent(), &draft(id, action, &[])).to_header();
        let mut expired = draft("pp_expired", "flights:search", &[]);
        expired.issued_at = now().plus_millis(-7_200_000);
        expired.expires_at = now().plus_millis(-3_600_000);
        let rated = draft("pp_rated", "flights:search", b"{\"core:rate:max_per_minute\":20}");
        Self {
            authority: authority.to_owned(),
            known: signed("pp_known", "flights:search"),
            revoked: signed("pp_revoked", "flights:search"),
            elsewhere: signed("pp_elsewhere", "trains:search"),
            expired: self_issue(&agent(), &expired).to_header(),
            rated: self_issue(&agent(), &rated).to_header(),
        }
    }

    /// The gate, as it is enrolled.
    pub(super) fn gate(&self) -> Value {
        json!({
            "gate": {"id": "gate_soak"}, "profile": "L1", "authorities": [self.authority],
            "routes": [
                {"path_prefix": "/flights/", "methods": ["GET", "POST"], "action": "flights:search"},
                {"path": "/health", "methods": ["GET"], "public": true},
                {"path": "/mcp", "methods": ["POST"], "action": "mcp:connect",
                 "mcp": {"tools": {"search": {"action": "flights:search"}}}},
            ],
            "trust": {
                "issuers": [{
                    "id": ISSUER, "type": "platform", "tier": 2, "actions": ["flights:*"],
                    "keys": [{"key_id": KEY, "public_key": base64::encode(&issuer().public_key())}],
                }],
                "self_issued": {"actions": ["flights:*", "mcp:*"]},
                "simpleguard_agents": [{
                    "key_id": KEY, "public_key": base64::encode(&agent().public_key()),
                    "actions": ["flights:search"],
                }],
            },
            // What comes faster than a service takes it is counted, and refused no request for it.
            "attest": {"policy": "best_effort"},
        })
    }

    /// What the service is told.
    pub(super) fn revocation(&self) -> Value {
        json!({"kind": "passport", "issuer": self_issuer_id(&agent().public_key()), "ids": ["pp_revoked"]})
    }

    /// Waits until each worker knows it.
    pub(super) fn wait_until_revoked(&self, to: SocketAddr) -> Result<()> {
        let bytes = with_passport("/flights/", &self.revoked).to_bytes(&self.authority, true);
        let (began, mut in_a_row) = (Instant::now(), 0_u32);
        while in_a_row < 20 {
            ensure!(began.elapsed() < Duration::from_secs(60), "a revocation does not reach the gate");
            let is_refused = exchange(to, &bytes)?.status == 401;
            in_a_row = if is_refused { in_a_row.saturating_add(1) } else { 0 };
        }
        Ok(())
    }
}

/// A client, which sends each kind of request in turn.
pub(super) struct Client<'s> {
    scene: &'s Scene,
    client: usize,
    number: usize,
    authority: String,
    /// The last that had a proof.
    proven: Option<Request>,
}

impl<'s> Client<'s> {
    pub(super) fn new(scene: &'s Scene, client: usize) -> Self {
        Self { scene, client, number: 0, authority: scene.authority.clone(), proven: None }
    }

    /// For which host its last request is.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The next request, and the reasons of which one must come of it.
    pub(super) fn next(&mut self) -> (Request, &'static [&'static str]) {
        self.number = self.number.wrapping_add(1);
        let name = format!("{}-{}", self.client, self.number);
        let path = format!("/flights/{name}");
        self.authority.clone_from(&self.scene.authority);
        let scene = self.scene;
        let unique =
            i64::try_from(self.number.wrapping_mul(16).wrapping_add(self.client)).unwrap_or_default();
        match self.number % 24 {
            0 => (with_passport(&path, &self_issued(&name, "flights:search").to_header()), &[OK]),
            1 => (with_passport(&path, &issued(&name, KEY).to_header()), &[OK]),
            2 => {
                let request = proven(&path, &name, &scene.known, &scene.authority, b"a seat at the window");
                self.proven = Some(request.clone());
                (request, &[OK])
            }
            3 => match &self.proven {
                Some(request) => (request.clone(), &["request_replayed"]),
                None => (Request::new("GET", "/health"), &[OK]),
            },
            4 => (simpleguard(&path, unique, b"a seat at the aisle", b"a seat at the aisle"), &[OK]),
            5 => {
                (simpleguard(&path, unique, b"a seat at the aisle", b"every seat"), &["body_digest_mismatch"])
            }
            6 => (Request::new("GET", &path), &["credential_missing"]),
            7 => {
                let forged =
                    self_issued(&name, "flights:search").to_json().replace("flights:search", "flights:*");
                (
                    with_passport(&path, &format!(":{}:", base64::encode(forged.as_bytes()))),
                    &["signature_invalid"],
                )
            }
            8 => (
                with_passport(&path, &issued(&name, "ik_nobody").to_header()),
                &["signature_key_unavailable"],
            ),
            9 => (with_passport(&path, &scene.revoked), &["passport_revoked"]),
            10 => (with_passport(&path, &scene.elsewhere), &["permission_denied"]),
            11 => (with_passport(&path, &scene.expired), &["passport_expired"]),
            12 => (with_passport(&path, &scene.rated), &[OK, "rate_limit_exceeded"]),
            13 => (
                with_passport(&format!("/nowhere/{name}/{}", "long/".repeat(100)), &scene.known),
                &["route_unknown"],
            ),
            14 => {
                self.authority = format!("{}.example", self.number);
                (with_passport(&path, &scene.known), &["authority_unknown"])
            }
            15 => (
                with_passport(&path, &format!(":{}:", base64::encode(name.as_bytes()))),
                &["invalid_envelope_shape"],
            ),
            16 => (with_header(&path, "x-capiscio-badge", &name), &["BADGE_MALFORMED"]),
            17 => (mcp(&scene.known, &name, "search"), &[OK]),
            18 => (mcp(&scene.known, &name, "drop_tables"), &["mcp_tool_unknown"]),
            19 => (mcp(&scene.known, "\"", "search"), &["mcp_message_malformed"]),
            20 => (Request::new("GET", "/health"), &[OK]),
            _ => (with_passport(&path, &scene.known), &[OK]),
        }
    }
}

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

fn draft(id: &str, action: &str, constraints: &[u8]) -> Draft {
    const LIMITS: Limits = Limits { bytes: 200, depth: 2, values: 4 };
    let read = parse(constraints, LIMITS).ok().map(Strict::into_owned);
    let constraints = read.as_ref().and_then(Strict::as_object).cloned().unwrap_or_default();
    Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: vec![(action.to_owned(), constraints)],
        issued_at: now(),
        // Longer than any run.
        expires_at: now().plus_millis(24 * 3_600_000),
        delegation_authority: false,
    }
}

fn self_issued(name: &str, action: &str) -> Signed {
    self_issue(&agent(), &draft(&format!("pp_{name}"), action, &[]))
}

fn issued(name: &str, key_id: &str) -> Signed {
    let by = Issuer { kind: RootKind::Platform, id: ISSUER.into(), key_id: key_id.into(), gate_id: None };
    let public_key = agent().public_key();
    let draft = draft(&format!("pp_of_issuer_{name}"), "flights:search", &[]);
    issue(&issuer(), &by, &self_agent_id(&public_key), &public_key, &draft)
}

fn with_header(path: &str, name: &str, value: &str) -> Request {
    let mut request = Request::new("GET", path);
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn with_passport(path: &str, passport: &str) -> Request {
    with_header(path, "agent-passport", passport)
}

/// With a proof of the agent, whose nonce is this name.
fn proven(path: &str, name: &str, passport: &str, authority: &str, body: &[u8]) -> Request {
    let holder = agent();
    let nonce = base64::encode_url(format!("the nonce {name:>20}").as_bytes());
    let draft = ProofDraft {
        method: "POST",
        authority,
        path,
        query: None,
        credential: ("agent-passport", passport),
        body: Some(body),
        key_id: &self_agent_id(&holder.public_key()),
        created: now(),
        expires: None,
        nonce: &nonce,
    };
    let mut request = with_passport(path, passport);
    request.method = "POST".to_owned();
    request.headers.extend(draft.sign(&holder).into_iter().map(|(name, value)| (name.to_owned(), value)));
    request.body = body.to_vec();
    request
}

/// Signed over `signed`, with this number among its claims: two of one second would otherwise be one.
fn simpleguard(path: &str, number: i64, signed: &[u8], body: &[u8]) -> Request {
    let claims = Object::from([("task", Strict::integer(number))]);
    let token = sign_request(&agent(), KEY, claims, Some(signed), now());
    let mut request = with_header(path, "x-capiscio-jws", &token);
    request.method = "POST".to_owned();
    request.body = body.to_vec();
    request
}

fn mcp(passport: &str, id: &str, tool: &str) -> Request {
    let mut request = with_passport("/mcp", passport);
    request.method = "POST".to_owned();
    request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
    request.body = format!(
        r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
    .into_bytes();
    request
}
