//! Key ids that are file names.

use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};

/// A `kid` that is safe as the name of a file: `{kid}.pem` lies in the folder that it is
/// joined to. SimpleGuard takes the `kid` of a request's header for such a name, so one
/// that led elsewhere is refused, and never put right: a changed `kid` is another's.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Kid(String);

impl Kid {
    /// Checks a `kid`.
    pub(super) fn new(text: &str) -> Result<Self> {
        let refuse = |why: String| Err(anyhow!("the kid {text:?} {why}"));
        if text.is_empty() {
            bail!("the kid is empty");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("must be printable ASCII without spaces".into());
        }
        if text.contains(['/', '\\']) {
            return refuse(
                "has a slash, so that its file would lie in another folder; a trust store cannot hold it"
                    .into(),
            );
        }
        if text.starts_with('.') || text.contains("..") {
            return refuse(
                "begins with a dot or has two in a row, as paths that lead out of a folder have".into(),
            );
        }
        if text.len() > MAX_LENGTH {
            return refuse(format!(
                "has more than the {MAX_LENGTH} characters that a file's name has room for"
            ));
        }
        Ok(Kid(text.to_owned()))
    }

    /// The `kid` of a file's name, if it is that of a key.
    pub(super) fn of_file(name: &str) -> Option<Result<Self>> {
        name.strip_suffix(SUFFIX).map(Self::new)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where `folder` has the key.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}{SUFFIX}", self.0))
    }

    /// Whether a file system that does not tell case apart takes both for one.
    pub(super) fn collides_with(&self, other: &Kid) -> bool {
        self != other && self.0.eq_ignore_ascii_case(&other.0)
    }

    /// The same with the number at its end counted up: `key-1`, `key-2`; `key`, `key-2`.
    pub(super) fn next(&self) -> Result<Self> {
        let stem = self.0.trim_end_matches(|character: char| character.is_ascii_digit());
        let number = self.0.strip_prefix(stem).and_then(|digits| digits.parse::<u32>().ok());
        Self::new(&match number.and_then(|number| number.checked_add(1)) {
            Some(next) => format!("{stem}{next}"),
            None => format!("{}-2", self.0),
        })
    }
}

const SUFFIX: &str = ".pem";

/// File systems take names of 255 bytes; a gate takes ids of 256.
const MAX_LENGTH: usize = 255 - SUFFIX.len();
