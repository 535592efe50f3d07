//! An export as a stream of lines, in either form.

use crate::files::is_standard;
use anyhow::{Context, Result, bail};
use portcullis_core::attestation::export::{ExportHeader, MAX_LINE};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

/// An export whose header was read.
pub(crate) struct Export {
    source: Box<dyn BufRead>,
    pub(crate) header: ExportHeader,
    pub(crate) form: Form,
    /// Its size in bytes, where that is known before it is read.
    pub(crate) size: Option<u64>,
}

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON text each.
    Lines,
    /// One string each, in one JSON object.
    Object,
}

impl Export {
    /// Opens a file, or standard input where the path is `-`, and reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (source, size): (Box<dyn Read>, _) = if is_standard(path) {
            (Box::new(stdin()), None)
        } else {
            let open = || -> std::io::Result<_> {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                let size = metadata.is_file().then_some(metadata.len());
                Ok((file, size))
            };
            let (file, size) = open().with_context(|| format!("cannot read {}", path.display()))?;
            (Box::new(file), size)
        };
        // Large reads, as an export may have gigabytes.
        let mut source: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1024 * 1024, source));
        let mut first = Vec::new();
        read_line(&mut source, &mut first)?;
        let object = first.strip_prefix(b"{\"header\":").and_then(|rest| rest.strip_suffix(b",\"lines\":["));
        let (header, form) = match object {
            Some(header) => (header, Form::Object),
            None => (first.as_slice(), Form::Lines),
        };
        let header = ExportHeader::read(header).with_context(|| {
            format!("{} is no export of attestations: its first line is no header of one", path.display())
        })?;
        Ok(Export { source, header, form, size })
    }

    /// Appends the next line, as it stands, without its newline; says how many bytes it
    /// took, 0 for none.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<usize> {
        let read = read_line(&mut self.source, line)?;
        // A list without elements is an empty line.
        if read == 1 && self.form == Form::Object {
            return read_line(&mut self.source, line);
        }
        Ok(read)
    }

    /// The next line that is of the export itself, for a reader of single lines.
    pub(crate) fn next_text(&mut self, line: &mut Vec<u8>) -> Result<Option<String>> {
        line.clear();
        if self.next(line)? == 0 {
            return Ok(None);
        }
        let text = self.form.text(line).context("a line is not as the service writes it")?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Form {
    /// What a line says, or `None` where it is not of this form.
    pub(crate) fn text(self, line: &[u8]) -> Option<Cow<'_, [u8]>> {
        if self == Form::Lines {
            return Some(Cow::Borrowed(line));
        }
        if let Some(trailer) = line.strip_prefix(b"],\"trailer\":") {
            return trailer.strip_suffix(b"}").map(Cow::Borrowed);
        }
        let element = line.strip_suffix(b",").unwrap_or(line);
        let text: String = serde_json::from_slice(element).ok()?;
        Some(Cow::Owned(text.into_bytes()))
    }
}

fn read_line(source: &mut Box<dyn BufRead>, line: &mut Vec<u8>) -> Result<usize> {
    // A string's escapes at most double what has no control characters in it.
    let longest = u64::try_from(MAX_LINE)?.saturating_mul(2);
    let read = source.take(longest).read_until(b'\n', line).context("cannot read the export")?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if u64::try_from(read)? == longest {
        bail!("a line of the export is longer than any that the service writes");
    }
    Ok(read)
}
