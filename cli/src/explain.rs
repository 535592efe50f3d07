//! `portcullis explain`.

use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Result, bail};
use portcullis_core::{Explanation, Reason};
use serde::Serialize;

/// Say what a reason code means, who mends it and how
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A reason code, as replies, metrics and `verify` name it
    #[arg(value_name = "CODE", required_unless_present = "all", conflicts_with = "all")]
    code: Option<String>,
    /// Explain every code
    #[arg(long)]
    all: bool,
}

/// Explains one reason code, or all.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let Some(asked) = &args.code else {
        let reasons: Vec<_> = Reason::ALL.into_iter().map(Explained::of).collect();
        let text: Vec<_> = reasons.iter().map(Explained::to_text).collect();
        return Answer::new(Verdict::Done, text.join("\n"), &serde_json::json!({ "reasons": reasons }));
    };
    let code = code_in(asked);
    // The RFC's own codes are in capitals, ours are not.
    let known = Reason::ALL.into_iter().find(|reason| reason.code().eq_ignore_ascii_case(&code));
    let Some(reason) = known else {
        let near = near(&code);
        let hint = if near.is_empty() {
            "`portcullis explain --all` lists all codes".into()
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        let asked: String = asked.chars().take(MAX_CODE).collect();
        bail!("there is no reason code `{}`: {hint}", shown(&asked));
    };
    let explained = Explained::of(reason);
    Answer::new(Verdict::Done, explained.to_text(), &explained)
}

/// A reason's explanation, as every command gives it.
#[derive(Serialize)]
pub(crate) struct Explained {
    code: &'static str,
    meaning: &'static str,
    who: &'static str,
    remedy: &'static str,
}

impl Explained {
    pub(crate) fn of(reason: Reason) -> Self {
        let Explanation { code, meaning, who, remedy } = reason.explanation();
        Explained { code, meaning, who, remedy }
    }

    /// Adds what it means, who mends it and how.
    pub(crate) fn describe(&self, lines: &mut Lines) {
        lines.add("means", self.meaning);
        lines.add("who mends it", self.who);
        lines.add("how", self.remedy);
    }

    fn to_text(&self) -> String {
        let mut lines = Lines::headed(self.code);
        self.describe(&mut lines);
        lines.into_text()
    }
}

/// No code has more than 40 characters, and comparing is quadratic in length.
const MAX_CODE: usize = 64;

/// The code in what was asked for, which may be the `type` of a problem reply, or be
/// written with capitals or hyphens.
fn code_in(asked: &str) -> String {
    let code = asked.trim().to_ascii_lowercase().replace('-', "_");
    code.strip_prefix("urn:portcullis:reason:").unwrap_or(&code).to_owned()
}

/// The codes that are most like this one, best first.
fn near(code: &str) -> Vec<String> {
    // Found by trying: below, what is offered has little to do with what was asked.
    const LIKE: f64 = 0.85;
    if code.len() > MAX_CODE {
        return Vec::new();
    }
    let mut scored: Vec<_> = Reason::ALL
        .into_iter()
        .map(Reason::code)
        .map(|known| {
            let lower = known.to_ascii_lowercase();
            let words = lower.split('_').map(|word| strsim::jaro_winkler(code, word));
            (words.fold(strsim::jaro_winkler(code, &lower), f64::max), known)
        })
        .filter(|(score, _)| *score >= LIKE)
        .collect();
    scored.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    scored.into_iter().take(3).map(|(_, known)| format!("`{known}`")).collect()
}
