//! Why a request was refused.

/// Every reason for which a gate refuses; [`HostFault`](Reason::HostFault) alone is never this crate's own. Exhaustive on purpose: a new reason
/// must break every table that turns reasons into something else.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "`Reason::meaning` says what each one means")]
pub enum Reason {
    AgentDisabled,
    AnonymousNotAllowed,
    ApprovalRequired,
    ApprovalUnavailable,
    AuthorityUnknown,
    BadgeAgentDisabled,
    BadgeAudienceMismatch,
    BadgeClaimsInvalid,
    BadgeExpired,
    BadgeIssuerUntrusted,
    BadgeLevelInsufficient,
    BadgeMalformed,
    BadgeNotYetValid,
    BadgeRevoked,
    BadgeSignatureInvalid,
    BodyDigestMismatch,
    BodyLengthMissing,
    BodyNotSigned,
    BodyTooLarge,
    CatalogPinMismatch,
    CatalogPinMissing,
    ChallengeExpired,
    ChallengeGateMismatch,
    ChallengeKeyMismatch,
    ChallengeProcessMismatch,
    ChallengeUnknown,
    ConstraintNotEnforceable,
    ConstraintUnknown,
    ConstraintViolated,
    CounterMemoryFull,
    CredentialAmbiguous,
    CredentialLifetimeExceeded,
    CredentialMalformed,
    CredentialMissing,
    DelegationAuthorityMissing,
    DelegationChainInvalidRoot,
    DelegationChainTooDeep,
    DigestAlgorithmUnsupported,
    DigestMalformed,
    EnvelopeTooLarge,
    ExpiryExtensionInChain,
    HeaderAmbiguous,
    HeaderReserved,
    HostFault,
    InvalidEnvelopeShape,
    IssuerCeilingExceeded,
    IssuerDomainUnverified,
    McpHeaderMismatch,
    McpMessageMalformed,
    McpMethodUnknown,
    McpToolUnknown,
    MethodUnknown,
    NonceAuthorityUnavailable,
    PassportExpired,
    PassportNotYetValid,
    PassportRevoked,
    PathAmbiguous,
    PermissionDenied,
    PermissionElevationInChain,
    ProofAlgorithmUnsupported,
    ProofAmbiguous,
    ProofComponentMissing,
    ProofComponentUnknown,
    ProofExpired,
    ProofKeyMismatch,
    ProofMalformed,
    ProofMissing,
    ProofNonceMissing,
    ProofNonceTooShort,
    ProofNotYetValid,
    ProofPredatesGate,
    ProofSignatureInvalid,
    PublicKeyMalformed,
    RateLimitExceeded,
    RecordQueueFull,
    RecordUnacknowledged,
    ReplayMemoryFull,
    RequestReplayed,
    RevocationCheckFailed,
    RouteUnknown,
    SelfIssuedNotAllowed,
    SelfIssuedPlatformCeilingExceeded,
    SignatureInvalid,
    SignatureKeyUnavailable,
    SignatureMalformed,
    SimpleguardExpired,
    SimpleguardKeyUntrusted,
    SimpleguardMalformed,
    SimpleguardNotYetValid,
    SimpleguardSignatureInvalid,
    SpendLeasePending,
    SpendLimitExceeded,
    TrustMaterialMissing,
    TrustMaterialStale,
    TrustTierInsufficient,
    UnsupportedSchemaVersion,
    UpgradeRefused,
}

impl Reason {
    /// All reasons, in the order of their names here.
    pub const ALL: [Reason; 97] = [
        Reason::AgentDisabled,
        Reason::AnonymousNotAllowed,
        Reason::ApprovalRequired,
        Reason::ApprovalUnavailable,
        Reason::AuthorityUnknown,
        Reason::BadgeAgentDisabled,
        Reason::BadgeAudienceMismatch,
        Reason::BadgeClaimsInvalid,
        Reason::BadgeExpired,
        Reason::BadgeIssuerUntrusted,
        Reason::BadgeLevelInsufficient,
        Reason::BadgeMalformed,
        Reason::BadgeNotYetValid,
        Reason::BadgeRevoked,
        Reason::BadgeSignatureInvalid,
        Reason::BodyDigestMismatch,
        Reason::BodyLengthMissing,
        Reason::BodyNotSigned,
        Reason::BodyTooLarge,
        Reason::CatalogPinMismatch,
        Reason::CatalogPinMissing,
        Reason::ChallengeExpired,
        Reason::ChallengeGateMismatch,
        Reason::ChallengeKeyMismatch,
        Reason::ChallengeProcessMismatch,
        Reason::ChallengeUnknown,
        Reason::ConstraintNotEnforceable,
        Reason::ConstraintUnknown,
        Reason::ConstraintViolated,
        Reason::CounterMemoryFull,
        Reason::CredentialAmbiguous,
        Reason::CredentialLifetimeExceeded,
        Reason::CredentialMalformed,
        Reason::CredentialMissing,
        Reason::DelegationAuthorityMissing,
        Reason::DelegationChainInvalidRoot,
        Reason::DelegationChainTooDeep,
        Reason::DigestAlgorithmUnsupported,
        Reason::DigestMalformed,
        Reason::EnvelopeTooLarge,
        Reason::ExpiryExtensionInChain,
        Reason::HeaderAmbiguous,
        Reason::HeaderReserved,
        Reason::HostFault,
        Reason::InvalidEnvelopeShape,
        Reason::IssuerCeilingExceeded,
        Reason::IssuerDomainUnverified,
        Reason::McpHeaderMismatch,
        Reason::McpMessageMalformed,
        Reason::McpMethodUnknown,
        Reason::McpToolUnknown,
        Reason::MethodUnknown,
        Reason::NonceAuthorityUnavailable,
        Reason::PassportExpired,
        Reason::PassportNotYetValid,
        Reason::PassportRevoked,
        Reason::PathAmbiguous,
        Reason::PermissionDenied,
        Reason::PermissionElevationInChain,
        Reason::ProofAlgorithmUnsupported,
        Reason::ProofAmbiguous,
        Reason::ProofComponentMissing,
        Reason::ProofComponentUnknown,
        Reason::ProofExpired,
        Reason::ProofKeyMismatch,
        Reason::ProofMalformed,
        Reason::ProofMissing,
        Reason::ProofNonceMissing,
        Reason::ProofNonceTooShort,
        Reason::ProofNotYetValid,
        Reason::ProofPredatesGate,
        Reason::ProofSignatureInvalid,
        Reason::PublicKeyMalformed,
        Reason::RateLimitExceeded,
        Reason::RecordQueueFull,
        Reason::RecordUnacknowledged,
        Reason::ReplayMemoryFull,
        Reason::RequestReplayed,
        Reason::RevocationCheckFailed,
        Reason::RouteUnknown,
        Reason::SelfIssuedNotAllowed,
        Reason::SelfIssuedPlatformCeilingExceeded,
        Reason::SignatureInvalid,
        Reason::SignatureKeyUnavailable,
        Reason::SignatureMalformed,
        Reason::SimpleguardExpired,
        Reason::SimpleguardKeyUntrusted,
        Reason::SimpleguardMalformed,
        Reason::SimpleguardNotYetValid,
        Reason::SimpleguardSignatureInvalid,
        Reason::SpendLeasePending,
        Reason::SpendLimitExceeded,
        Reason::TrustMaterialMissing,
        Reason::TrustMaterialStale,
        Reason::TrustTierInsufficient,
        Reason::UnsupportedSchemaVersion,
        Reason::UpgradeRefused,
    ];

    /// The stable code of this reason. The protocol's own code where the failure is one
    /// of Modei's or CapiscIO's.
    pub const fn code(self) -> &'static str {
        self.code_and_meaning().0
    }

    /// What was found, in a sentence.
    pub const fn meaning(self) -> &'static str {
        self.code_and_meaning().1
    }

    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    const fn code_and_meaning(self) -> (&'static str, &'static str) {
        match self {
            Reason::AgentDisabled => {
                ("agent_disabled", "The agent, or one that delegated to it, is disabled at this gate.")
            }
            Reason::AnonymousNotAllowed => (
                "anonymous_not_allowed",
                "The request carries no credential, and the gate's policy for such requests does not let it pass.",
            ),
            Reason::ApprovalRequired => {
                ("approval_required", "A person must approve of the request before it may pass.")
            }
            Reason::ApprovalUnavailable => (
                "approval_unavailable",
                "A person must approve of the request, and the gate cannot ask one: it keeps no records, or has no room for this one.",
            ),
            Reason::AuthorityUnknown => (
                "authority_unknown",
                "The request names a host (authority) that is not one of this gate's own.",
            ),
            Reason::BadgeAgentDisabled => {
                ("BADGE_AGENT_DISABLED", "The agent that the badge is about is not active.")
            }
            Reason::BadgeAudienceMismatch => {
                ("BADGE_AUDIENCE_MISMATCH", "The badge is for others than this gate.")
            }
            Reason::BadgeClaimsInvalid => (
                "BADGE_CLAIMS_INVALID",
                "A claim that RFC-002 asks for is missing or malformed, or two of them contradict each other.",
            ),
            Reason::BadgeExpired => {
                ("BADGE_EXPIRED", "The badge's time is over, by more than the allowed clock skew of 60 s.")
            }
            Reason::BadgeIssuerUntrusted => {
                ("BADGE_ISSUER_UNTRUSTED", "The badge's issuer is not one that this gate trusts.")
            }
            Reason::BadgeLevelInsufficient => (
                "badge_level_insufficient",
                "The badge is of a lower trust level, or of less identity assurance, than the gate asks for.",
            ),
            Reason::BadgeMalformed => {
                ("BADGE_MALFORMED", "The badge is not a compact JWS of EdDSA with strict JSON in it.")
            }
            Reason::BadgeNotYetValid => (
                "BADGE_NOT_YET_VALID",
                "The badge's time has not begun, by more than the allowed clock skew of 60 s.",
            ),
            Reason::BadgeRevoked => ("BADGE_REVOKED", "The badge is revoked."),
            Reason::BadgeSignatureInvalid => {
                ("BADGE_SIGNATURE_INVALID", "No valid key of the badge's issuer has made its signature.")
            }
            Reason::BodyDigestMismatch => {
                ("body_digest_mismatch", "The body is not the one that was signed.")
            }
            Reason::BodyLengthMissing => (
                "body_length_missing",
                "The request does not say how long its body is, and this gate's proxy does not tell of a body that turns out to be empty.",
            ),
            Reason::BodyNotSigned => {
                ("body_not_signed", "The request has a body, and its signature does not cover it.")
            }
            Reason::BodyTooLarge => {
                ("body_too_large", "The body is longer than this gate reads to check what was signed.")
            }
            Reason::CatalogPinMismatch => (
                "catalog_pin_mismatch",
                "The catalog version that the passport is pinned to is not one that the gate has published.",
            ),
            Reason::CatalogPinMissing => (
                "catalog_pin_missing",
                "The action has a price by the gate's catalog, and the credential is pinned to no version of it.",
            ),
            Reason::ChallengeExpired => {
                ("challenge_expired", "The challenge that the request's proof answers is too old.")
            }
            Reason::ChallengeGateMismatch => (
                "challenge_gate_mismatch",
                "The challenge that the request's proof answers is another gate's.",
            ),
            Reason::ChallengeKeyMismatch => (
                "challenge_key_mismatch",
                "The challenge that the request's proof answers was made for another agent key.",
            ),
            Reason::ChallengeProcessMismatch => (
                "challenge_process_mismatch",
                "The challenge that the request's proof answers was made by a proxy process that is no more, or by another of several.",
            ),
            Reason::ChallengeUnknown => (
                "challenge_unknown",
                "The nonce of the request's proof is no challenge that this gate has made.",
            ),
            Reason::ConstraintNotEnforceable => (
                "constraint_not_enforceable",
                "The permission carries a constraint that this gate cannot judge, so it cannot be sure to keep it.",
            ),
            Reason::ConstraintUnknown => (
                "constraint_unknown",
                "The permission carries a constraint that this gate does not know or cannot read.",
            ),
            Reason::ConstraintViolated => (
                "constraint_violated",
                "The request does not keep to a constraint of its permission or of the gate.",
            ),
            Reason::CounterMemoryFull => (
                "counter_memory_full",
                "The gate can count no more agents, and so cannot tell whether a limit is reached.",
            ),
            Reason::CredentialAmbiguous => {
                ("credential_ambiguous", "The request carries more than one credential.")
            }
            Reason::CredentialLifetimeExceeded => (
                "credential_lifetime_exceeded",
                "The credential, or one that it was delegated from, is made to live longer than the gate's profile allows.",
            ),
            Reason::CredentialMalformed => {
                ("credential_malformed", "The credential's header is not of the form that its kind has.")
            }
            Reason::CredentialMissing => {
                ("credential_missing", "The route needs a credential and the request carries none.")
            }
            Reason::DelegationAuthorityMissing => (
                "delegation_authority_missing",
                "A passport in the delegation chain may not be delegated from.",
            ),
            Reason::DelegationChainInvalidRoot => (
                "delegation_chain_invalid_root",
                "The delegation chain is empty, or does not begin with a passport that stands on its own.",
            ),
            Reason::DelegationChainTooDeep => {
                ("delegation_chain_too_deep", "The delegation chain has more than five entries.")
            }
            Reason::DigestAlgorithmUnsupported => (
                "digest_algorithm_unsupported",
                "The request's Content-Digest uses an algorithm other than sha-256 and sha-512.",
            ),
            Reason::DigestMalformed => (
                "digest_malformed",
                "The request's Content-Digest is not of the form that RFC 9530 gives it.",
            ),
            Reason::EnvelopeTooLarge => (
                "envelope_too_large",
                "An envelope is larger than 65,536 canonical bytes, its chain not counted.",
            ),
            Reason::ExpiryExtensionInChain => {
                ("expiry_extension_in_chain", "A delegated passport outlives the one it was delegated from.")
            }
            Reason::HeaderAmbiguous => {
                ("header_ambiguous", "A header that must stand alone is there twice, or contradicts another.")
            }
            Reason::HeaderReserved => (
                "header_reserved",
                "The request carries a header that only the gate may set, or that shows another request than the one that was judged, and this gate's proxy cannot take it out.",
            ),
            Reason::HostFault => {
                ("host_fault", "The gate could not check the request, and so did not let it through.")
            }
            Reason::InvalidEnvelopeShape => (
                "invalid_envelope_shape",
                "The passport is not a version 2 envelope, or says something that contradicts its own keys.",
            ),
            Reason::IssuerCeilingExceeded => (
                "issuer_ceiling_exceeded",
                "The passport grants the action, but its issuer may not grant it at this gate.",
            ),
            Reason::IssuerDomainUnverified => (
                "issuer_domain_unverified",
                "The credential's issuer has not shown that its domain is its own, as the gate's profile asks.",
            ),
            Reason::McpHeaderMismatch => (
                "mcp_header_mismatch",
                "A header of the request names another MCP method or tool than the message in its body.",
            ),
            Reason::McpMessageMalformed => (
                "mcp_message_malformed",
                "The body is not one JSON-RPC message that every reader reads the same way.",
            ),
            Reason::McpMethodUnknown => {
                ("mcp_method_unknown", "The gate does not list the MCP method that the message asks for.")
            }
            Reason::McpToolUnknown => {
                ("mcp_tool_unknown", "The gate does not list the tool that the message calls.")
            }
            Reason::MethodUnknown => {
                ("method_unknown", "The request's method is not one that this gate lets through.")
            }
            Reason::NonceAuthorityUnavailable => (
                "nonce_authority_unavailable",
                "The control service did not say in time whether the request's nonce is new.",
            ),
            Reason::PassportExpired => (
                "passport_expired",
                "The passport's time is over, by more than the allowed clock skew of 60 s.",
            ),
            Reason::PassportNotYetValid => (
                "passport_not_yet_valid",
                "The passport was issued in the future, by more than the allowed clock skew of 60 s.",
            ),
            Reason::PassportRevoked => {
                ("passport_revoked", "The passport, or one that it was delegated from, is revoked.")
            }
            Reason::PathAmbiguous => {
                ("path_ambiguous", "The request's path can be read in more than one way.")
            }
            Reason::PermissionDenied => {
                ("permission_denied", "The passport does not grant the action that this route asks for.")
            }
            Reason::PermissionElevationInChain => (
                "permission_elevation_in_chain",
                "A delegated passport grants more than the one it was delegated from.",
            ),
            Reason::ProofAlgorithmUnsupported => (
                "proof_algorithm_unsupported",
                "The request's proof is made with an algorithm other than ed25519.",
            ),
            Reason::ProofAmbiguous => {
                ("proof_ambiguous", "The request carries more than one proof, or one of its labels twice.")
            }
            Reason::ProofComponentMissing => {
                ("proof_component_missing", "The request's proof does not cover all that it must.")
            }
            Reason::ProofComponentUnknown => (
                "proof_component_unknown",
                "The request's proof covers something that this gate does not know how to check.",
            ),
            Reason::ProofExpired => {
                ("proof_expired", "The request's proof was made too long ago, or its `expires` is over.")
            }
            Reason::ProofKeyMismatch => {
                ("proof_key_mismatch", "The request's proof names another key than the credential's.")
            }
            Reason::ProofMalformed => {
                ("proof_malformed", "The request's proof is not of the form that RFC 9421 gives it.")
            }
            Reason::ProofMissing => (
                "proof_missing",
                "The gate's profile asks for a signature over the request, and it carries none.",
            ),
            Reason::ProofNonceMissing => ("proof_nonce_missing", "The request's proof has no nonce."),
            Reason::ProofNonceTooShort => {
                ("proof_nonce_too_short", "The nonce of the request's proof has less than 128 bits.")
            }
            Reason::ProofNotYetValid => (
                "proof_not_yet_valid",
                "The request's proof was made in the future, by more than the allowed clock skew.",
            ),
            Reason::ProofPredatesGate => (
                "proof_predates_gate",
                "The request's proof was made before the gate's process began, so the gate cannot know whether it was used.",
            ),
            Reason::ProofSignatureInvalid => (
                "proof_signature_invalid",
                "The credential's agent key has not signed this request as it came.",
            ),
            Reason::PublicKeyMalformed => {
                ("public_key_malformed", "A public key in the passport is not the base64 of 32 bytes.")
            }
            Reason::RateLimitExceeded => (
                "rate_limit_exceeded",
                "The request comes more often than its permission or the gate allows.",
            ),
            Reason::RecordQueueFull => (
                "record_queue_full",
                "The gate can keep no more records of decisions until its control service has taken some.",
            ),
            Reason::RecordUnacknowledged => (
                "record_unacknowledged",
                "The control service did not take the record of the decision in time, and the gate waits for that.",
            ),
            Reason::ReplayMemoryFull => (
                "replay_memory_full",
                "The gate can remember no more of what may be used once, and so cannot tell whether this was.",
            ),
            Reason::RequestReplayed => ("request_replayed", "The request's signature was used before."),
            Reason::RevocationCheckFailed => (
                "REVOCATION_CHECK_FAILED",
                "What the gate knows of the issuer's revocations is too old to let a badge of level 2 or higher pass.",
            ),
            Reason::RouteUnknown => ("route_unknown", "No route of this gate has this path and method."),
            Reason::SelfIssuedNotAllowed => (
                "self_issued_not_allowed",
                "The passport was signed by its own agent, and this gate admits no such passports.",
            ),
            Reason::SelfIssuedPlatformCeilingExceeded => (
                "self_issued_platform_ceiling_exceeded",
                "The passport grants itself an action that self-issued passports may not have at this gate.",
            ),
            Reason::SignatureInvalid => (
                "signature_invalid",
                "A signature does not fit the passport and the key that must have signed it.",
            ),
            Reason::SignatureKeyUnavailable => (
                "signature_key_unavailable",
                "The gate holds no valid key of the issuer that the passport names.",
            ),
            Reason::SignatureMalformed => {
                ("signature_malformed", "A signature in the passport is not the base64 of 64 bytes.")
            }
            Reason::SimpleguardExpired => (
                "simpleguard_expired",
                "The signature's time is over, by more than the allowed clock skew of 60 s.",
            ),
            Reason::SimpleguardKeyUntrusted => (
                "simpleguard_key_untrusted",
                "The signature names a key that is not in the gate's trust store.",
            ),
            Reason::SimpleguardMalformed => (
                "simpleguard_malformed",
                "The signature is not a SimpleGuard JWS with the claims that one needs.",
            ),
            Reason::SimpleguardNotYetValid => (
                "simpleguard_not_yet_valid",
                "The signature was made in the future, by more than the allowed clock skew of 60 s.",
            ),
            Reason::SimpleguardSignatureInvalid => {
                ("simpleguard_signature_invalid", "The key that the signature names has not made it.")
            }
            Reason::SpendLeasePending => (
                "spend_lease_pending",
                "The gate has asked for more of what may be spent, and has none at hand.",
            ),
            Reason::SpendLimitExceeded => (
                "spend_limit_exceeded",
                "The request costs more than its permission or the gate allows to be spent.",
            ),
            Reason::TrustMaterialMissing => (
                "trust_material_missing",
                "The gate has not received yet whom to trust, and so cannot judge the request.",
            ),
            Reason::TrustMaterialStale => (
                "trust_material_stale",
                "What the gate knows of whom to trust is too old to judge the request by.",
            ),
            Reason::TrustTierInsufficient => (
                "trust_tier_insufficient",
                "The passport's issuer is of a lower tier than the gate's profile asks for.",
            ),
            Reason::UnsupportedSchemaVersion => {
                ("unsupported_schema_version", "The passport is of another version than 2.")
            }
            Reason::UpgradeRefused => (
                "upgrade_refused",
                "The request asks to switch protocols, and its route does not allow that.",
            ),
        }
    }
}
