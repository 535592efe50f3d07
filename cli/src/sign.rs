//! `portcullis sign`.

use crate::credential::{self, Source};
use crate::draft;
use crate::files;
use crate::keyfile;
use crate::output::{Answer, Verdict};
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::{
    CLOCK_SKEW_MS, Handed, Holder, Kind, Method, ProofDraft, ProofWindows, PublicKey, RequestHead, SecretKey,
    base64, capiscio, nonce_wanted, verify_proof,
};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Sign a request with an agent's key, for gates of profile L2 and L3
///
/// Prints the headers to send, the credential's too, one in a line, as `curl -H @FILE`
/// takes them. They are good once, for this request alone, for five minutes.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The agent's private key: the one that the credential names
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    credential: From,
    /// The method, in capitals
    #[arg(value_name = "METHOD")]
    method: String,
    /// The URL, as it is sent
    #[arg(value_name = "URL")]
    url: String,
    /// The body, byte for byte as it is sent; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The nonce [default: 16 random bytes]
    #[arg(long, value_name = "NONCE", conflicts_with = "challenge")]
    nonce: Option<String>,
    /// What a gate answered in Accept-Signature, from which the nonce is taken
    #[arg(long, value_name = "VALUE")]
    challenge: Option<String>,
    /// Let the proof expire earlier, after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    expires: Option<u16>,
}

/// The credential that the request carries.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct From {
    /// A passport, in any form that `verify` takes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    passport: Option<PathBuf>,
    /// A Trust Badge; `-` is standard input
    #[arg(long, value_name = "FILE")]
    badge: Option<PathBuf>,
    /// The header that carries a credential, as `authorization:Bearer …`
    #[arg(long, value_name = "NAME:VALUE")]
    credential_header: Option<String>,
}

/// A credential, by whom it may be used, and how it travels.
struct Carried {
    header: String,
    value: String,
    /// What `keyid` must be.
    agent_id: String,
    /// The agent's key, where the credential says it.
    key: Option<[u8; 32]>,
}

/// What is left to programs of their own, which need not hold the body in memory.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// As gates have them unless they are told otherwise.
const WINDOWS: ProofWindows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: 300_000 };

pub(crate) fn run(args: &Args) -> Result<Answer> {
    let key = keyfile::load_secret(&args.key)?;
    let carried = args.credential.read()?;
    if carried.key.is_some_and(|named| named != key.public_key()) {
        bail!("--key is not the key that the credential names, with which alone its agent can sign");
    }
    let (authority, path, query) = target(&args.url)?;
    if Method::from_name(args.method.as_bytes()).is_none() {
        bail!("the method is one of DELETE, GET, HEAD, OPTIONS, PATCH, POST and PUT");
    }
    let body = args.body.as_deref().map(|file| files::read_or_stdin(file, MAX_BODY)).transpose()?;
    let created = draft::now()?;
    let nonce = args.nonce()?;
    let draft = ProofDraft {
        method: &args.method,
        authority,
        path,
        query,
        credential: (&carried.header, &carried.value),
        body: body.as_deref(),
        key_id: &carried.agent_id,
        created,
        expires: args.expires.map(|seconds| created.plus_millis(i64::from(seconds).saturating_mul(1000))),
        nonce: &nonce,
    };
    let proof = draft.sign(&key);
    let headers: Vec<_> =
        std::iter::once((carried.header.as_str(), carried.value.clone())).chain(proof).collect();
    check(&draft, &headers, &key)?;
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let members: Map<String, Value> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let json = serde_json::json!({
        "headers": members,
        "keyid": carried.agent_id,
        "nonce": nonce,
        "created": created.as_millis().div_euclid(1000),
        "expires": draft.expires.map(|expires| expires.as_millis().div_euclid(1000)),
    });
    Answer::new(Verdict::Done, lines, &json)
}

impl Args {
    fn nonce(&self) -> Result<String> {
        if let Some(challenge) = &self.challenge {
            let value = match challenge.split_once(':') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("accept-signature") => value,
                _ => challenge,
            };
            let nonce = nonce_wanted(value);
            return nonce.map(Into::into).context(
                "--challenge is no Accept-Signature with a nonce for `agent`, as in agent=(…);nonce=\"…\"",
            );
        }
        if let Some(nonce) = &self.nonce {
            return Ok(nonce.clone());
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
        Ok(base64::encode_url(&bytes))
    }
}

impl From {
    fn read(&self) -> Result<Carried> {
        if let Some(line) = &self.credential_header {
            let (header, value) = line.split_once(':').context("--credential-header is NAME:VALUE")?;
            let (header, value) = (header.trim().to_ascii_lowercase(), value.trim().to_owned());
            let line = format!("{header}: {value}");
            let credential = Handed::recognise(line.as_bytes());
            let credential = credential.context("--credential-header carries no credential")?;
            let (own, _) = credential::header(&credential)?;
            let may_carry = header == own
                || (header == "authorization" && credential.kind() == Kind::Badge)
                || (header == "x-capiscio-badge" && credential.kind() == Kind::SimpleGuard);
            if !may_carry {
                bail!("no gate looks for this credential in the header {header}; it belongs in {own}");
            }
            return Carried::of(&credential, header, value);
        }
        let (path, is_passport) = match (&self.passport, &self.badge) {
            (Some(path), _) => (path, true),
            (_, Some(path)) => (path, false),
            _ => bail!("--passport, --badge or --credential-header must say what credential to send"),
        };
        let source = Source::read(path)?;
        let credential = source.credential()?;
        let is_asked = match credential.kind() {
            Kind::Passport | Kind::PassportJwt => is_passport,
            Kind::Badge => !is_passport,
            Kind::SimpleGuard => false,
        };
        if !is_asked {
            let asked = if is_passport { "passport" } else { "Trust Badge" };
            bail!("{} is no {asked}, but a credential of another kind", path.display());
        }
        let (header, value) = credential::header(&credential)?;
        Carried::of(&credential, header.into(), value)
    }
}

impl Carried {
    fn of(credential: &Handed<'_>, header: String, value: String) -> Result<Self> {
        if credential.kind() == Kind::SimpleGuard {
            let agent_id = capiscio::key_id(credential.token()).map_err(|denial| anyhow!("{denial}"))?;
            return Ok(Carried { header, value, agent_id, key: None });
        }
        let contents: Value = serde_json::from_slice(&credential::text(credential)?)
            .context("the credential is no JSON; it may be cut off")?;
        let text = |pointer: &str| contents.pointer(pointer).and_then(Value::as_str);
        let (agent_id, key) = match credential.kind() {
            Kind::Passport => (
                text("/passport_json/identity/agent_id"),
                text("/passport_json/identity/public_key").and_then(base64::decode),
            ),
            Kind::PassportJwt => {
                (text("/identity/agent_id"), text("/identity/public_key").and_then(base64::decode))
            }
            Kind::Badge | Kind::SimpleGuard => (text("/sub"), text("/key/x").and_then(base64::decode_url)),
        };
        let agent_id = agent_id.context("the credential does not say whose it is")?.to_owned();
        let key = key.and_then(|key| key.try_into().ok()).context("the credential names no agent key")?;
        Ok(Carried { header, value, agent_id, key: Some(key) })
    }
}

/// The authority, path and query of a URL, as they are sent.
fn target(url: &str) -> Result<(&str, &str, Option<&str>)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.context("the URL must begin with https:// or http://")?;
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the URL must be percent-encoded, as it is sent");
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        bail!("the URL must name a host, and no user before it");
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Ok((authority, path, query))
}

/// Looks at the request as a gate would: nothing is handed out that no gate takes.
fn check(draft: &ProofDraft<'_>, headers: &[(&str, String)], key: &SecretKey) -> Result<()> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let path = match draft.query {
        Some(query) => format!("{}?{query}", draft.path),
        None => draft.path.to_owned(),
    };
    let head = RequestHead {
        method: draft.method.as_bytes(),
        authority: draft.authority.as_bytes(),
        path: path.as_bytes(),
        headers: &headers,
        source: None,
    };
    let key =
        PublicKey::from_bytes(&key.public_key()).context("the key is none that can be verified with")?;
    let holder = Holder { key: &key, id: draft.key_id };
    let verdict = verify_proof(&head, draft.credential.0, &holder, &WINDOWS, draft.created);
    match verdict {
        Ok(_) => Ok(()),
        Err(denial) => Err(anyhow!("no gate would take this proof: {denial}")),
    }
}
