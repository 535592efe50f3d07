use std::fmt;

use crate::{LogLevel, Trap};

/// Why a VM did not start.
#[derive(Clone, Debug)]
pub enum StartError {
    /// The plugin answered false from the named export, after logging this.
    Refused {
        /// `proxy_on_vm_start` or `proxy_on_configure`.
        callback: &'static str,
        /// What it logged until then.
        logs: Vec<(LogLevel, String)>,
    },
    /// The plugin trapped while it started, after logging this.
    Trapped {
        /// The trap.
        trap: Trap,
        /// What it logged until then.
        logs: Vec<(LogLevel, String)>,
    },
    /// The plugin cannot be linked to this host: an import that the host does
    /// not have, or an export that the ABI demands is missing.
    Unlinkable(String),
}

impl StartError {
    /// What the plugin logged before it failed, a line each.
    pub fn log_text(&self) -> String {
        let logs = match self {
            Self::Refused { logs, .. } | Self::Trapped { logs, .. } => &**logs,
            Self::Unlinkable(_) => &[],
        };
        logs.iter().map(|(level, message)| format!("{level}: {message}\n")).collect()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { callback, .. } => {
                write!(f, "the plugin refused to start in {callback}")?;
            }
            Self::Trapped { trap, .. } => write!(f, "{trap}")?,
            Self::Unlinkable(reason) => write!(f, "the plugin cannot be linked: {reason}")?,
        }
        let logs = self.log_text();
        if logs.is_empty() { Ok(()) } else { write!(f, "\nit logged:\n{}", logs.trim_end()) }
    }
}

impl std::error::Error for StartError {}
