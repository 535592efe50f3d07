//! CapiscIO's credentials: Trust Badges (RFC-002) and SimpleGuard request signatures.
//!
//! A Trust Badge is a JWS in which an issuer says which agent holds which key, and how
//! well it knows that agent. It grants nothing. A SimpleGuard signature is a JWS in which
//! an agent signs the digest of a request's body, and names the key that it signs with.

mod badge;
mod did;
mod issue;
mod jwk;
mod level;
mod simpleguard;
mod verify;

pub use badge::{Badge, IssuerKey};
pub use did::{DidDocument, did_of_key, is_did, key_of_did};
pub use issue::{BadgeDraft, BadgeIssuer, sign_request};
pub use jwk::{Jwks, key_of_jwk};
pub use level::{Ial, Level};
pub use simpleguard::{RequestSignature, is_request_signature, key_id, verify as verify_request_signature};
pub use verify::{Audience, check_standing, verify};

pub(crate) use badge::{is_https_origin, is_uuid_v4};
pub(crate) use simpleguard::{claims_to_be_badge, unsigned_body};
pub(crate) use verify::check_standing_with;
