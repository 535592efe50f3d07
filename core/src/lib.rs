//! The verifier of Portcullis: what a gate decides, as a function of bytes, a snapshot
//! and a time. No clock, no randomness, no I/O, no knowledge of any proxy.
//!
//! [`Verifier::begin`] shows the order of checks for a request, [`modei::verify`] that
//! for a passport.

#![no_std]

extern crate alloc;

mod anonymous;
mod approval;
pub mod attestation;
pub mod base64;
mod cache;
pub mod capiscio;
pub mod catalog;
mod config;
mod counters;
mod denial;
mod ed25519;
mod explanation;
pub mod guardrails;
mod handed;
pub mod json;
mod jws;
pub mod live;
mod mcp;
mod memory;
pub mod modei;
mod ordered;
mod presented;
mod process;
mod proof;
mod reason;
pub mod receipt;
mod replay;
mod request;
mod route;
mod snapshot;
pub mod spend;
mod time;
mod trust;
mod verifier;

pub use cache::CredentialCache;
pub use config::{
    AcceptSelfSigned, AnonymousConfig, ApprovalConfig, AttestConfig, AttestPolicy, BadgeIssuerConfig,
    CatalogPricesConfig, Compatibility, Config, ConfigError, DidDocumentConfig, DisabledAgent, GateConfig,
    GateConfiguration, GuardrailsConfig, HostKind, IssuerConfig, IssuerKind, KeyConfig, McpConfig,
    McpTargetConfig, Mode, PassportConstraintsConfig, PriceSince, Profile, Repeats, ReservedHeaders,
    RevokedBadge, RevokedPassport, RouteConfig, SelfIssuedConfig, Service, ServiceConfig, SimpleGuardAgent,
    SpendConfig, TrustConfig, Windows, WindowsConfig,
};
pub use counters::{
    Charged, CounterClass, CounterFault, CounterKey, CounterPage, CounterSecret, CounterTrace, Counters,
    LocalCounters, Usage, WINDOWS as COUNTER_WINDOWS,
};
pub use denial::{Denial, Told};
pub use ed25519::{BatchVerifier, PublicKey, SecretKey, SignatureClaim, sha256};
pub use explanation::Explanation;
pub use handed::{Handed, Unrecognised};
pub use memory::{LocalMemory, Memory};
pub use presented::{Carrier, Kind};
pub use process::Process;
pub use proof::{
    BodyDigest, ContentDigest, Holder, Proof, ProofDraft, ProofWindows, nonce_wanted, verify_proof,
};
pub use reason::Reason;
pub use replay::{LocalReplay, Novelty, Once, Replay, ReplayFault, ReplayPage, ReplaySecret, Trace};
pub use request::{Method, RequestHead, normal_path};
pub use route::{Access, Route, Routes};
pub use snapshot::Snapshot;
pub use time::{CLOCK_SKEW_MS, UnixTime};
pub use trust::{SIMPLEGUARD_ISSUER, Tier, Trust};
pub use verifier::{
    BoundRequest, Credential, Held, Identity, Metered, Pending, Permit, Refused, Step, Verifier, Wanted,
    check_window,
};
