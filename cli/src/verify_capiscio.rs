//! `portcullis verify` for CapiscIO's credentials.

use crate::bundle_badges::read_jwks;
use crate::explain::Explained;
use crate::files;
use crate::keyfile;
use crate::output::{Answer, Lines, Verdict, shown};
use crate::trust::{Material, at};
use crate::verify::distance;
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::capiscio::{self, Audience, Badge, did_of_key, verify_request_signature};
use portcullis_core::{
    AcceptSelfSigned, BadgeIssuerConfig, Compatibility, Denial, Handed, KeyConfig, Kind, Profile, PublicKey,
    Trust, TrustConfig, UnixTime, base64, sha256,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What only CapiscIO's credentials are judged by.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Badges: a name that `aud` may call the verifier by; repeatable [default: those of
    /// a gate's configuration; otherwise aud is not compared]
    #[arg(long = "audience", value_name = "NAME")]
    audiences: Vec<String>,
    /// Badges: accept level 0, which agents sign themselves; for development
    #[arg(long, conflicts_with = "trust")]
    accept_self_signed: bool,
    /// Badges: trust this issuer, with the keys of --jwks or --issuer-key
    #[arg(long, value_name = "ORIGIN", conflicts_with = "trust")]
    issuer: Option<String>,
    /// Badges: the issuer's JWK set
    #[arg(long, value_name = "FILE", requires = "issuer")]
    jwks: Option<PathBuf>,
    /// Badges: the issuer's key, under the `kid` that follows it
    #[arg(long, num_args = 2, value_names = ["FILE", "KID"], requires = "issuer", conflicts_with = "jwks")]
    issuer_key: Option<Vec<String>>,
    /// Badges: let the issuer depart from RFC-002 in these ways
    #[arg(long, value_name = "SWITCH,…", value_delimiter = ',', value_parser = switch, conflicts_with = "trust")]
    compatibility: Vec<Compatibility>,
    /// SimpleGuard: the body that came with the signature [default: it is not compared]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// SimpleGuard: the agent's public key, whatever kid the signature names
    #[arg(long, value_name = "FILE", conflicts_with = "trust")]
    key: Option<PathBuf>,
}

impl Options {
    /// # Errors
    /// An option that has no meaning for this kind of credential.
    fn check_kind(&self, kind: Kind) -> Result<()> {
        let for_badges = !self.audiences.is_empty() || self.accept_self_signed || self.issuer.is_some();
        if kind == Kind::SimpleGuard && (for_badges || !self.compatibility.is_empty()) {
            bail!("the credential is a SimpleGuard signature, and an option is for badges only");
        }
        if kind == Kind::Badge && (self.body.is_some() || self.key.is_some()) {
            bail!("the credential is a badge, and an option is for SimpleGuard signatures only");
        }
        if !self.compatibility.is_empty() && self.issuer.is_none() && !self.accept_self_signed {
            bail!("--compatibility is for whom --issuer or --accept-self-signed trusts");
        }
        Ok(())
    }

    /// # Errors
    /// An option that has no meaning for a passport: it must not seem to have been heeded.
    pub(crate) fn check_unused(&self) -> Result<()> {
        let is_used = !self.audiences.is_empty()
            || self.accept_self_signed
            || self.issuer.is_some()
            || !self.compatibility.is_empty()
            || self.body.is_some()
            || self.key.is_some();
        if is_used {
            bail!("the credential is a passport, and an option is for CapiscIO's credentials only")
        }
        Ok(())
    }
}

/// Judges a badge or a signature.
pub(crate) fn run(
    credential: &Handed<'_>,
    options: &Options,
    material: Option<&Material>,
    now: UnixTime,
) -> Result<Answer> {
    let mut report = Report {
        kind: credential.kind().name(),
        valid: false,
        reason_code: None,
        detail: None,
        level: None,
        ial: None,
        judged_at: now.to_iso(),
        audience_checked: None,
        body_checked: None,
        badge: None,
        signature: None,
        explanation: None,
    };
    options.check_kind(credential.kind())?;
    let denial = if credential.kind() == Kind::Badge {
        report.judge_badge(credential.token(), options, material, now)?
    } else {
        report.judge_signature(credential.token(), options, material, now)?
    };
    report.valid = denial.is_none();
    report.reason_code = denial.as_ref().map(|denial| denial.reason.code());
    report.detail = denial.as_ref().map(|denial| denial.detail.to_string());
    report.explanation = denial.as_ref().map(|denial| Explained::of(denial.reason));
    let verdict = if report.valid { Verdict::Done } else { Verdict::Refused };
    Answer::new(verdict, report.to_text(now), &report)
}

/// The answer's members; those about the credential are null until its signature holds.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    valid: bool,
    reason_code: Option<&'static str>,
    detail: Option<String>,
    /// A string, `"0"` to `"4"`.
    level: Option<&'static str>,
    ial: Option<&'static str>,
    judged_at: String,
    /// Of a badge: whether the verifier's names were known.
    audience_checked: Option<bool>,
    /// Of a signature: whether the body was there to compare.
    body_checked: Option<bool>,
    badge: Option<BadgeFacts>,
    signature: Option<SignatureFacts>,
    explanation: Option<Explained>,
}

#[derive(Serialize)]
struct BadgeFacts {
    jti: String,
    issuer: String,
    subject: String,
    level: &'static str,
    ial: &'static str,
    domain: Option<String>,
    audience: Option<Vec<String>>,
    issued_at: String,
    expires_at: String,
    #[serde(skip)]
    expiry: UnixTime,
    /// The agent's own key, as a JWK and as a DID.
    key: serde_json::Value,
    key_did: String,
    /// The issuer's key that signed it.
    signed_by: String,
}

#[derive(Serialize)]
struct SignatureFacts {
    kid: String,
    issued_at: String,
    expires_at: String,
    bh: Option<String>,
}

impl Report {
    fn judge_badge(
        &mut self,
        token: &[u8],
        options: &Options,
        material: Option<&Material>,
        now: UnixTime,
    ) -> Result<Option<Denial>> {
        let made;
        let trust = match material {
            Some(material) => material.trust(),
            None => {
                made = options.trust()?;
                &made
            }
        };
        let audience = match material {
            _ if !options.audiences.is_empty() => Audience::OneOf(&options.audiences),
            Some(Material::Gate(snapshot)) => Audience::OneOf(snapshot.audiences()),
            _ => Audience::Unchecked,
        };
        self.audience_checked = Some(matches!(audience, Audience::OneOf(_)));
        let badge = match capiscio::verify(token, trust, now) {
            Ok(badge) => badge,
            Err(denial) => return Ok(Some(denial)),
        };
        self.level = Some(badge.level().text());
        self.ial = Some(badge.ial().text());
        self.badge = Some(BadgeFacts::new(&badge));
        Ok(capiscio::check_standing(&badge, trust, audience, now).err())
    }

    fn judge_signature(
        &mut self,
        token: &[u8],
        options: &Options,
        material: Option<&Material>,
        now: UnixTime,
    ) -> Result<Option<Denial>> {
        let body = options.body.as_deref().map(|path| files::read_or_stdin(path, MAX_BODY)).transpose()?;
        self.body_checked = Some(body.is_some());
        let own = options.key.as_deref().map(load_key).transpose()?;
        let empty = Trust::new(&TrustConfig::default(), Profile::L1).map_err(|error| anyhow!("{error}"))?;
        let trust = material.map_or(&empty, Material::trust);
        let verified = capiscio::key_id(token).and_then(|kid| {
            let key = match &own {
                Some(key) => key,
                None => trust.simpleguard_key(&kid, now)?,
            };
            Ok((kid, verify_request_signature(token, key, now)?))
        });
        let (kid, signature) = match verified {
            Ok(verified) => verified,
            Err(denial) => return Ok(Some(denial)),
        };
        self.signature = Some(SignatureFacts {
            kid,
            issued_at: signature.issued_at().to_iso(),
            expires_at: signature.expires_at().to_iso(),
            bh: signature.body_hash().map(|hash| base64::encode_url(hash)),
        });
        let standing = |body: &Vec<u8>| {
            let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            signature.check_body(length, &sha256(body)).err()
        };
        Ok(body.as_ref().and_then(standing))
    }

    fn to_text(&self, now: UnixTime) -> String {
        let kind = if self.kind == "badge" { "CapiscIO Trust Badge" } else { "SimpleGuard signature" };
        let mut lines = match self.reason_code {
            None => Lines::headed(format!("VALID        {kind}, judged as at {}", self.judged_at)),
            Some(code) => Lines::headed(format!("REFUSED      {code}")),
        };
        if let (Some(detail), Some(explanation)) = (&self.detail, &self.explanation) {
            lines.add("kind", format!("{kind}, judged as at {}", self.judged_at));
            lines.add("found", shown(detail));
            explanation.describe(&mut lines);
        }
        match (&self.badge, &self.signature) {
            (Some(badge), _) => badge.describe(&mut lines, now),
            (_, Some(signature)) => signature.describe(&mut lines),
            _ => {
                lines.add("says", "nothing that can be relied on; `portcullis inspect` shows what it claims")
            }
        }
        if self.audience_checked == Some(false) {
            lines.add("audience", "not compared: --audience NAME, or --trust with a gate's configuration");
        }
        if self.body_checked == Some(false) {
            lines.add("body", "not compared: --body FILE");
        }
        lines.into_text()
    }
}

impl BadgeFacts {
    fn new(badge: &Badge) -> Self {
        BadgeFacts {
            jti: badge.id().into(),
            issuer: badge.issuer().into(),
            subject: badge.subject().into(),
            level: badge.level().text(),
            ial: badge.ial().text(),
            domain: badge.domain().map(Into::into),
            audience: badge.audience().map(Into::into),
            issued_at: badge.issued_at().to_iso(),
            expires_at: badge.expires_at().to_iso(),
            expiry: badge.expires_at(),
            key: keyfile::public_jwk(badge.key()),
            key_did: did_of_key(badge.key()),
            signed_by: badge.signer().id.clone(),
        }
    }

    fn describe(&self, lines: &mut Lines, now: UnixTime) {
        let level = match self.level {
            "0" => "self-signed",
            "1" => "registered",
            "2" => "domain validated",
            "3" => "organization validated",
            _ => "extended validated",
        };
        lines.add("agent", &self.subject);
        lines.add("badge", &self.jti);
        lines.add("issuer", format!("{} (key {})", shown(&self.issuer), shown(&self.signed_by)));
        lines.add("level", format!("\"{}\", {level}; IAL {}", self.level, self.ial));
        if let Some(domain) = &self.domain {
            lines.add("domain", shown(domain));
        }
        if let Some(audience) = &self.audience {
            lines.add("for", shown(&audience.join(", ")));
        }
        lines.add("valid from", &self.issued_at);
        lines.add("valid until", format!("{} ({})", self.expires_at, distance(now, self.expiry)));
        lines.add("agent's key", &self.key_did);
    }
}

impl SignatureFacts {
    fn describe(&self, lines: &mut Lines) {
        lines.add("agent", shown(&self.kid));
        lines.add("made at", &self.issued_at);
        lines.add("valid until", &self.expires_at);
        lines.add("signs", if self.bh.is_some() { "a body" } else { "no body" });
    }
}

impl Options {
    /// What the options trust.
    fn trust(&self) -> Result<Trust> {
        let mut config = TrustConfig::default();
        if let Some(issuer) = &self.issuer {
            config.badge_issuers.push(BadgeIssuerConfig {
                id: issuer.clone(),
                tier: 1,
                actions: vec!["*".into()],
                keys: self.issuer_keys()?,
                minimum_level: None,
                compatibility: self.compatibility.clone(),
                revocations_synced_at: None,
            });
        }
        if self.accept_self_signed {
            let actions = vec!["*".into()];
            config.accept_self_signed =
                Some(AcceptSelfSigned { actions, compatibility: self.compatibility.clone() });
        }
        Trust::new(&config, Profile::L1).map_err(|error| at(Path::new("--issuer"), &error))
    }

    fn issuer_keys(&self) -> Result<Vec<KeyConfig>> {
        match (&self.jwks, self.issuer_key.as_deref()) {
            (Some(path), _) => read_jwks(path),
            (None, Some([file, key_id])) => Ok(vec![KeyConfig {
                key_id: key_id.clone(),
                public_key: base64::encode(&keyfile::load_public(Path::new(file))?),
                not_before: None,
                not_after: None,
            }]),
            // A did:key is its own.
            _ if self.issuer.as_deref().is_some_and(|issuer| issuer.starts_with("did:key:")) => {
                Ok(Vec::new())
            }
            _ => bail!("--issuer needs its keys: --jwks FILE or --issuer-key FILE KID"),
        }
    }
}

fn load_key(path: &Path) -> Result<PublicKey> {
    PublicKey::from_bytes(&keyfile::load_public(path)?)
        .with_context(|| format!("{} holds no Ed25519 key of large order", path.display()))
}

fn switch(name: &str) -> Result<Compatibility, String> {
    let known = Compatibility::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, switch)| switch);
    let names = || Compatibility::ALL.map(|(name, _)| name).join(", ");
    known.ok_or_else(|| format!("expected is one of {}", names()))
}

/// Ten times what a proxy holds of a body by default.
const MAX_BODY: usize = 16 * 1024 * 1024;
