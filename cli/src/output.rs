//! Answers: for people, as JSON, and as an exit code.

use serde::Serialize;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// What a command has to say.
pub(crate) struct Answer {
    verdict: Verdict,
    text: String,
    json: String,
    notes: Vec<String>,
}

/// What an answer amounts to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Valid, or done: exit code 0.
    Done,
    /// Refused: exit code 1.
    Refused,
    /// Input of which nothing can be made: exit code 2.
    Unusable,
}

impl Answer {
    /// An answer, as text for people and as one JSON object.
    pub(crate) fn new(verdict: Verdict, text: String, json: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Answer { verdict, text, json: serde_json::to_string_pretty(json)?, notes: Vec::new() })
    }

    /// An answer that was given already, line by line.
    pub(crate) fn given(verdict: Verdict) -> Self {
        Answer { verdict, text: String::new(), json: String::new(), notes: Vec::new() }
    }

    /// The same answer with something to be told beside it, on standard error.
    pub(crate) fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

/// Prints an answer, or the error that stands in its place, and says how to exit.
pub(crate) fn print(answer: anyhow::Result<Answer>, as_json: bool) -> ExitCode {
    let answer = answer.and_then(|answer| {
        for note in &answer.notes {
            warn(note);
        }
        let text = if as_json { &answer.json } else { &answer.text };
        if !text.is_empty() {
            write_out(text)?;
        }
        Ok(answer.verdict)
    });
    let verdict = answer.unwrap_or_else(|error| {
        // A file's own words may be in it.
        let message = shown(&format!("{error:#}"));
        if as_json {
            // A failure to say that something failed leaves the exit code to say it.
            let _ = write_out(&serde_json::json!({ "error": message }).to_string());
        } else {
            warn(&format!("error: {message}"));
        }
        Verdict::Unusable
    });
    match verdict {
        Verdict::Done => ExitCode::SUCCESS,
        Verdict::Refused => ExitCode::from(1),
        Verdict::Unusable => ExitCode::from(2),
    }
}

/// Writes a line that does not wait for the rest. Answers whether anybody reads on.
pub(crate) fn line(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Says on standard error what a command that goes on has met.
pub(crate) fn note(text: &str) {
    warn(&shown(text));
}

/// Writes to standard output, ending in a newline. That nobody reads on is no error.
fn write_out(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(out, "{text}{newline}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn warn(text: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr().lock(), "portcullis: {text}");
}

/// Lines of a label and what it labels, aligned.
#[derive(Default)]
pub(crate) struct Lines(String);

impl Lines {
    /// Begins with a line of its own.
    pub(crate) fn headed(heading: impl AsRef<str>) -> Self {
        Lines(format!("{}\n", heading.as_ref()))
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, label: &str, value: impl AsRef<str>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "  {label:<12} {}", value.as_ref());
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// Text from a credential as a terminal may get it: whatever could move the cursor,
/// hide text or turn its direction is escaped, and what is far too long is cut.
pub(crate) fn shown(text: &str) -> String {
    // Ids have at most 256 characters; four times that shows any honest value whole.
    const MAX_CHARACTERS: usize = 1024;
    let mut shown = String::new();
    for character in text.chars().take(MAX_CHARACTERS) {
        let is_format = matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        );
        if character.is_control() || is_format {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}
