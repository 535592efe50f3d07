//! `portcullis audit show`.

use super::export::Export;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, bail};
use portcullis_core::attestation::{Draft, Record};
use portcullis_core::base64;
use std::path::PathBuf;

/// Show one decision of an export, without verifying it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The export; `-` is standard input
    #[arg(value_name = "FILE|-")]
    export: PathBuf,
    /// The decision's id, att_…
    #[arg(value_name = "ID")]
    id: String,
}

/// Shows a record.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut export = Export::open(&args.export)?;
    // In a string the quotes would be escaped, so only the member itself reads like this.
    let member = format!("\"attestation_id\":\"{}\"", args.id);
    let mut line = Vec::new();
    while let Some(text) = export.next_text(&mut line)? {
        if text.contains(&member) {
            let record = Record::read(text.as_bytes()).context("the record is not of its form")?;
            let json: serde_json::Value = serde_json::from_str(&text)?;
            return Answer::new(Verdict::Done, to_text(&record), &json);
        }
    }
    bail!("the export has no decision {}", shown(&args.id));
}

fn to_text(record: &Record) -> String {
    let draft = record.draft();
    let mut lines =
        Lines::headed(format!("{:<12} not verified here: `portcullis audit verify` does", verdict(draft)));
    lines.add(
        "decided",
        format!("{} by gate {}", draft.time, named(&draft.gate_id, draft.gate_name.as_deref())),
    );
    match &draft.agent {
        Some(agent) => {
            lines.add("agent", named(&agent.agent_id, agent.agent_name.as_deref()));
            lines.add("credential", shown(&agent.passport_id));
            lines.add("issuer", format!("{}, tier {}", shown(&agent.issuer_id), agent.tier));
        }
        None => lines.add("agent", format!("none verified (access: {})", draft.access_mode.name())),
    }
    if let Some(request) = &draft.request {
        let domain = request.target_domain.as_deref().unwrap_or_default();
        lines.add("request", format!("{} {}{}", shown(&request.method), shown(domain), shown(&request.path)));
        lines.add("action", request.action.as_deref().map_or_else(|| "none".into(), shown));
        if request.cost_cents > 0 {
            lines.add("cost", format!("{} cents", request.cost_cents));
        }
    }
    if let Some(code) = &draft.reason_code {
        lines.add("reason", shown(code));
    }
    if let Some(detail) = &draft.detail {
        lines.add("detail", shown(detail));
    }
    for evaluation in &draft.guardrails {
        let (name, detail) = (shown(&evaluation.name), shown(&evaluation.detail));
        lines.add("guardrail", format!("{name}: {} ({detail})", evaluation.result.name()));
    }
    if let Some(hold) = &draft.hold {
        lines.add("held for", format!("{} (until {})", shown(&hold.summary), hold.expires_at));
    }
    if let Some(id) = &draft.approval_request_id {
        lines.add("approval", shown(id));
    }
    if let Some(dropped) = &draft.dropped {
        lines.add(
            "unrecorded",
            format!("{} decisions, {} to {}", dropped.count, dropped.first_at, dropped.last_at),
        );
    }
    lines.add("record", record.id());
    lines.add("lane", format!("{}, number {}", base64::encode_url(record.lane()), record.number()));
    lines.add("signed by", base64::encode_url(record.key_id()));
    lines.into_text()
}

fn verdict(draft: &Draft) -> String {
    let name = draft.decision.name().to_uppercase();
    match draft.mode {
        portcullis_core::Mode::Enforce => name,
        portcullis_core::Mode::Report => format!("{name} (report mode: nothing was stopped)"),
    }
}

fn named(id: &str, name: Option<&str>) -> String {
    let name = name.map(|name| format!(" (named \"{}\")", shown(name)));
    format!("{}{}", shown(id), name.unwrap_or_default())
}
