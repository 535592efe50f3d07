//! What `issue` and `delegate` have in common: what a passport is to say, and how it
//! is handed out.

use crate::explain::Explained;
use crate::files::{self, Existing, Readers};
use crate::keyfile;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, anyhow};
use portcullis_core::json::{self, Limits, Object};
use portcullis_core::modei::{Draft, Signed};
use portcullis_core::{Denial, Kind, SecretKey, UnixTime};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a passport is to say.
#[derive(clap::Args)]
pub(crate) struct DraftArgs {
    /// An action that the passport grants, with its constraints as JSON where it has
    /// any: flights:search, or flights:book={"max_per_action_cost":500}; repeatable
    #[arg(long = "permission", required = true, value_name = "KEY[=JSON]", value_parser = permission)]
    permissions: Vec<Permission>,
    /// The agent's name, for people
    #[arg(long)]
    name: Option<String>,
    /// Let the holder delegate the passport
    #[arg(long)]
    delegable: bool,
    /// Issue it as at this time, RFC 3339 in UTC [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<UnixTime>,
}

/// How a passport is handed out.
#[derive(clap::Args)]
pub(crate) struct FormArgs {
    /// As a JWT rather than as JSON
    #[arg(long)]
    jwt: bool,
    /// As the whole header line, for `curl -H @FILE`
    #[arg(long)]
    header: bool,
    /// To this file, readable by its owner alone; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

#[derive(Clone)]
struct Permission {
    key: String,
    constraints: Object<'static>,
}

impl DraftArgs {
    /// When the passport is issued.
    pub(crate) fn issued_at(&self) -> Result<UnixTime> {
        self.at.map_or_else(now, Ok)
    }

    /// The draft of a passport, under a new id that begins with `prefix`.
    pub(crate) fn draft(&self, prefix: &str, issued_at: UnixTime, expires_at: UnixTime) -> Result<Draft> {
        Ok(Draft {
            passport_id: format!("{prefix}{}", random_hex()?),
            agent_name: self.name.clone(),
            permissions: self
                .permissions
                .iter()
                .map(|permission| (permission.key.clone(), permission.constraints.clone()))
                .collect(),
            issued_at,
            expires_at,
            delegation_authority: self.delegable,
        })
    }

    /// What the person who wrote the arguments may not expect.
    pub(crate) fn notes(&self) -> Vec<String> {
        let wild = self.permissions.iter().filter(|permission| permission.key.contains('*'));
        wild.map(|permission| {
            format!(
                "`{}` grants the action of exactly that name: passports have no wildcards, only issuers' ceilings do",
                shown(&permission.key)
            )
        })
        .collect()
    }
}

impl FormArgs {
    /// Hands out a passport that `signer` signed.
    pub(crate) fn answer(&self, signed: &Signed, signer: &SecretKey, draft: &Draft) -> Result<Answer> {
        let text = match (self.jwt, self.header) {
            (false, false) => signed.to_json(),
            (false, true) => format!("Agent-Passport: {}", signed.to_header()),
            (true, false) => signed.to_jwt(signer),
            (true, true) => format!("Authorization: Bearer {}", signed.to_jwt(signer)),
        };
        let is_printed = files::is_standard(&self.out);
        let member = |path: [&str; 2]| {
            let value = path.iter().try_fold(signed.envelope(), |value, name| value.as_object()?.get(name));
            value.and_then(json::Value::as_str).unwrap_or_default().to_owned()
        };
        let made = Made {
            kind: if self.jwt { Kind::PassportJwt } else { Kind::Passport }.name(),
            passport_id: draft.passport_id.clone(),
            agent_id: member(["identity", "agent_id"]),
            issued_at: draft.issued_at.to_iso(),
            expires_at: draft.expires_at.to_iso(),
            file: (!is_printed).then(|| self.out.display().to_string()),
            credential: is_printed.then(|| text.clone()),
        };
        let human = if is_printed {
            text
        } else {
            save(&self.out, &text)?;
            let mut lines = Lines::headed(format!("Passport in {}", self.out.display()));
            lines.add("passport", &made.passport_id);
            lines.add("agent", &made.agent_id);
            lines.add("valid until", &made.expires_at);
            lines.into_text()
        };
        let is_too_long = signed.to_header().len() > MAX_HEADERS;
        let note = "the passport is longer than the 60 KiB of headers that proxies usually let through";
        Ok(Answer::new(Verdict::Done, human, &made)?
            .noting(is_too_long.then(|| note.into()).into_iter().collect()))
    }
}

/// An answer that says why no passport was made.
pub(crate) fn refusal(denial: &Denial) -> Result<Answer> {
    let explanation = Explained::of(denial.reason);
    let code = denial.reason.code();
    let mut lines = Lines::headed(format!("REFUSED      {code}"));
    lines.add("found", shown(&denial.detail));
    explanation.describe(&mut lines);
    let json =
        serde_json::json!({ "reason_code": code, "detail": denial.detail, "explanation": explanation });
    Answer::new(Verdict::Refused, lines.into_text(), &json)
}

/// The time by the system's clock.
pub(crate) fn now() -> Result<UnixTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the system's clock is before 1970")?;
    Ok(UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// Reads a time from the command line.
pub(crate) fn time(text: &str) -> Result<UnixTime, String> {
    let time = UnixTime::from_rfc3339(text);
    time.ok_or_else(|| "a time is RFC 3339 in UTC, as in 2026-01-31T12:00:00Z".into())
}

/// Reads a lifetime from the command line.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let form = || String::from("a lifetime is a number and a unit, as in 30d, 24h or 10m");
    let lifetime = humantime::parse_duration(text).map_err(|_| form())?;
    if lifetime.as_millis() == 0 { Err(form()) } else { Ok(lifetime) }
}

/// The time `lifetime` after `start`.
pub(crate) fn end(start: UnixTime, lifetime: Duration) -> UnixTime {
    start.plus_millis(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}

#[derive(Serialize)]
struct Made {
    kind: &'static str,
    passport_id: String,
    agent_id: String,
    issued_at: String,
    expires_at: String,
    file: Option<String>,
    /// The passport in the form that was asked for, where no file was.
    credential: Option<String>,
}

/// What Envoy lets through in all of a request's headers, unless configured otherwise.
const MAX_HEADERS: usize = 60 * 1024;

/// A passport alone opens a gate of profile L1: its file is nobody else's to read. It
/// may replace an older passport, but never a key.
fn save(path: &Path, text: &str) -> Result<()> {
    keyfile::keep(path)?;
    files::write(path, &format!("{text}\n"), Readers::Owner, Existing::Replace)
}

fn permission(text: &str) -> Result<Permission, String> {
    let (key, constraints) = match text.split_once('=') {
        None => (text, None),
        Some((key, constraints)) => (key, Some(constraints)),
    };
    if key.is_empty() {
        return Err("the permission's key is missing, as in flights:search".into());
    }
    let constraints = match constraints {
        None => Object::default(),
        Some(text) => {
            // What fits into an envelope of 64 KiB, and nests no deeper than the
            // verifier reads.
            let limits = Limits { bytes: 65_536, depth: 16, values: 8_192 };
            let value =
                json::parse(text.as_bytes(), limits).map_err(|error| format!("constraints: {error}"))?;
            let object = value.as_object().cloned();
            object.ok_or("constraints are a JSON object, as in {\"max_per_action_cost\":500}")?.into_owned()
        }
    };
    Ok(Permission { key: key.into(), constraints })
}

/// A UUID of version 4 (RFC 9562 section 5.4).
pub(crate) fn uuid_v4() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, until: usize| digits.get(from..until).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
