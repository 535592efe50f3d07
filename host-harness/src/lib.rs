//! A proxy-wasm host for tests: it runs the real plugin file on wasmtime and
//! plays requests through it as Envoy, nginx or a lacking host would.
//!
//! Everything that a real host leaves to chance is decided here by the test:
//! the clock stands still until it is moved, randomness comes from a seed, any
//! host call can be made to answer any status, and the order in which several
//! VMs take their turns is the order in which the test calls them. Every host
//! call is written into a [`Trace`] that a test can compare with lines of text.
//!
//! ```no_run
//! use portcullis_harness::{Fault, Host, HostProfile, Plugin, Request, Status};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plugin = Plugin::from_file("target/portcullis.wasm")?; // compiled once, shared by all hosts
//! let host = Host::new(&plugin, HostProfile::envoy()).configuration(r#"{"gate": …}"#);
//! let mut worker = host.start()?;
//!
//! let outcome = worker.request(Request::get("/flights").header("agent-passport", ":…:"));
//! assert_eq!(outcome.status(), 200);
//! assert!(outcome.admitted());
//!
//! host.inject(Fault::status("proxy_get_shared_data", Status::INTERNAL_FAILURE));
//! assert_eq!(worker.request(Request::get("/flights")).status(), 503);
//! # Ok(())
//! # }
//! ```
//!
//! The names of things: a [`Plugin`] is a compiled file; a [`Host`] is one
//! proxy process with its shared data, queues, metrics and clock; a [`Vm`] is
//! one of its workers. The library knows the ABI (version 0.2.1) and nothing
//! about passports, so it cannot share the verifier's mistakes.

mod abi;
mod fault;
mod headers;
mod host;
mod outcome;
mod play;
mod profile;
mod request;
mod shared;
mod start;
mod state;
mod status;
mod stream;
mod trace;
mod trap;
mod vm;

pub use fault::Fault;
pub use headers::Headers;
pub use host::{Host, HostError, LogLevel, Plugin};
pub use outcome::{Origin, Outcome, Reply, UpstreamRequest};
pub use play::Step;
pub use profile::{AuthorityView, BodyDelivery, CasRules, HeaderPause, HostProfile};
pub use request::{Request, Response};
pub use start::StartError;
pub use state::HttpCall;
pub use status::Status;
pub use stream::{Action, Passed, StreamId};
pub use trace::Trace;
pub use trap::{Trap, TrapKind};
pub use vm::Vm;
