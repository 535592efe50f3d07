//! `portcullis issue`.

use crate::draft::{self, DraftArgs, FormArgs};
use crate::keyfile;
use crate::output::Answer;
use anyhow::{Result, anyhow, bail};
use portcullis_core::modei::{self, Admission, Issuer, RootKind, Roots, self_agent_id};
use portcullis_core::{PublicKey, Reason};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Issue a passport: self-issued, or with --as for another agent
///
/// A passport alone opens a gate of profile L1: treat it as a secret. It is verified
/// before it is handed out, as by a gate that trusts its issuer.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The private key that signs: the agent's own, or with --as the issuer's
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    draft: DraftArgs,
    /// How long it is valid: 30d, 24h, 10m
    #[arg(long, value_name = "LIFETIME", default_value = "24h", value_parser = draft::lifetime)]
    expires_in: Duration,
    /// Issue for another agent, as an issuer of this type
    #[arg(long = "as", value_enum, value_name = "TYPE", requires_all = ["issuer", "key_id", "agent_key"])]
    issuer_type: Option<IssuerType>,
    /// The issuer's id
    #[arg(long, value_name = "ID", requires = "issuer_type")]
    issuer: Option<String>,
    /// The id of the issuer's key
    #[arg(long, value_name = "ID", requires = "issuer_type")]
    key_id: Option<String>,
    /// The agent's id [default: the id that its key gives it]
    #[arg(long, value_name = "ID", requires = "issuer_type")]
    agent_id: Option<String>,
    /// The agent's public key: base64, or a key file
    #[arg(long, value_name = "BASE64|FILE", requires = "issuer_type")]
    agent_key: Option<String>,
    /// The gate that the passport is for, where a gate issues it
    #[arg(long, value_name = "ID", requires = "issuer_type")]
    gate: Option<String>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum IssuerType {
    Gate,
    Platform,
}

/// Issues a passport, and verifies it before it is handed out.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let key = keyfile::load_secret(&args.key)?;
    let issued_at = args.draft.issued_at()?;
    let expires_at = draft::end(issued_at, args.expires_in);
    let (signed, draft) = match args.issuer()? {
        None => {
            let draft = args.draft.draft("pp_self_", issued_at, expires_at)?;
            (modei::self_issue(&key, &draft), draft)
        }
        Some((issuer, agent_id, agent_key)) => {
            let draft = args.draft.draft("pp_", issued_at, expires_at)?;
            (modei::issue(&key, &issuer, &agent_id, &agent_key, &draft), draft)
        }
    };
    let own_key = PublicKey::from_bytes(&key.public_key());
    let own_key = own_key.ok_or_else(|| anyhow!("{} is a key that cannot verify", args.key.display()))?;
    modei::verify(&modei::from_json(signed.to_json().into_bytes()), &OwnKey(own_key))
        .map_err(|denial| anyhow!("no gate would take this passport: {denial}"))?;
    Ok(args.form.answer(&signed, &key, &draft)?.noting(args.draft.notes()))
}

impl Args {
    /// The issuer, the agent's id and its key, where it is not the agent that issues.
    fn issuer(&self) -> Result<Option<(Issuer, String, [u8; 32])>> {
        let (Some(issuer_type), Some(id), Some(key_id), Some(agent_key)) =
            (self.issuer_type, &self.issuer, &self.key_id, &self.agent_key)
        else {
            return Ok(None);
        };
        if issuer_type == IssuerType::Platform && self.gate.is_some() {
            bail!("--gate goes with --as gate: a platform's passport is for no gate in particular");
        }
        let agent_key = keyfile::public_from_argument(agent_key, Path::new(""))?;
        let kind = match issuer_type {
            IssuerType::Gate => RootKind::Gate,
            IssuerType::Platform => RootKind::Platform,
        };
        let issuer = Issuer { kind, id: id.clone(), key_id: key_id.clone(), gate_id: self.gate.clone() };
        let agent_id = self.agent_id.clone().unwrap_or_else(|| self_agent_id(&agent_key));
        Ok(Some((issuer, agent_id, agent_key)))
    }
}

/// Takes the signing key for the issuer's: a passport is tried as a gate that trusts
/// its issuer would.
struct OwnKey(PublicKey);

impl Roots for OwnKey {
    fn admit(&self, kind: RootKind, _issuer: &str, _key_id: &str) -> Result<Admission<'_>, Reason> {
        Ok(match kind {
            RootKind::SelfIssued => Admission::OwnKey,
            RootKind::Gate | RootKind::Platform => Admission::IssuerKey(&self.0),
        })
    }
}
