//! An agent's own keys: `portcullis trust init` and `portcullis trust rotate`.

use super::Store;
use super::card::Card;
use super::folder;
use super::kid::Kid;
use crate::draft;
use crate::files::{self, Existing, Readers};
use crate::keyfile::{self, Format};
use crate::keygen;
use crate::output::{Answer, Lines, Verdict};
use anyhow::{Context, Result, bail};
use portcullis_core::{SecretKey, base64};
use serde::Serialize;
use std::path::Path;

/// Make a store for development: a key pair, a card, and trust in itself
///
/// What CapiscIO's SDK makes with dev_mode=True. A private key that is there is never
/// overwritten; and with CAPISCIO_ENV=prod nothing is made.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Init {
    #[command(flatten)]
    store: Store,
    /// Who the agent is
    #[arg(long, default_value = "local-dev-agent")]
    agent_id: String,
    /// The id of its key
    #[arg(long, default_value = "local-dev-key")]
    kid: String,
}

/// Give the agent of a store a new key, which it signs with from its next start
///
/// The old key stays in the card and, where it is trusted, trusted: what agents hold it
/// to goes on until they have the new one. The old private key is overwritten and kept
/// nowhere: it has nothing left to sign.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Rotate {
    #[command(flatten)]
    store: Store,
    /// The id of the new key [default: the old one, its number counted up]
    #[arg(long)]
    kid: Option<String>,
}

#[derive(Serialize)]
struct Made {
    agent_id: Option<String>,
    kid: String,
    public_key: String,
    /// What other agents and gates are to trust from now on.
    distribute: String,
    /// The id of the key until now.
    former_kid: Option<String>,
    private_key: String,
}

/// Makes a store for development.
pub(super) fn init(args: &Init) -> Result<Answer> {
    if std::env::var_os("CAPISCIO_ENV").is_some_and(|value| value == "prod") {
        bail!("CAPISCIO_ENV is prod, and a development store trusts a key that nobody vouches for");
    }
    let (store, kid) = (&args.store, Kid::new(&args.kid)?);
    if args.agent_id.is_empty() {
        bail!("--agent-id is empty");
    }
    let trusted = store.trusted();
    for path in [store.private_key(), store.public_key(), store.card(), kid.file(&trusted)] {
        if std::fs::symlink_metadata(&path).is_ok() {
            bail!(
                "{} is there, and nothing is overwritten; `portcullis trust rotate` makes a new key for a store",
                path.display()
            );
        }
    }
    std::fs::create_dir_all(&trusted).with_context(|| format!("cannot make {}", trusted.display()))?;
    let key = keygen::fresh()?;
    let public = key.public_key();
    write_pair(store, &key, Existing::Keep)?;
    let file = folder::write(&trusted, &kid, &public, Existing::Keep)?;
    Card::development(&args.agent_id, &kid, &public).write(&store.card(), Existing::Keep)?;

    let made = Made::new(Some(&args.agent_id), &kid, &public, &file, None, store);
    let mut lines = Lines::headed(format!("A trust store for development in {}", store.path.display()));
    made.describe(&mut lines);
    lines.add("card", store.card().display().to_string());
    Answer::new(Verdict::Done, lines.into_text(), &made)
}

/// Makes a new key for a store.
pub(super) fn rotate(args: &Rotate) -> Result<Answer> {
    let store = &args.store;
    let mut card = Card::read(&store.card())?;
    let former = keyfile::load_secret(&store.private_key())?.public_key();
    let (former_kid, listed) = card.keys().first().cloned().context("the card has no key")?;
    let mut notes = Vec::new();
    if listed != former {
        notes.push(format!(
            "{} was not the key that the card names first; the new one is",
            store.private_key().display()
        ));
    }
    let trusted = store.trusted();
    std::fs::create_dir_all(&trusted).with_context(|| format!("cannot make {}", trusted.display()))?;
    let kid = match &args.kid {
        Some(kid) => Kid::new(kid)?,
        None => unused_after(&former_kid, &card, &trusted)?,
    };
    if is_used(&kid, &card, &trusted) {
        bail!("the kid {} is in use; a new key needs one of its own", kid.as_str());
    }
    let key = keygen::fresh()?;
    let public = key.public_key();
    // Trusted before it signs anything. The card last: if it is not reached, the card
    // names the former key, and to rotate again puts both right.
    let file = folder::write(&trusted, &kid, &public, Existing::Keep)?;
    write_pair(store, &key, Existing::Replace)?;
    card.put_first(kid.clone(), public);
    card.write(&store.card(), Existing::Replace)?;

    let made = Made::new(card.agent_id(), &kid, &public, &file, Some(&former_kid), store);
    let mut lines = Lines::headed(format!("New key {} in {}", kid.as_str(), store.path.display()));
    made.describe(&mut lines);
    lines
        .add("old key", format!("{}: its private half is overwritten and kept nowhere", former_kid.as_str()));
    lines.add("1 distribute", format!("{} to whoever trusts this agent", file.display()));
    lines.add("2 restart", "the agent: until then it signs with the old key, which it holds in memory");
    lines.add(
        "3 remove",
        format!(
            "`portcullis trust remove {}`, there and here, two minutes after the restart: so long do signatures count",
            former_kid.as_str()
        ),
    );
    Ok(Answer::new(Verdict::Done, lines.into_text(), &made)?.noting(notes))
}

impl Made {
    fn new(
        agent_id: Option<&str>,
        kid: &Kid,
        public: &[u8; 32],
        file: &Path,
        former_kid: Option<&Kid>,
        store: &Store,
    ) -> Self {
        Made {
            agent_id: agent_id.map(str::to_owned),
            kid: kid.as_str().to_owned(),
            public_key: base64::encode(public),
            distribute: file.display().to_string(),
            former_kid: former_kid.map(|kid| kid.as_str().to_owned()),
            private_key: store.private_key().display().to_string(),
        }
    }

    fn describe(&self, lines: &mut Lines) {
        if let Some(agent_id) = &self.agent_id {
            lines.add("agent", crate::output::shown(agent_id));
        }
        lines.add("kid", &self.kid);
        lines.add("public key", &self.public_key);
        lines.add("private key", format!("{}: keep it to yourself", self.private_key));
        lines.add("trusted", &self.distribute);
    }
}

/// Writes both halves of a key, the private one first: it decides whether there is one.
fn write_pair(store: &Store, key: &SecretKey, existing: Existing) -> Result<()> {
    let text = keyfile::secret_text(key, Format::Pem, draft::now()?)?;
    files::write(&store.private_key(), &text, Readers::Owner, existing)?;
    files::write(&store.public_key(), &keyfile::public_pem(&key.public_key())?, Readers::Umask, existing)
}

fn unused_after(former: &Kid, card: &Card, trusted: &Path) -> Result<Kid> {
    // A key for each day of three years; past that, someone should say which.
    const MAX_TRIES: usize = 1000;
    let mut kid = former.next()?;
    for _ in 0..MAX_TRIES {
        if !is_used(&kid, card, trusted) {
            return Ok(kid);
        }
        kid = kid.next()?;
    }
    bail!("all kids after {} are in use; say another with --kid", former.as_str())
}

fn is_used(kid: &Kid, card: &Card, trusted: &Path) -> bool {
    let is = |own: &Kid| own == kid || own.collides_with(kid);
    card.keys().iter().any(|(own, _)| is(own)) || std::fs::symlink_metadata(kid.file(trusted)).is_ok()
}
