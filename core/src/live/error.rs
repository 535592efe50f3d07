//! Why a document of the control service was refused.

use crate::config::ConfigError;
use alloc::boxed::Box;
use core::fmt;

/// Why a document was refused. Nothing of a refused document is taken up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LiveError {
    /// The document's configuration is none that a gate can decide by.
    Config(Box<ConfigError>),
    /// The head's time is more than 60 s ahead of the gate's.
    FromTheFuture,
    /// The snapshot is not the one that the head names.
    Hash,
    /// This member is missing or not of its form.
    Member(&'static str),
    /// The document contradicts another one, or the head.
    Mismatch(&'static str),
    /// The document is not of the form that its kind has.
    Unreadable(&'static str),
    /// The signature is not one by the key that the document names.
    Signature,
    /// No pinned key of the id that the document names is valid now.
    UnknownKey,
    /// The document is older than one that was taken up before.
    WentBack,
    /// The document is not the answer to what was asked.
    WrongEcho,
    /// The document is for another gate.
    WrongGate,
}

impl LiveError {
    /// A stable code, for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            LiveError::Config(_) => "config",
            LiveError::FromTheFuture => "from_the_future",
            LiveError::Hash => "hash",
            LiveError::Member(_) | LiveError::Unreadable(_) => "unreadable",
            LiveError::Mismatch(_) => "mismatch",
            LiveError::Signature => "signature",
            LiveError::UnknownKey => "unknown_key",
            LiveError::WentBack => "went_back",
            LiveError::WrongEcho => "wrong_echo",
            LiveError::WrongGate => "wrong_gate",
        }
    }
}

impl fmt::Display for LiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            LiveError::Config(error) => {
                formatter.write_str("the snapshot's configuration: ")?;
                return error.fmt(formatter);
            }
            LiveError::Member(name) => {
                formatter.write_str(name)?;
                " is missing or not of its form"
            }
            LiveError::Mismatch(problem) | LiveError::Unreadable(problem) => problem,
            LiveError::FromTheFuture => "the head's time is more than 60 s ahead: compare the clocks",
            LiveError::Hash => "the snapshot is not the one that the head names",
            LiveError::Signature => "the signature is not one by the key that the document names",
            LiveError::UnknownKey => "no key of the document's kid is pinned and valid now",
            LiveError::WentBack => "the document is older than what the gate has",
            LiveError::WrongEcho => "the document is not the answer to what this gate asked",
            LiveError::WrongGate => "the document is for another gate",
        };
        formatter.write_str(text)
    }
}

impl core::error::Error for LiveError {}

impl From<ConfigError> for LiveError {
    fn from(error: ConfigError) -> Self {
        LiveError::Config(Box::new(error))
    }
}
