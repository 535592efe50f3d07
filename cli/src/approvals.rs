//! `portcullis approvals`: requests that wait for a person, at a control service.

use crate::gate::Reach;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// See requests that wait for a person at a control service, and answer them
///
/// The API key is taken from `PORTCULLIS_API_KEY`; it needs the scope `approve`.
#[derive(Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Command {
    /// List requests, the newest first
    List(List),
    /// Show a request
    Show(One),
    /// Let a request pass once, within five minutes
    Approve(Resolve),
    /// Refuse a request
    Deny(Resolve),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    reach: Reach,
    /// Of this gate only
    #[arg(long, value_name = "ID")]
    gate: Option<String>,
    /// Of this status only
    #[arg(long, value_enum, default_value_t = Status::Pending)]
    status: Status,
}

#[derive(Args)]
pub(crate) struct One {
    #[command(flatten)]
    reach: Reach,
    /// The request's id, `appr_…`
    id: String,
}

#[derive(Args)]
pub(crate) struct Resolve {
    #[command(flatten)]
    one: One,
    /// What to say with it; it goes into the record
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Pending,
    Approved,
    Denied,
    Expired,
    All,
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::List(list) => list.run(),
        Command::Show(one) => answer(&one.reach.ask(&one.path("")?, None)?),
        Command::Approve(resolve) => resolve.run("approve"),
        Command::Deny(resolve) => resolve.run("deny"),
    }
}

impl List {
    fn run(&self) -> Result<Answer> {
        let mut query = String::from("limit=1000");
        if let Some(gate) = &self.gate {
            write!(query, "&gate_id={}", plain("--gate", gate)?)?;
        }
        let status = match self.status {
            Status::Pending => "&status=pending",
            Status::Approved => "&status=approved",
            Status::Denied => "&status=denied",
            Status::Expired => "&status=expired",
            Status::All => "",
        };
        let listed = self.reach.ask(&format!("/api/approvals?{query}{status}"), None)?;
        let approvals = listed.as_array().context("the answer is no list")?;
        let mut text = String::new();
        for approval in approvals {
            writeln!(
                text,
                "{}  {}  {}  {}  {}",
                member(approval, "approval_request_id"),
                member(approval, "status"),
                member(approval, "expires_at"),
                member(approval, "gate_id"),
                member(approval, "summary")
            )?;
        }
        if approvals.is_empty() {
            text.push_str("No request\n");
        }
        Answer::new(Verdict::Done, text, &json!({ "approvals": listed }))
    }
}

impl One {
    fn path(&self, what: &str) -> Result<String> {
        Ok(format!("/api/approvals/{}{what}", plain("the id", &self.id)?))
    }
}

impl Resolve {
    fn run(&self, decision: &str) -> Result<Answer> {
        let mut body = json!({ "decision": decision });
        if let (Some(note), Some(members)) = (&self.note, body.as_object_mut()) {
            members.insert("note".to_owned(), json!(note));
        }
        answer(&self.one.reach.ask(&self.one.path("/resolve")?, Some(&body))?)
    }
}

fn answer(approval: &Value) -> Result<Answer> {
    let heading = format!("{} is {}", member(approval, "approval_request_id"), member(approval, "status"));
    let mut lines = Lines::headed(heading);
    for (label, name) in [
        ("summary", "summary"),
        ("gate", "gate_id"),
        ("agent", "agent_id"),
        ("issuer", "issuer_id"),
        ("action", "action"),
        ("target", "target"),
        ("method", "method"),
        ("path", "path"),
        ("came", "created_at"),
        ("until", "expires_at"),
        ("answered", "resolved_at"),
        ("by", "resolved_by"),
        ("note", "note"),
        ("record", "attestation_id"),
    ] {
        let value = member(approval, name);
        if !value.is_empty() {
            lines.add(label, value);
        }
    }
    if let Some(cents) = approval.get("cost_cents").and_then(Value::as_u64).filter(|cents| *cents > 0) {
        lines.add("cost", portcullis_core::spend::dollars(cents));
    }
    Answer::new(Verdict::Done, lines.into_text(), approval)
}

/// A member's text, as a terminal may get it: agents have written some of them.
fn member(approval: &Value, name: &str) -> String {
    shown(approval.get(name).and_then(Value::as_str).unwrap_or_default())
}

/// What can stand in a path as it is.
fn plain<'t>(what: &str, text: &'t str) -> Result<&'t str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_plain) {
        bail!("{what} must be of letters, digits and - _ . ~");
    }
    Ok(text)
}
