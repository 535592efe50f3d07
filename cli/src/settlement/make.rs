//! `portcullis settlement make`.

use crate::gate::Reach;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;

/// Have a period settled by a control service, and wait until it is
///
/// The API key is taken from `PORTCULLIS_API_KEY`; it needs the scopes `billing:write` and
/// `billing:read`. Whoever is broken off runs the same command again, and joins what is under way.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    reach: Reach,
    /// The gate
    #[arg(long, value_name = "ID")]
    gate: String,
    /// How long the period is
    #[arg(long, value_enum)]
    period: Period,
    /// Its first day: of a week a Monday, of a month the first
    #[arg(long, value_name = "YYYY-MM-DD")]
    start: String,
    /// Its last day
    #[arg(long, value_name = "YYYY-MM-DD")]
    end: String,
    /// Of this agent alone
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The issuer of that agent, where two have given its id
    #[arg(long, value_name = "ID", requires = "agent")]
    issuer: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Period {
    Daily,
    Weekly,
    Monthly,
}

/// How often a run is asked after.
const LOOK: Duration = Duration::from_millis(500);

/// Settles.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let period_type = match args.period {
        Period::Daily => "daily",
        Period::Weekly => "weekly",
        Period::Monthly => "monthly",
    };
    let mut asked = json!({
        "gate_id": args.gate, "period_type": period_type, "period_start": args.start, "period_end": args.end,
    });
    for (member, value) in [("agent_id", &args.agent), ("issuer_id", &args.issuer)] {
        if let (Some(value), Some(members)) = (value, asked.as_object_mut()) {
            members.insert(member.to_owned(), json!(value));
        }
    }
    let mut answer = args.reach.ask("/api/billing", Some(&asked))?;
    if member(&answer, "status") == Some("running") {
        answer = wait(args, &answer)?;
    }
    told(&answer)
}

/// Waits for a run, however long it takes: whoever works on it is followed by another.
fn wait(args: &Args, begun: &Value) -> Result<Value> {
    let run = member(begun, "settlement_run_id").context("the answer names no run")?;
    let settlement = member(begun, "settlement_id").context("the answer names no settlement")?;
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} receipts verified, {eta} left")?;
        ProgressBar::new(0).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    loop {
        let answer = args.reach.ask(&format!("/api/billing/runs/{run}"), None)?;
        let count = |name| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        bar.set_length(count("total"));
        bar.set_position(count("verified"));
        match member(&answer, "status") {
            Some("running") => std::thread::sleep(LOOK),
            Some("failed") => {
                bail!("it failed: {}", member(&answer, "failure").unwrap_or("nothing says why"))
            }
            _ => break,
        }
    }
    bar.finish_and_clear();
    args.reach.ask(&format!("/api/billing/{settlement}"), None)
}

fn told(answer: &Value) -> Result<Answer> {
    let number = |name| answer.get(name).and_then(Value::as_u64).map(|number| number.to_string());
    let mut lines =
        Lines::headed(format!("SETTLED      {}", shown(member(answer, "id").unwrap_or_default())));
    for (label, name) in [
        ("cents", "total_cost_cents"),
        ("fees", "total_platform_fee_cents"),
        ("receipts", "verified_count"),
        ("excluded", "excluded_count"),
    ] {
        lines.add(label, number(name).with_context(|| format!("the answer has no {name}"))?);
    }
    lines.add("hash", shown(member(answer, "content_hash").unwrap_or_default()));
    Answer::new(Verdict::Done, lines.into_text(), answer)
}

fn member<'v>(answer: &'v Value, name: &str) -> Option<&'v str> {
    answer.get(name).and_then(Value::as_str)
}
