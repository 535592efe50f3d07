//! `portcullis badge`.

use crate::credential::Asked;
use crate::draft;
use crate::files::{self, Existing, Readers};
use crate::keyfile;
use crate::output::{Answer, Verdict};
use crate::{inspect, verify};
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::capiscio::{self, Audience, BadgeDraft, BadgeIssuer, Level, did_of_key};
use portcullis_core::{
    AcceptSelfSigned, BadgeIssuerConfig, DidDocumentConfig, KeyConfig, Profile, SecretKey, Trust,
    TrustConfig, base64,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// CapiscIO Trust Badges: issue, verify, inspect
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Issue(Box<IssueArgs>),
    /// Verify a badge; as `portcullis verify`, and for badges only
    Verify(Box<verify::Args>),
    /// Show what a badge says of itself, without verifying it
    Inspect(inspect::Args),
}

/// Issue a badge: self-signed (level 0), or as an issuer for an agent
///
/// As RFC-002 has it, with typ, kid and ial. A badge opens gates until it expires: treat
/// it as a secret. It is verified before it is handed out.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct IssueArgs {
    /// The private key that signs: with --self-sign the agent's own, otherwise the issuer's
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The agent signs for itself: level 0, for development
    #[arg(long, conflicts_with_all = ["issuer", "kid", "subject", "agent_key", "level", "confirmed"])]
    self_sign: bool,
    /// The issuer's HTTPS origin, as `https://registry.example`
    #[arg(long, value_name = "ORIGIN", required_unless_present = "self_sign")]
    issuer: Option<String>,
    /// The id of the issuer's key in its JWK set
    #[arg(long, value_name = "KID", required_unless_present = "self_sign")]
    kid: Option<String>,
    /// The agent's public key: base64, or a key file
    #[arg(long, value_name = "BASE64|FILE", required_unless_present = "self_sign")]
    agent_key: Option<String>,
    /// The agent's DID [default: the did:key of its key]
    #[arg(long, value_name = "DID")]
    subject: Option<String>,
    /// The trust level, 1 to 4
    #[arg(long, value_name = "LEVEL", required_unless_present = "self_sign", value_parser = level)]
    level: Option<Level>,
    /// The agent's domain; needed from level 2 on
    #[arg(long)]
    domain: Option<String>,
    /// The verification method of the agent's DID document by which it has proved to hold
    /// the key: makes the badge IAL 1
    #[arg(long, value_name = "DIDURL")]
    confirmed: Option<String>,
    /// For whom the badge is; repeatable [default: anyone]
    #[arg(long = "audience", value_name = "NAME")]
    audience: Vec<String>,
    /// How long it is valid, from 1m to 1h
    #[arg(long, value_name = "LIFETIME", default_value = "5m", value_parser = draft::lifetime)]
    expires_in: Duration,
    /// Print the whole header line, as curl -H @FILE takes it
    #[arg(long)]
    header: bool,
    /// To this file, which nobody else may read; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Issue(args) => issue(args),
        Command::Verify(args) => verify::run(args, Asked::Badge),
        Command::Inspect(args) => inspect::run(args, Asked::Badge),
    }
}

#[derive(Serialize)]
struct Issued<'i> {
    badge: &'i str,
    jti: &'i str,
    subject: String,
    issuer: String,
    level: &'static str,
    ial: &'static str,
    expires_at: String,
}

fn issue(args: &IssueArgs) -> Result<Answer> {
    let life = args.expires_in;
    // RFC-002 section 7.2: what an issuer may grant.
    if !(Duration::from_secs(60)..=Duration::from_secs(3600)).contains(&life) {
        bail!("--expires-in: RFC-002 lets badges live from 1m to 1h");
    }
    let key = keyfile::load_secret(&args.key)?;
    let now = draft::now()?;
    let draft = BadgeDraft {
        id: draft::uuid_v4()?,
        audience: args.audience.clone(),
        issued_at: now,
        expires_at: draft::end(now, life),
        domain: args.domain.clone(),
    };
    let token = match args.by()? {
        None => draft.self_sign(&key),
        Some(About { issuer, agent_key, subject, level }) => draft
            .sign(&key, &issuer, &subject, &agent_key, level, args.confirmed.as_deref())
            .context("RFC-002 has no such badge: the issuer must be an HTTPS origin, the subject a DID, --confirmed one of its verification methods, and from level 2 on there must be --domain")?,
    };
    let badge = args.verified(&token, &key)?;
    let line = format!("X-Capiscio-Badge: {token}");
    let text = if args.header { &line } else { &token };
    let issued = Issued {
        badge: &token,
        jti: badge.id(),
        subject: badge.subject().into(),
        issuer: badge.issuer().into(),
        level: badge.level().text(),
        ial: badge.ial().text(),
        expires_at: badge.expires_at().to_iso(),
    };
    if files::is_standard(&args.out) {
        return Answer::new(Verdict::Done, text.clone(), &issued);
    }
    keyfile::keep(&args.out)?;
    files::write(&args.out, &format!("{text}\n"), Readers::Owner, Existing::Replace)?;
    let told = format!(
        "Badge {} of level {} for {}, until {}: {}",
        issued.jti,
        issued.level,
        issued.subject,
        issued.expires_at,
        args.out.display()
    );
    Answer::new(Verdict::Done, told, &issued)
}

/// What an issuer says about an agent.
struct About {
    issuer: BadgeIssuer,
    agent_key: [u8; 32],
    subject: String,
    level: Level,
}

impl IssueArgs {
    /// The issuer, and the agent's key, DID and level, where it is not the agent that signs.
    fn by(&self) -> Result<Option<About>> {
        let (Some(origin), Some(key_id), Some(agent_key), Some(level)) =
            (&self.issuer, &self.kid, &self.agent_key, self.level)
        else {
            return Ok(None);
        };
        let agent_key = keyfile::public_from_argument(agent_key, Path::new(""))?;
        let subject = self.subject.clone().unwrap_or_else(|| did_of_key(&agent_key));
        let issuer = BadgeIssuer { origin: origin.clone(), key_id: key_id.clone() };
        Ok(Some(About { issuer, agent_key, subject, level }))
    }

    /// The badge as a gate takes it that trusts its issuer.
    fn verified(&self, token: &str, key: &SecretKey) -> Result<capiscio::Badge> {
        let actions = vec!["*".to_owned()];
        let key_config = |key_id: &str, key: &[u8; 32]| KeyConfig {
            key_id: key_id.into(),
            public_key: base64::encode(key),
            not_before: None,
            not_after: None,
        };
        let mut trust = TrustConfig::default();
        match self.by()? {
            None => trust.accept_self_signed = Some(AcceptSelfSigned { actions, compatibility: Vec::new() }),
            Some(About { issuer, agent_key, subject, .. }) => {
                trust.badge_issuers.push(BadgeIssuerConfig {
                    id: issuer.origin,
                    tier: 1,
                    actions,
                    keys: vec![key_config(&issuer.key_id, &key.public_key())],
                    minimum_level: None,
                    compatibility: Vec::new(),
                    revocations_synced_at: None,
                });
                // That the agent's document says so is its own affair.
                if let Some(method) = self.confirmed.as_deref().filter(|_| subject.starts_with("did:web:")) {
                    let keys = vec![key_config(method, &agent_key)];
                    trust.did_documents.push(DidDocumentConfig { id: subject, keys });
                }
            }
        }
        let trust = Trust::new(&trust, Profile::L1).map_err(|error| anyhow!("{error}"))?;
        let now = draft::now()?;
        let badge = capiscio::verify(token.as_bytes(), &trust, now);
        let badge = badge.and_then(|badge| {
            capiscio::check_standing(&badge, &trust, Audience::Unchecked, now)?;
            Ok(badge)
        });
        badge.map_err(|denial| anyhow!("no gate would take this badge: {denial}"))
    }
}

fn level(text: &str) -> Result<Level, String> {
    let level = Level::from_text(text).filter(|level| *level != Level::SelfSigned);
    level.ok_or_else(|| "expected is 1, 2, 3 or 4; level 0 is --self-sign".into())
}
