//! `portcullis verify`.

use crate::credential::{Asked, Source};
use crate::draft;
use crate::explain::Explained;
use crate::output::{Answer, Lines, Verdict, shown};
use crate::trust::Material;
use crate::verify_capiscio;
use anyhow::Result;
use portcullis_core::json::{Object, canonical_text};
use portcullis_core::modei::{self, Passport, RootKind, SelfContained};
use portcullis_core::{Denial, Handed, Kind, UnixTime, check_window};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Verify a credential, alone or by a gate's trust material
///
/// Takes passports, Trust Badges and SimpleGuard signatures, and tells them apart.
/// Alone, a passport is judged as the public SDKs do, by its signatures and its chain, and
/// beyond them by its window and by what binds its ids to its keys. With --trust also
/// by whether that material admits its issuer, and by what is revoked.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The credential: passport JSON, a header's value or whole line, or a token; `-` is
    /// standard input
    #[arg(value_name = "FILE|-")]
    credential: PathBuf,
    /// Judge as at this time, RFC 3339 in UTC [default: now]
    #[arg(long, value_name = "TIME", value_parser = draft::time)]
    at: Option<UnixTime>,
    /// Judge by this trust material: what `portcullis bundle` writes, or a gate's whole
    /// configuration
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    capiscio: verify_capiscio::Options,
}

/// Judges a credential.
pub(crate) fn run(args: &Args, asked: Asked) -> Result<Answer> {
    let material = args.trust.as_deref().map(Material::read).transpose()?;
    let source = Source::read(&args.credential)?;
    let credential = source.credential()?;
    asked.check(&credential)?;
    let now = args.at.map_or_else(draft::now, Ok)?;
    if matches!(credential.kind(), Kind::Badge | Kind::SimpleGuard) {
        return verify_capiscio::run(&credential, &args.capiscio, material.as_ref(), now);
    }
    args.capiscio.check_unused()?;
    let (passport, denial) = judge(&credential, material.as_ref(), now);
    let report = Report::new(credential.kind(), passport.as_ref(), denial.as_ref(), material.as_ref(), now);
    let verdict = if report.valid { Verdict::Done } else { Verdict::Refused };
    Answer::new(verdict, report.to_text(now), &report)
}

/// The passport, as far as it could be verified, and why it is refused, if it is.
fn judge(
    credential: &Handed<'_>,
    material: Option<&Material>,
    now: UnixTime,
) -> (Option<Passport>, Option<Denial>) {
    let verified = credential.signed().and_then(|signed| match material {
        None => modei::verify(&signed, &SelfContained),
        Some(material) => modei::verify(&signed, &material.trust().roots_at(now)),
    });
    let passport = match verified {
        Ok(passport) => passport,
        Err(denial) => return (None, Some(denial)),
    };
    let standing = check_window(&passport, now).and_then(|()| match material {
        None => Ok(()),
        Some(material) => material
            .trust()
            .check_revocation(&passport)
            .map_err(|reason| Denial::new(reason, "the passport or one that it was delegated from")),
    });
    (Some(passport), standing.err())
}

/// The answer's members; those about the passport are null until its signatures hold.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    valid: bool,
    reason_code: Option<&'static str>,
    /// What was found, where it is refused.
    detail: Option<String>,
    provenance: Option<&'static str>,
    /// The issuer's tier by the trust material.
    tier: Option<u8>,
    judged_at: String,
    judged_by: &'static str,
    passport: Option<Facts>,
    explanation: Option<Explained>,
}

#[derive(Serialize)]
struct Facts {
    passport_id: String,
    agent_id: String,
    agent_name: Option<String>,
    public_key: String,
    issuer: Issuer,
    issued_at: String,
    expires_at: String,
    #[serde(skip)]
    expiry: UnixTime,
    /// The passports of the chain, root first, and itself last.
    hops: Vec<Hop>,
    /// Merged down the chain.
    permissions: Vec<Permission>,
}

#[derive(Serialize)]
struct Issuer {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    key_id: String,
}

#[derive(Serialize)]
struct Hop {
    passport_id: String,
    agent_id: String,
    issued_at: String,
    expires_at: String,
}

#[derive(Serialize)]
struct Permission {
    permission_key: String,
    constraints: serde_json::Value,
    /// Why the trust material does not let the issuer grant it; null where it does, and
    /// where there is none.
    reason_code: Option<&'static str>,
}

impl Report {
    fn new(
        kind: Kind,
        passport: Option<&Passport>,
        denial: Option<&Denial>,
        material: Option<&Material>,
        now: UnixTime,
    ) -> Self {
        let tier = passport.and_then(|passport| material?.trust().tier(passport.root()));
        Report {
            kind: kind.name(),
            valid: denial.is_none(),
            reason_code: denial.map(|denial| denial.reason.code()),
            detail: denial.map(|denial| denial.detail.to_string()),
            provenance: passport.map(|passport| passport.provenance().name()),
            tier: tier.map(portcullis_core::Tier::number),
            judged_at: now.to_iso(),
            judged_by: match material {
                None => "itself",
                Some(Material::Bundle(_)) => "bundle",
                Some(Material::Gate(_)) => "gate",
            },
            passport: passport.map(|passport| Facts::new(passport, material)),
            explanation: denial.map(|denial| Explained::of(denial.reason)),
        }
    }

    fn to_text(&self, now: UnixTime) -> String {
        let kind = match self.kind {
            "passport_jwt" => "Modei passport (JWT)",
            _ => "Modei passport",
        };
        let mut lines = match self.reason_code {
            None => Lines::headed(format!("VALID        {kind}, judged as at {}", self.judged_at)),
            Some(code) => Lines::headed(format!("REFUSED      {code}")),
        };
        if let (Some(detail), Some(explanation)) = (&self.detail, &self.explanation) {
            lines.add("kind", format!("{kind}, judged as at {}", self.judged_at));
            lines.add("found", shown(detail));
            explanation.describe(&mut lines);
        }
        match &self.passport {
            Some(facts) => facts.describe(&mut lines, now, self.provenance, self.tier),
            None => {
                lines.add("says", "nothing that can be relied on; `portcullis inspect` shows what it claims")
            }
        }
        lines.add(
            "judged by",
            match self.judged_by {
                "itself" => "itself alone: signatures, chain, window. Whether a gate admits it: --trust FILE",
                "bundle" => "a bundle: admission, signatures, chain, window, revocation",
                _ => "a gate's trust material: admission, signatures, chain, window, revocation",
            },
        );
        lines.into_text()
    }
}

impl Facts {
    fn new(passport: &Passport, material: Option<&Material>) -> Self {
        let root = passport.root();
        let ceiling = |key: &str| material?.trust().check_ceiling(root, key).err();
        Facts {
            passport_id: passport.id().into(),
            agent_id: passport.agent_id().into(),
            agent_name: passport.agent_name().map(Into::into),
            public_key: portcullis_core::base64::encode(passport.public_key()),
            issuer: Issuer {
                kind: root.kind().name(),
                id: root.issuer().into(),
                key_id: root.key_id().into(),
            },
            issued_at: passport.issued_at().to_iso(),
            expires_at: passport.expires_at().to_iso(),
            expiry: passport.expires_at(),
            hops: passport
                .hops()
                .map(|hop| Hop {
                    passport_id: hop.passport_id().into(),
                    agent_id: hop.agent_id().into(),
                    issued_at: hop.issued_at().to_iso(),
                    expires_at: hop.expires_at().to_iso(),
                })
                .collect(),
            permissions: passport
                .permissions()
                .iter()
                .map(|(key, constraints)| Permission {
                    permission_key: key.to_owned(),
                    constraints: to_serde(constraints),
                    reason_code: ceiling(key).map(portcullis_core::Reason::code),
                })
                .collect(),
        }
    }

    fn describe(&self, lines: &mut Lines, now: UnixTime, provenance: Option<&str>, tier: Option<u8>) {
        let name = self.agent_name.as_deref().map(|name| format!(" (named \"{}\")", shown(name)));
        lines.add("agent", format!("{}{}", self.agent_id, name.unwrap_or_default()));
        lines.add("passport", &self.passport_id);
        let kind = match self.issuer.kind {
            kind if kind == RootKind::SelfIssued.name() => "self-issued",
            kind if kind == RootKind::Gate.name() => "a gate",
            _ => "a platform",
        };
        let tier = tier.map(|tier| format!(", tier {tier}")).unwrap_or_default();
        let provenance = provenance.unwrap_or_default();
        lines.add("issuer", format!("{} ({kind}, provenance {provenance}{tier})", self.issuer.id));
        lines.add("valid from", &self.issued_at);
        lines.add("valid until", format!("{} ({})", self.expires_at, distance(now, self.expiry)));
        if let [_, _, ..] = self.hops.as_slice() {
            let hops: Vec<_> = self.hops.iter().map(|hop| hop.passport_id.as_str()).collect();
            lines.add("delegated", hops.join(" -> "));
        }
        for permission in &self.permissions {
            let constraints = match permission.constraints.as_object() {
                Some(members) if members.is_empty() => String::new(),
                _ => format!(" {}", shown(&permission.constraints.to_string())),
            };
            let refused =
                permission.reason_code.map(|code| format!("  not here: {code}")).unwrap_or_default();
            lines.add("may", format!("{}{constraints}{refused}", shown(&permission.permission_key)));
        }
        if self.permissions.is_empty() {
            lines.add("may", "nothing: it has no permissions");
        }
    }
}

/// How far off a time is, in the two largest units.
pub(crate) fn distance(now: UnixTime, then: UnixTime) -> String {
    let millis = then.as_millis().saturating_sub(now.as_millis());
    let seconds = Duration::from_secs(millis.unsigned_abs() / 1000);
    let text = humantime::format_duration(seconds).to_string();
    let text = text.split(' ').take(2).collect::<Vec<_>>().join(" ");
    if millis > 0 { format!("in {text}") } else { format!("{text} ago") }
}

fn to_serde(object: &Object<'_>) -> serde_json::Value {
    // Canonical text is JSON, so this cannot fail.
    serde_json::from_str(&canonical_text(&object.clone().into())).unwrap_or_default()
}
