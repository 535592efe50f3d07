//! The judgement of a signed request: its credential, and the proof by the credential's key.

use crate::answer::{Answer, answer, explained, optional, owned, time};
use crate::capiscio::{judge_badge, report_badge};
use crate::input::{Given, Unusable, json};
use crate::material::{Material, TrustMaterial};
use crate::passport;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::json::{Object, Value};
use portcullis_core::{
    BodyDigest, CLOCK_SKEW_MS, Carrier, Denial, Handed, Holder, Kind, Proof, ProofWindows, PublicKey, Reason,
    RequestHead, UnixTime, Unrecognised, verify_proof,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// As gates have it unless they are told otherwise.
const LIFE_MS: i64 = 300_000;

/// Judges the proof (RFC 9421) that a request carries, and first the credential whose key made
/// it. `request` is JSON: `method`, `authority`, `path` with the query, `headers`. `options`
/// are `at`, `audiences`, and `skew_ms` and `life_ms` where a gate is told otherwise. Whether
/// the request was seen before is for the caller to remember, by `nonce`.
///
/// # Errors
/// What is not of its form.
#[wasm_bindgen(js_name = verifyProof)]
pub fn verify_request(
    request: &[u8],
    options: &[u8],
    material: &TrustMaterial,
    body: Option<Box<[u8]>>,
) -> Answer {
    answer(judge(request, options, &material.0, body.as_deref()))
}

/// What was found, as far as it went.
#[derive(Default)]
struct Found {
    credential: Option<Object<'static>>,
    proof: Option<Proof>,
    agent: Option<String>,
}

fn judge(
    request: &[u8],
    options: &[u8],
    material: &Material,
    body: Option<&[u8]>,
) -> Result<Object<'static>, Unusable> {
    let options = json(options)?;
    let given = Given::of("options", &options, &["at", "audiences", "life_ms", "skew_ms"])?;
    let now = given.time("at")?;
    let windows = ProofWindows {
        skew_ms: given.number("skew_ms")?.unwrap_or(CLOCK_SKEW_MS),
        life_ms: given.number("life_ms")?.unwrap_or(LIFE_MS),
    };
    let audiences = given.texts("audiences")?;
    let request = json(request)?;
    let given = Given::of("request", &request, &["authority", "headers", "method", "path"])?;
    let headers = headers(&given)?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let head = RequestHead {
        method: given.text("method")?.as_bytes(),
        authority: given.text("authority")?.as_bytes(),
        path: given.text("path")?.as_bytes(),
        headers: &headers,
        source: None,
    };
    let mut found = Found::default();
    let denial = check(&head, &windows, audiences.as_deref(), material, body, now, &mut found).err();
    let proof = found.proof.map(|proof| {
        Object::from([
            ("body_checked", body.is_some().into()),
            ("created", time(proof.created())),
            ("expires_at", time(proof.last_moment())),
            ("nonce", owned(proof.nonce())),
        ])
    });
    Ok(Object::from([
        ("agent_id", optional(found.agent)),
        ("credential", found.credential.map_or(Value::Null, Value::from)),
        ("detail", optional(denial.as_ref().map(|denial| denial.detail.clone()))),
        ("explanation", explained(denial.as_ref())),
        ("judged_at", time(now)),
        ("kind", Value::from("proof")),
        ("proof", proof.map_or(Value::Null, Value::from)),
        ("reason_code", Value::from(denial.as_ref().map(|denial| denial.reason.code()))),
        ("valid", denial.is_none().into()),
    ]))
}

fn check(
    head: &RequestHead<'_>,
    windows: &ProofWindows,
    audiences: Option<&[String]>,
    material: &Material,
    body: Option<&[u8]>,
    now: UnixTime,
    found: &mut Found,
) -> Result<(), Denial> {
    let (carrier, value) = carried(head)?;
    let token = match carrier {
        Carrier::Authorization => value.split_at_checked("bearer ".len()).map_or(value, |(_, token)| token),
        _ => value,
    };
    let malformed = |why: Unrecognised| Denial::new(Reason::CredentialMalformed, why.to_string());
    let credential = match carrier {
        Carrier::AgentPassport => Handed::header_value(token),
        _ => Handed::recognise(token).map_err(malformed)?,
    };
    let (key, id) = match credential.kind() {
        Kind::Passport | Kind::PassportJwt => {
            let judged = passport::judge(&credential, material, now);
            found.credential = Some(passport::report(&credential, &judged, material, now));
            judged.denial.map_or(Ok(()), Err)?;
            judged.passport.map(|passport| (*passport.public_key(), passport.agent_id().to_string()))
        }
        Kind::Badge => {
            let judged = judge_badge(&credential, audiences, material, now);
            found.credential = Some(report_badge(&credential, &judged, now));
            judged.denial.map_or(Ok(()), Err)?;
            judged.badge.map(|badge| (*badge.key(), badge.subject().to_string()))
        }
        Kind::SimpleGuard => None,
    }
    .ok_or_else(|| Denial::new(Reason::CredentialMissing, "no header holds a passport or a Trust Badge"))?;
    let key = PublicKey::from_bytes(&key)
        .ok_or_else(|| Denial::new(Reason::PublicKeyMalformed, "the agent's key is none that can verify"))?;
    let holder = Holder { key: &key, id: &id };
    let proof = verify_proof(head, carrier.header(), &holder, windows, now)?
        .ok_or_else(|| Denial::new(Reason::ProofMissing, "the request carries no signature of its agent"))?;
    let checked = body.map_or(Ok(()), |body| check_body(&proof, body));
    found.proof = Some(proof);
    found.agent = Some(id);
    checked
}

fn check_body(proof: &Proof, body: &[u8]) -> Result<(), Denial> {
    match proof.digest() {
        Some(wanted) => {
            let mut digest = BodyDigest::new(wanted);
            digest.update(body);
            digest.check(wanted)
        }
        None if body.is_empty() => Ok(()),
        None => Err(Denial::new(Reason::BodyNotSigned, "the proof covers no body, and there is one")),
    }
}

/// The one header that carries a credential with a key of its own.
fn carried<'r>(head: &RequestHead<'r>) -> Result<(Carrier, &'r [u8]), Denial> {
    let mut found = None;
    for carrier in [Carrier::AgentPassport, Carrier::Authorization, Carrier::CapiscioBadge] {
        for (_, value) in head.headers.iter().filter(|(name, _)| *name == carrier.header().as_bytes()) {
            if !carrier.carries(value) {
                continue;
            }
            if found.replace((carrier, *value)).is_some() {
                let detail = "the request carries two credentials that do not belong together";
                return Err(Denial::new(Reason::CredentialAmbiguous, detail));
            }
        }
    }
    found.ok_or_else(|| Denial::new(Reason::CredentialMissing, "no header holds a credential"))
}

/// The request's headers, names in lower case.
fn headers(given: &Given<'_, '_>) -> Result<Vec<(String, String)>, Unusable> {
    let read = |pair: &Value<'_>| match pair.as_array()? {
        [name, value] => Some((name.as_str()?.to_ascii_lowercase(), value.as_str()?.to_string())),
        _ => None,
    };
    let headers: Option<Vec<_>> = given.list("headers")?.iter().map(read).collect();
    headers.ok_or_else(|| given.fault("headers", "a list of names and values"))
}
