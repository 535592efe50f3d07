//! Receipts as files have them, a line for each.

use crate::files::is_standard;
use anyhow::{Context, Result, bail};
use portcullis_core::base64;
use portcullis_core::receipt::{MAX_ATTACHMENT, MAX_RECEIPT};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

/// The longest line: an attachment, with what a settlement says beside.
const MAX_LINE: usize = MAX_ATTACHMENT + 4096;

/// The most lines of a file: a month of a busy gate, and in memory some hundred megabytes.
pub(super) const MAX_LINES: u64 = 1_000_000;

/// What a line has.
pub(super) enum Line {
    /// A receipt's text, and what the agent signed if that stands beside it.
    Receipt { text: String, base: Option<String> },
    /// A receipt's id alone, as `Agent-Receipt` names what is not made yet.
    Name(String),
    /// Nothing of that kind.
    Other(&'static str),
}

/// A file of receipts.
pub(super) struct Lines {
    source: Box<dyn BufRead>,
    name: String,
    /// The number of the last line, from 1.
    pub(super) number: u64,
}

#[derive(Deserialize)]
struct Object {
    receipt: String,
    base: Option<String>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let source: Box<dyn Read> = if is_standard(path) {
            Box::new(stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?)
        };
        Ok(Lines { source: Box::new(BufReader::with_capacity(1024 * 1024, source)), name, number: 0 })
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        let mut line = Vec::new();
        // Each turn takes a line of a file that has an end.
        loop {
            line.clear();
            let longest = u64::try_from(MAX_LINE)?;
            let read = (&mut self.source).take(longest).read_until(b'\n', &mut line);
            if read.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(None);
            }
            self.number = self.number.saturating_add(1);
            if self.number > MAX_LINES {
                bail!("{} has more than {MAX_LINES} lines: compare shorter periods", self.name);
            }
            if line.len() == MAX_LINE && line.last() != Some(&b'\n') {
                bail!("{}:{}: the line is longer than any receipt", self.name, self.number);
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if !text.is_empty() {
                return Ok(Some(read_line(text)));
            }
        }
    }
}

fn read_line(text: &str) -> Line {
    if let Some(value) = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')) {
        let bytes = base64::decode(value).filter(|bytes| bytes.len() <= MAX_RECEIPT);
        return match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => Line::Receipt { text, base: None },
            None => Line::Other("is no byte sequence (RFC 9651) with a receipt"),
        };
    }
    if let Some(name) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Line::Name(name.to_owned());
    }
    // A receipt by itself, as the service gives it to agents.
    if text.starts_with("{\"action\":") {
        return Line::Receipt { text: text.to_owned(), base: None };
    }
    match serde_json::from_str::<Object>(text) {
        Ok(Object { receipt, base }) => Line::Receipt { text: receipt, base },
        Err(_) => Line::Other("is neither an object with the member receipt nor a value of Agent-Receipt"),
    }
}
