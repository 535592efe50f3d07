//! What an agent does: credentials of its own, delegation, signed requests.
//!
//! The key may be JavaScript's alone. So what is signed is made twice, the same each time:
//! without a signature the answer says which bytes are to be signed, with it, what was made.

use crate::answer::{Answer, answer, owned, public_jwk, thrown, time};
use crate::credential;
use crate::input::{Given, Unusable, json};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use portcullis_core::capiscio::did_of_key;
use portcullis_core::json::{Object, Value};
use portcullis_core::modei::{
    Draft, SelfContained, Sign, Signed, delegate_with, from_json, from_jwt, self_agent_id, self_issue_with,
    self_issuer_id, verify,
};
use portcullis_core::{
    CLOCK_SKEW_MS, Denial, Handed, Holder, Kind, Method, ProofDraft, ProofWindows, PublicKey, Reason,
    RequestHead, SecretKey, UnixTime, base64, nonce_wanted, verify_proof,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// The Ed25519 signature (RFC 8032) of bytes by the key of a 32-byte seed.
///
/// # Errors
/// The seed has another length.
#[wasm_bindgen]
pub fn sign(seed: &[u8], bytes: &[u8]) -> Result<Box<[u8]>, String> {
    let signature = secret(seed).map(|key| key.sign(bytes));
    signature.map(|signature| signature.into()).map_err(|unusable| thrown(&unusable))
}

/// The public key of a 32-byte seed.
///
/// # Errors
/// The seed has another length.
#[wasm_bindgen(js_name = publicKey)]
pub fn public_key(seed: &[u8]) -> Result<Box<[u8]>, String> {
    let key = secret(seed).map(|key| key.public_key());
    key.map(|key| key.into()).map_err(|unusable| thrown(&unusable))
}

/// What a public key is called, wherever agents are named by their keys.
///
/// # Errors
/// The key is none that can verify.
#[wasm_bindgen]
pub fn names(public: &[u8]) -> Answer {
    answer(public_of(public).map(|key| {
        Object::from([
            ("agent_id", owned(self_agent_id(&key))),
            ("did", owned(did_of_key(&key))),
            ("issuer_id", owned(self_issuer_id(&key))),
            ("public_key", owned(base64::encode(&key))),
            ("public_key_jwk", public_jwk(&key)),
        ])
    }))
}

/// A passport that an agent issues for itself, or delegates where `given.parent` is there.
/// Without a `signature`, what is to be signed; with it, the passport, verified before it is
/// handed out.
///
/// # Errors
/// What is not of its form, or what a verifier would say to the result.
#[wasm_bindgen]
pub fn passport(given: &[u8], signature: Option<Box<[u8]>>) -> Answer {
    answer(two_steps(signature.as_deref(), |with| make_passport(given, with)))
}

/// The headers of a signed request (RFC 9421). `given.credential` travels with it. Without a
/// `signature`, what is to be signed.
///
/// # Errors
/// What is not of its form, or what a gate would say to the proof.
#[wasm_bindgen]
pub fn proof(given: &[u8], body: Option<Box<[u8]>>, signature: Option<Box<[u8]>>) -> Answer {
    answer(two_steps(signature.as_deref(), |with| make_proof(given, body.as_deref(), with)))
}

/// What is to be signed, or what was made with the signature of that.
fn two_steps(
    signature: Option<&[u8]>,
    make: impl Fn(&Signing<'_>) -> Result<Object<'static>, Unusable>,
) -> Result<Object<'static>, Unusable> {
    let signature: Option<[u8; 64]> = match signature {
        None => None,
        Some(bytes) => Some(bytes.try_into().map_err(|_| Unusable::argument("the signature", "64 bytes"))?),
    };
    let asked = RefCell::new(Vec::new());
    let with = |bytes: &[u8]| {
        *asked.borrow_mut() = bytes.to_vec();
        signature.unwrap_or([0; 64])
    };
    let made = make(&Signing { with: &with, is_signed: signature.is_some() })?;
    if signature.is_some() {
        return Ok(made);
    }
    // Canonical JSON and signature bases are text.
    Ok(Object::from([("to_sign", owned(String::from_utf8_lossy(&asked.into_inner()).into_owned()))]))
}

struct Signing<'s> {
    with: Sign<'s>,
    /// Whether `with` signs; otherwise what is made is not looked at.
    is_signed: bool,
}

fn make_passport(given: &[u8], signing: &Signing<'_>) -> Result<Object<'static>, Unusable> {
    let given = json(given)?;
    let known = [
        "delegable",
        "expires_at",
        "form",
        "id",
        "issued_at",
        "name",
        "parent",
        "permissions",
        "public_key",
        "to",
    ];
    let given = Given::of("options", &given, &known)?;
    let key = public_of(&base64::decode(given.text("public_key")?).unwrap_or_default())?;
    let (issued_at, mut expires_at) = (given.time("issued_at")?, given.time("expires_at")?);
    let parent = given.optional_text("parent")?.map(parent).transpose()?;
    if let Some(limit) = parent.as_ref().and_then(expiry) {
        if limit <= issued_at {
            let detail = ["the parent was valid until ", &limit.to_iso()].concat();
            return Err(Denial::new(Reason::PassportExpired, detail).into());
        }
        // A child lives no longer than its parent.
        expires_at = expires_at.min(limit);
    }
    let prefix = if parent.is_some() { "pp_delegate_" } else { "pp_self_" };
    let draft = Draft {
        passport_id: [prefix, given.text("id")?].concat(),
        agent_name: given.optional_text("name")?.map(Into::into),
        permissions: permissions(given.list("permissions")?)?,
        issued_at,
        expires_at,
        delegation_authority: given.optional("delegable").and_then(Value::as_bool).unwrap_or(false),
    };
    // A JWT is signed anew: the envelope's own signature then is of no use, and not made.
    let is_jwt = given.optional_text("form")? == Some("jwt");
    let none: Sign<'_> = &|_| [0; 64];
    let with = if is_jwt { none } else { signing.with };
    let signed = match &parent {
        None => self_issue_with(&key, &draft, with),
        Some(parent) => {
            let to = public_of(&base64::decode(given.text("to")?).unwrap_or_default())?;
            delegate_with(parent, &key, &to, &draft, with)?
        }
    };
    let jwt = is_jwt.then(|| signed.to_jwt_with(signing.with));
    if signing.is_signed {
        check_passport(&signed, jwt.as_deref())?;
    }
    let (kind, name, value) = match &jwt {
        Some(jwt) => (Kind::PassportJwt, "authorization", ["Bearer ", jwt].concat()),
        None => (Kind::Passport, "agent-passport", signed.to_header()),
    };
    let agent = ["identity", "agent_id"]
        .iter()
        .try_fold(signed.envelope(), |value, name| value.as_object()?.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok(Object::from([
        ("agent_id", owned(agent)),
        ("credential", owned(jwt.unwrap_or_else(|| signed.to_json()))),
        ("expires_at", time(expires_at)),
        ("header", Object::from([("name", Value::from(name)), ("value", owned(value))]).into()),
        ("issued_at", time(issued_at)),
        ("kind", Value::from(kind.name())),
        ("passport_id", owned(draft.passport_id)),
    ]))
}

/// Nothing is handed out that no gate takes, as far as that can be told without issuers' keys.
fn check_passport(signed: &Signed, jwt: Option<&str>) -> Result<(), Denial> {
    let envelope = match jwt {
        Some(jwt) => from_jwt(jwt.as_bytes())?,
        None => from_json(signed.to_json().into_bytes()),
    };
    match verify(&envelope, &SelfContained) {
        Err(denial) if denial.reason != Reason::SignatureKeyUnavailable => Err(denial),
        _ => Ok(()),
    }
}

fn parent(text: &str) -> Result<Signed, Unusable> {
    let credential = credential::of_kind("passport", text.as_bytes())?;
    if credential.kind() == Kind::PassportJwt {
        let detail = "the parent is a JWT, whose signature cannot stand in a delegation chain";
        return Err(Unusable::new("INVALID_ARGUMENT", detail));
    }
    let text = credential.text().ok_or_else(|| Unusable::argument("parent", "a passport that is whole"))?;
    Ok(Signed::from_json(&text)?)
}

/// When a passport expires, by its own word.
fn expiry(passport: &Signed) -> Option<UnixTime> {
    ["provenance", "expires_at"]
        .iter()
        .try_fold(passport.envelope(), |value, name| value.as_object()?.get(name))
        .and_then(Value::as_str)
        .and_then(UnixTime::from_iso)
}

fn permissions(list: &[Value<'_>]) -> Result<Vec<(String, Object<'static>)>, Unusable> {
    let read = |value: &Value<'_>| {
        if let Some(key) = value.as_str() {
            return Ok((key.into(), Object::default()));
        }
        let given = Given::of("permission", value, &["constraints", "permission_key"])?;
        let constraints = match given.optional("constraints") {
            None => Object::default(),
            Some(value) => value
                .as_object()
                .cloned()
                .ok_or_else(|| given.fault("constraints", "an object"))?
                .into_owned(),
        };
        Ok((given.text("permission_key")?.into(), constraints))
    };
    list.iter().map(read).collect()
}

fn make_proof(given: &[u8], body: Option<&[u8]>, signing: &Signing<'_>) -> Result<Object<'static>, Unusable> {
    let given = json(given)?;
    let known = [
        "authority",
        "challenge",
        "created",
        "credential",
        "expires_at",
        "method",
        "nonce",
        "path",
        "public_key",
        "query",
    ];
    let given = Given::of("options", &given, &known)?;
    let key = public_of(&base64::decode(given.text("public_key")?).unwrap_or_default())?;
    let carried = Carried::read(given.text("credential")?)?;
    if carried.key.is_some_and(|named| named != key) {
        let detail = "the key is not the one that the credential names, with which alone its agent can sign";
        return Err(Unusable::new("WRONG_KEY", detail));
    }
    let method = given.text("method")?;
    if Method::from_name(method.as_bytes()).is_none() {
        return Err(given.fault("method", "DELETE, GET, HEAD, OPTIONS, PATCH, POST or PUT"));
    }
    let nonce = match given.optional_text("challenge")? {
        None => given.text("nonce")?,
        Some(challenge) => nonce_wanted(challenge)
            .ok_or_else(|| given.fault("challenge", "an Accept-Signature with a nonce for `agent`"))?,
    };
    let created = given.time("created")?;
    let draft = ProofDraft {
        method,
        authority: given.text("authority")?,
        path: given.text("path")?,
        query: given.optional_text("query")?,
        credential: (carried.header, &carried.value),
        body,
        key_id: &carried.agent_id,
        created,
        expires: given.optional("expires_at").map(|_| given.time("expires_at")).transpose()?,
        nonce,
    };
    let proof = draft.sign_with(signing.with);
    let sent: Vec<_> = core::iter::once((carried.header, carried.value.clone())).chain(proof).collect();
    if signing.is_signed {
        check_proof(&draft, &sent, &key)?;
    }
    let mut headers = Object::default();
    for (name, value) in sent {
        headers.set(name, owned(value));
    }
    Ok(Object::from([
        ("created", Value::integer(created.as_millis().div_euclid(1000))),
        ("headers", headers.into()),
        ("keyid", owned(carried.agent_id.clone())),
        ("nonce", owned(nonce)),
    ]))
}

/// Looks at the request as a gate would.
fn check_proof(draft: &ProofDraft<'_>, headers: &[(&str, String)], key: &[u8; 32]) -> Result<(), Denial> {
    const WINDOWS: ProofWindows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: 300_000 };
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let path = match draft.query {
        Some(query) => [draft.path, "?", query].concat(),
        None => draft.path.to_string(),
    };
    let head = RequestHead {
        method: draft.method.as_bytes(),
        authority: draft.authority.as_bytes(),
        path: path.as_bytes(),
        headers: &headers,
        source: None,
    };
    let malformed = || Denial::new(Reason::PublicKeyMalformed, "the key is none that can be verified with");
    let key = PublicKey::from_bytes(key).ok_or_else(malformed)?;
    let holder = Holder { key: &key, id: draft.key_id };
    verify_proof(&head, draft.credential.0, &holder, &WINDOWS, draft.created).map(|_| ())
}

/// A credential, by whom it may be used, and how it travels.
struct Carried {
    header: &'static str,
    value: String,
    agent_id: String,
    /// The agent's key, where the credential says it.
    key: Option<[u8; 32]>,
}

impl Carried {
    fn read(text: &str) -> Result<Self, Unusable> {
        let cut_off = || Unusable::argument("credential", "whole: it does not say whose it is");
        let credential = Handed::recognise(text.as_bytes())?;
        let (header, value) = credential.header().ok_or_else(cut_off)?;
        if credential.kind() == Kind::SimpleGuard {
            let agent_id = portcullis_core::capiscio::key_id(credential.token())?;
            return Ok(Carried { header, value, agent_id, key: None });
        }
        let contents = credential.text().ok_or_else(cut_off)?;
        let contents = json(&contents)?;
        let at = |path: &[&str]| {
            let value = path.iter().try_fold(&contents, |value, name| value.as_object()?.get(name));
            value.and_then(Value::as_str)
        };
        let (agent_id, key) = match credential.kind() {
            Kind::Passport => (
                at(&["passport_json", "identity", "agent_id"]),
                at(&["passport_json", "identity", "public_key"]).and_then(base64::decode),
            ),
            Kind::PassportJwt => {
                (at(&["identity", "agent_id"]), at(&["identity", "public_key"]).and_then(base64::decode))
            }
            Kind::Badge | Kind::SimpleGuard => (at(&["sub"]), at(&["key", "x"]).and_then(base64::decode_url)),
        };
        let agent_id = agent_id.ok_or_else(cut_off)?.to_string();
        let key = key.and_then(|key| key.try_into().ok()).ok_or_else(cut_off)?;
        Ok(Carried { header, value, agent_id, key: Some(key) })
    }
}

fn secret(seed: &[u8]) -> Result<SecretKey, Unusable> {
    let seed: Option<[u8; 32]> = seed.try_into().ok();
    // One of zeros was never random, and the compact backend panics over it.
    let seed = seed.filter(|seed| *seed != [0; 32]);
    seed.map(SecretKey::from_seed)
        .ok_or_else(|| Unusable::argument("the private key", "a random seed of 32 bytes"))
}

fn public_of(bytes: &[u8]) -> Result<[u8; 32], Unusable> {
    let key: Option<[u8; 32]> = bytes.try_into().ok();
    key.filter(|key| PublicKey::from_bytes(key).is_some())
        .ok_or_else(|| Unusable::argument("a public key", "the base64 of an Ed25519 key of large order"))
}
