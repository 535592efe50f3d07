use std::fmt;

use wasmtime::Trap as Fault;

/// Why a VM died. A VM dies once; every later call finds it dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The export that was running, such as `proxy_on_request_headers`.
    pub callback: &'static str,
    /// What happened.
    pub kind: TrapKind,
    /// The engine's own words, with the guest's call stack.
    pub message: String,
}

/// What stopped the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// It called WASI's `proc_exit` with this code.
    Exit(u32),
    /// It reached outside its memory.
    OutOfBounds,
    /// It ran longer than [`Host::fuel_per_callback`](crate::Host::fuel_per_callback) allows: an endless loop.
    OutOfFuel,
    /// Anything else; the message tells.
    Other,
    /// Its call stack overflowed.
    StackOverflow,
    /// It executed `unreachable`: a panic or an abort of the plugin.
    Unreachable,
}

/// The error by which `proc_exit` unwinds the guest.
#[derive(Debug)]
pub(crate) struct Exited(pub(crate) u32);

impl Trap {
    pub(crate) fn new(callback: &'static str, error: &wasmtime::Error) -> Self {
        let kind = if let Some(Exited(code)) = error.downcast_ref() {
            TrapKind::Exit(*code)
        } else {
            match error.downcast_ref::<Fault>() {
                Some(Fault::UnreachableCodeReached) => TrapKind::Unreachable,
                Some(Fault::OutOfFuel) => TrapKind::OutOfFuel,
                Some(Fault::MemoryOutOfBounds) => TrapKind::OutOfBounds,
                Some(Fault::StackOverflow) => TrapKind::StackOverflow,
                _ => TrapKind::Other,
            }
        };
        Self { callback, kind, message: format!("{error:?}") }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin trapped in {} ({:?}): {}", self.callback, self.kind, self.message)
    }
}

impl std::error::Error for Trap {}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin called proc_exit({})", self.0)
    }
}

impl std::error::Error for Exited {}
