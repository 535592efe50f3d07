//! Why a request was refused.

/// Every reason for which a gate refuses; [`HostFault`](Reason::HostFault) alone is never this crate's own. Exhaustive on purpose: a new reason
/// must break every table that turns reasons into something else.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "`Reason::meaning` says what each one means")]
pub enum Reason {
    AgentDisabled,
    AuthorityUnknown,
    ConstraintNotEnforceable,
    CredentialAmbiguous,
    CredentialMalformed,
    CredentialMissing,
    DelegationAuthorityMissing,
    DelegationChainInvalidRoot,
    DelegationChainTooDeep,
    EnvelopeTooLarge,
    ExpiryExtensionInChain,
    HeaderAmbiguous,
    HostFault,
    InvalidEnvelopeShape,
    IssuerCeilingExceeded,
    MethodUnknown,
    PassportExpired,
    PassportNotYetValid,
    PassportRevoked,
    PathAmbiguous,
    PermissionDenied,
    PermissionElevationInChain,
    PublicKeyMalformed,
    RouteUnknown,
    SelfIssuedNotAllowed,
    SelfIssuedPlatformCeilingExceeded,
    SignatureInvalid,
    SignatureKeyUnavailable,
    SignatureMalformed,
    TrustTierInsufficient,
    UnsupportedSchemaVersion,
    UpgradeRefused,
}

/// What one reason means, and what to do about it.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The stable code: in replies, records and metrics.
    pub code: &'static str,
    /// What was found.
    pub meaning: &'static str,
    /// Who can mend it.
    pub who: &'static str,
    /// How.
    pub remedy: &'static str,
}

const CALLER: &str = "the agent's developer";
const ISSUER: &str = "the passport's issuer";
const OPERATOR: &str = "the gate's operator";

impl Reason {
    /// All reasons, by code.
    pub const ALL: [Reason; 32] = [
        Reason::AgentDisabled,
        Reason::AuthorityUnknown,
        Reason::ConstraintNotEnforceable,
        Reason::CredentialAmbiguous,
        Reason::CredentialMalformed,
        Reason::CredentialMissing,
        Reason::DelegationAuthorityMissing,
        Reason::DelegationChainInvalidRoot,
        Reason::DelegationChainTooDeep,
        Reason::EnvelopeTooLarge,
        Reason::ExpiryExtensionInChain,
        Reason::HeaderAmbiguous,
        Reason::HostFault,
        Reason::InvalidEnvelopeShape,
        Reason::IssuerCeilingExceeded,
        Reason::MethodUnknown,
        Reason::PassportExpired,
        Reason::PassportNotYetValid,
        Reason::PassportRevoked,
        Reason::PathAmbiguous,
        Reason::PermissionDenied,
        Reason::PermissionElevationInChain,
        Reason::PublicKeyMalformed,
        Reason::RouteUnknown,
        Reason::SelfIssuedNotAllowed,
        Reason::SelfIssuedPlatformCeilingExceeded,
        Reason::SignatureInvalid,
        Reason::SignatureKeyUnavailable,
        Reason::SignatureMalformed,
        Reason::TrustTierInsufficient,
        Reason::UnsupportedSchemaVersion,
        Reason::UpgradeRefused,
    ];

    /// The stable code of this reason. Modei's own code where the failure is one of
    /// its protocol's.
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// What this reason means, who mends it and how.
    pub const fn explanation(self) -> Explanation {
        let (code, meaning, who, remedy) = match self {
            Reason::AgentDisabled => (
                "agent_disabled",
                "The agent, or one that delegated to it, is disabled at this gate.",
                OPERATOR,
                "Take the agent out of trust.disabled_agents if it may act again.",
            ),
            Reason::AuthorityUnknown => (
                "authority_unknown",
                "The request names a host (authority) that is not one of this gate's own.",
                OPERATOR,
                "List the host, with its port if it is not the scheme's own, in `authorities`; or call the gate by one of its names.",
            ),
            Reason::ConstraintNotEnforceable => (
                "constraint_not_enforceable",
                "The permission carries a constraint that this gate cannot judge, so it cannot be sure to keep it.",
                ISSUER,
                "Issue the permission without the constraint named in the detail, or send the request to a gate that enforces it.",
            ),
            Reason::CredentialAmbiguous => (
                "credential_ambiguous",
                "The request carries more than one credential.",
                CALLER,
                "Send exactly one: Agent-Passport, or a passport JWT in Authorization.",
            ),
            Reason::CredentialMalformed => (
                "credential_malformed",
                "The credential's header is not of the form that its kind has.",
                CALLER,
                "Send `Agent-Passport: :<standard base64 of the passport's JSON>:`, or `Authorization: Bearer <compact JWS>` of type passport+jwt signed with EdDSA.",
            ),
            Reason::CredentialMissing => (
                "credential_missing",
                "The route needs a credential and the request carries none.",
                CALLER,
                "Send the agent's passport in the Agent-Passport header.",
            ),
            Reason::DelegationAuthorityMissing => (
                "delegation_authority_missing",
                "A passport in the delegation chain may not be delegated from.",
                ISSUER,
                "Issue the parent passport with delegation_authority true.",
            ),
            Reason::DelegationChainInvalidRoot => (
                "delegation_chain_invalid_root",
                "The delegation chain is empty, or does not begin with a passport that stands on its own.",
                CALLER,
                "Delegate from a whole signed passport; the first entry must have no chain and not be of type delegate.",
            ),
            Reason::DelegationChainTooDeep => (
                "delegation_chain_too_deep",
                "The delegation chain has more than five entries.",
                CALLER,
                "Delegate from a passport nearer to the root.",
            ),
            Reason::EnvelopeTooLarge => (
                "envelope_too_large",
                "An envelope is larger than 65,536 canonical bytes, its chain not counted.",
                ISSUER,
                "Issue a passport with fewer permissions or shorter constraints.",
            ),
            Reason::ExpiryExtensionInChain => (
                "expiry_extension_in_chain",
                "A delegated passport outlives the one it was delegated from.",
                CALLER,
                "Delegate again with an expiry no later than the parent's.",
            ),
            Reason::HeaderAmbiguous => (
                "header_ambiguous",
                "A header that must stand alone is there twice, or contradicts another.",
                CALLER,
                "Send each of Agent-Passport, Authorization and Host once.",
            ),
            Reason::HostFault => (
                "host_fault",
                "The gate could not check the request, and so did not let it through.",
                OPERATOR,
                "The gate's log says which call of its host failed. The request may be sent again.",
            ),
            Reason::InvalidEnvelopeShape => (
                "invalid_envelope_shape",
                "The passport is not a version 2 envelope, or says something that contradicts its own keys.",
                ISSUER,
                "Issue the passport with a current Modei SDK and send it unchanged; the detail names the member at fault.",
            ),
            Reason::IssuerCeilingExceeded => (
                "issuer_ceiling_exceeded",
                "The passport grants the action, but its issuer may not grant it at this gate.",
                OPERATOR,
                "Add the action to the issuer's `actions` if that issuer is to grant it here.",
            ),
            Reason::MethodUnknown => (
                "method_unknown",
                "The request's method is not one that this gate lets through.",
                CALLER,
                "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in capitals.",
            ),
            Reason::PassportExpired => (
                "passport_expired",
                "The passport's time is over, by more than the allowed clock skew of 60 s.",
                CALLER,
                "Issue or fetch a new passport; check the gate's clock if the passport should be valid.",
            ),
            Reason::PassportNotYetValid => (
                "passport_not_yet_valid",
                "The passport was issued in the future, by more than the allowed clock skew of 60 s.",
                ISSUER,
                "Set the issuing machine's clock, then issue the passport again.",
            ),
            Reason::PassportRevoked => (
                "passport_revoked",
                "The passport, or one that it was delegated from, is revoked.",
                ISSUER,
                "Issue a new passport if the agent may act again.",
            ),
            Reason::PathAmbiguous => (
                "path_ambiguous",
                "The request's path can be read in more than one way.",
                CALLER,
                "Send the path in normal form: no encoded slash, no backslash, no dot or empty segment, no `;` parameters, no encoded `%` or control character.",
            ),
            Reason::PermissionDenied => (
                "permission_denied",
                "The passport does not grant the action that this route asks for.",
                ISSUER,
                "Issue a passport with the route's action among its permissions.",
            ),
            Reason::PermissionElevationInChain => (
                "permission_elevation_in_chain",
                "A delegated passport grants more than the one it was delegated from.",
                CALLER,
                "Delegate again with permissions and constraints no wider than the parent's.",
            ),
            Reason::PublicKeyMalformed => (
                "public_key_malformed",
                "A public key in the passport is not the base64 of 32 bytes.",
                ISSUER,
                "Write the key as standard base64 with padding.",
            ),
            Reason::RouteUnknown => (
                "route_unknown",
                "No route of this gate has this path and method.",
                OPERATOR,
                "Add a route for the path and method if agents are to use it.",
            ),
            Reason::SelfIssuedNotAllowed => (
                "self_issued_not_allowed",
                "The passport was signed by its own agent, and this gate admits no such passports.",
                OPERATOR,
                "Add `trust.self_issued` with the actions that such agents may have; or have a trusted issuer sign the passport.",
            ),
            Reason::SelfIssuedPlatformCeilingExceeded => (
                "self_issued_platform_ceiling_exceeded",
                "The passport grants itself an action that self-issued passports may not have at this gate.",
                OPERATOR,
                "Add the action to `trust.self_issued.actions`, or have a trusted issuer sign the passport.",
            ),
            Reason::SignatureInvalid => (
                "signature_invalid",
                "A signature does not fit the passport and the key that must have signed it.",
                CALLER,
                "Send the passport exactly as it was signed; if it was, it was signed with another key.",
            ),
            Reason::SignatureKeyUnavailable => (
                "signature_key_unavailable",
                "The gate holds no valid key of the issuer that the passport names.",
                OPERATOR,
                "Add the issuer and its key to the gate's trust material, under the id and key_id in the passport; check the key's validity.",
            ),
            Reason::SignatureMalformed => (
                "signature_malformed",
                "A signature in the passport is not the base64 of 64 bytes.",
                CALLER,
                "Write the signature as standard base64 with padding.",
            ),
            Reason::TrustTierInsufficient => (
                "trust_tier_insufficient",
                "The passport's issuer is of a lower tier than the gate's profile asks for.",
                OPERATOR,
                "Use a passport of a higher-tier issuer, or raise the issuer's tier once it is vetted.",
            ),
            Reason::UnsupportedSchemaVersion => (
                "unsupported_schema_version",
                "The passport is of another version than 2.",
                ISSUER,
                "Issue the passport with schema_version 2.",
            ),
            Reason::UpgradeRefused => (
                "upgrade_refused",
                "The request asks to switch protocols, and its route does not allow that.",
                OPERATOR,
                "Set `allow_upgrade` on the route if the upgraded connection may pass the gate unseen.",
            ),
        };
        Explanation { code, meaning, who, remedy }
    }
}
