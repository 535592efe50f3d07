//! What to do about each reason. Apart from the reasons' codes, so that a plugin, which
//! has no use for advice, does not carry it.

use crate::reason::Reason;

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
const ISSUER: &str = "the credential's issuer";
const OPERATOR: &str = "the gate's operator";

impl Reason {
    /// What this reason means, who mends it and how.
    pub const fn explanation(self) -> Explanation {
        let (who, remedy) = self.who_and_remedy();
        Explanation { code: self.code(), meaning: self.meaning(), who, remedy }
    }

    const fn who_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Reason::AgentDisabled => {
                (OPERATOR, "Take the agent out of trust.disabled_agents if it may act again.")
            }
            Reason::AnonymousNotAllowed => (CALLER, "Send a credential: the detail says where to get one."),
            Reason::ApprovalRequired => (
                CALLER,
                "Wait until it is approved, then send the same request again: same method, path, query and body.",
            ),
            Reason::ApprovalUnavailable => (
                OPERATOR,
                "Let the gate follow a control service, with `attest` other than `off`; if it does, see why its records wait.",
            ),
            Reason::AuthorityUnknown => (
                OPERATOR,
                "List the host, with its port if it is not the scheme's own, in `authorities`; or call the gate by one of its names.",
            ),
            Reason::BadgeAgentDisabled => (
                OPERATOR,
                "Take the agent out of `trust.disabled_agents` if its issuer has enabled it again.",
            ),
            Reason::BadgeAudienceMismatch => (
                CALLER,
                "Ask the issuer for a badge whose `aud` names this gate; its operator knows its `audiences`.",
            ),
            Reason::BadgeClaimsInvalid => (
                ISSUER,
                "Issue the badge as RFC-002 section 4 has it; the detail names the claim. For tools that are known to depart from it there is `compatibility` in the issuer's entry.",
            ),
            Reason::BadgeExpired => {
                (CALLER, "Renew the badge; check the gate's clock if it should be valid.")
            }
            Reason::BadgeIssuerUntrusted => (
                OPERATOR,
                "Add the issuer and its keys to `trust.badge_issuers`; for self-signed badges add the agent's did:key there, or `trust.accept_self_signed`.",
            ),
            Reason::BadgeLevelInsufficient => (
                OPERATOR,
                "Use a badge of a higher level, or lower the issuer's `minimum_level` as far as the gate's profile allows.",
            ),
            Reason::BadgeMalformed => (
                CALLER,
                "Send the badge as it was issued: three parts of base64url with dots between them, and nothing around them.",
            ),
            Reason::BadgeNotYetValid => (ISSUER, "Set the issuing machine's clock, or wait for `nbf`."),
            Reason::BadgeRevoked => (CALLER, "Ask the issuer for a new badge."),
            Reason::BadgeSignatureInvalid => (
                CALLER,
                "Send the badge exactly as it was issued; if it was, the issuer has keys that this gate does not know yet, or no longer.",
            ),
            Reason::BodyDigestMismatch => (
                CALLER,
                "Sign the bytes that are sent, after every encoding and compression, and let no proxy change them.",
            ),
            Reason::BodyLengthMissing => {
                (CALLER, "Send the body with its Content-Length, not in chunks, and over HTTP/1.1.")
            }
            Reason::BodyNotSigned => {
                (CALLER, "Sign the body too: give it to `make_headers` or `sign_outbound` as `body`.")
            }
            Reason::BodyTooLarge => (
                OPERATOR,
                "Send a shorter body, or raise `max_body_bytes` and the proxy's own limit for buffered bodies.",
            ),
            Reason::CatalogPinMismatch => (
                ISSUER,
                "Issue the passport anew, under the catalog that is in force. Right after a catalog was published, try again: the gate may not have heard of it yet.",
            ),
            Reason::CatalogPinMissing => (
                CALLER,
                "Ask the gate's operator for a passport that was issued under its catalog: what has a price is open to those alone who have agreed to it.",
            ),
            Reason::ChallengeExpired => (
                CALLER,
                "Sign the request again, with the nonce of the `Accept-Signature` in this answer; challenges live for a minute.",
            ),
            Reason::ChallengeGateMismatch => {
                (CALLER, "Answer the challenge of the gate that is called, which is in this answer.")
            }
            Reason::ChallengeKeyMismatch => (
                CALLER,
                "Use each challenge with the credential that it was asked for with; one for this credential is in this answer.",
            ),
            Reason::ChallengeProcessMismatch => (
                CALLER,
                "Sign the request again, with the nonce of the `Accept-Signature` in this answer. Where several proxies serve one address, they need affinity by credential.",
            ),
            Reason::ChallengeUnknown => {
                (CALLER, "Take the nonce from the `Accept-Signature` in this answer.")
            }
            Reason::ConstraintNotEnforceable => (
                ISSUER,
                "Issue the permission without the constraint named in the detail, or send the request to a gate that enforces it.",
            ),
            Reason::ConstraintUnknown => (
                ISSUER,
                "Issue the permission with constraints that `docs/guardrails.md` lists, each in the form given there.",
            ),
            Reason::ConstraintViolated => {
                (CALLER, "The detail says which: keep to it, or ask for a permission without it.")
            }
            Reason::CounterMemoryFull => (
                OPERATOR,
                "Wait until the day is over, in UTC, or have fewer agents with limits at this gate.",
            ),
            Reason::CredentialAmbiguous => (
                CALLER,
                "Send exactly one; a SimpleGuard signature may accompany a Trust Badge, and nothing else.",
            ),
            Reason::CredentialLifetimeExceeded => (
                ISSUER,
                "Issue credentials for an hour at most, or for what the gate's `windows.credential_seconds` says.",
            ),
            Reason::CredentialMalformed => (
                CALLER,
                "Send `Agent-Passport: :<standard base64 of the passport's JSON>:`, or `Authorization: Bearer <compact JWS>` of type passport+jwt signed with EdDSA.",
            ),
            Reason::CredentialMissing => (CALLER, "Send the agent's passport in the Agent-Passport header."),
            Reason::DelegationAuthorityMissing => {
                (ISSUER, "Issue the parent passport with delegation_authority true.")
            }
            Reason::DelegationChainInvalidRoot => (
                CALLER,
                "Delegate from a whole signed passport; the first entry must have no chain and not be of type delegate.",
            ),
            Reason::DelegationChainTooDeep => (CALLER, "Delegate from a passport nearer to the root."),
            Reason::DigestAlgorithmUnsupported => {
                (CALLER, "Make the digest with sha-256 or sha-512, and leave others out.")
            }
            Reason::DigestMalformed => (CALLER, "Send one `Content-Digest: sha-256=:<base64 of 32 bytes>:`."),
            Reason::EnvelopeTooLarge => {
                (ISSUER, "Issue a passport with fewer permissions or shorter constraints.")
            }
            Reason::ExpiryExtensionInChain => {
                (CALLER, "Delegate again with an expiry no later than the parent's.")
            }
            Reason::HeaderAmbiguous => (CALLER, "Send each of Agent-Passport, Authorization and Host once."),
            Reason::HeaderReserved => (
                CALLER,
                "Leave out X-Gate-… and X-Capiscio-… headers other than the credential's, headers that override method or path, and credentials under names with `_`.",
            ),
            Reason::HostFault => (
                OPERATOR,
                "The gate's log says which call of its host failed. The request may be sent again.",
            ),
            Reason::InvalidEnvelopeShape => (
                ISSUER,
                "Issue the passport with a current Modei SDK and send it unchanged; the detail names the member at fault.",
            ),
            Reason::IssuerCeilingExceeded => {
                (OPERATOR, "Add the action to the issuer's `actions` if that issuer is to grant it here.")
            }
            Reason::IssuerDomainUnverified => {
                (OPERATOR, "Have the issuer's domain verified, then say so in its entry: `domain_verified`.")
            }
            Reason::McpHeaderMismatch => (
                CALLER,
                "Leave Mcp-Method and Mcp-Name to the MCP client; what changes the body must change them too.",
            ),
            Reason::McpMessageMalformed => (
                CALLER,
                "Send one JSON-RPC 2.0 message as application/json, not encoded; the detail says what was wrong.",
            ),
            Reason::McpMethodUnknown => (
                OPERATOR,
                "List the method in `mcp.methods` of the route, with its action, if agents may use it.",
            ),
            Reason::McpToolUnknown => (
                OPERATOR,
                "List the tool in `mcp.tools` of the route, with its action, if agents may call it.",
            ),
            Reason::MethodUnknown => {
                (CALLER, "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in capitals.")
            }
            Reason::NonceAuthorityUnavailable => (
                OPERATOR,
                "See why the gate does not reach its control service; a gate that alone serves its address needs no `nonce_authority`.",
            ),
            Reason::PassportExpired => (
                CALLER,
                "Issue or fetch a new passport; check the gate's clock if the passport should be valid.",
            ),
            Reason::PassportNotYetValid => {
                (ISSUER, "Set the issuing machine's clock, then issue the passport again.")
            }
            Reason::PassportRevoked => (ISSUER, "Issue a new passport if the agent may act again."),
            Reason::PathAmbiguous => (
                CALLER,
                "Send the path in normal form: no encoded slash, no backslash, no dot or empty segment, no `;` parameters, no encoded `%` or control character.",
            ),
            Reason::PermissionDenied => {
                (ISSUER, "Issue a passport with the route's action among its permissions.")
            }
            Reason::PermissionElevationInChain => {
                (CALLER, "Delegate again with permissions and constraints no wider than the parent's.")
            }
            Reason::ProofAlgorithmUnsupported => (CALLER, "Sign with Ed25519 and `alg=\"ed25519\"`."),
            Reason::ProofAmbiguous => (
                CALLER,
                "Send one signature with the label `agent` and the tag `agent-proof`; others need labels and tags of their own.",
            ),
            Reason::ProofComponentMissing => (
                CALLER,
                "Cover `@method`, `@authority`, `@path`, `@query`, the credential's header, and `content-digest` where there is a body.",
            ),
            Reason::ProofComponentUnknown => {
                (CALLER, "Cover what the `Accept-Signature` in this answer names, and no more.")
            }
            Reason::ProofExpired => {
                (CALLER, "Sign each request when it is sent; check the clocks of agent and gate.")
            }
            Reason::ProofKeyMismatch => (
                CALLER,
                "Sign with the agent key of the credential, with `keyid` the agent's id or DID as the credential has it.",
            ),
            Reason::ProofMalformed => (
                CALLER,
                "Make it with `portcullis sign` or a library for HTTP Message Signatures; the detail says what is wrong.",
            ),
            Reason::ProofMissing => {
                (CALLER, "Sign the request as the `Accept-Signature` in this answer says.")
            }
            Reason::ProofNonceMissing => (CALLER, "Add `nonce` with at least 16 random bytes in base64url."),
            Reason::ProofNonceTooShort => {
                (CALLER, "Make each nonce of at least 16 random bytes, in base64 or base64url.")
            }
            Reason::ProofNotYetValid => (CALLER, "Set the agent's clock."),
            Reason::ProofPredatesGate => (CALLER, "Sign the request again."),
            Reason::ProofSignatureInvalid => (
                CALLER,
                "Sign the method, authority, path and query exactly as they are sent, and let no proxy change them.",
            ),
            Reason::PublicKeyMalformed => (ISSUER, "Write the key as standard base64 with padding."),
            Reason::RateLimitExceeded => (CALLER, "Send it again after the seconds that `Retry-After` says."),
            Reason::RecordQueueFull => (
                OPERATOR,
                "See why the control service takes no records, or set `attest.policy` to `best_effort`.",
            ),
            Reason::RecordUnacknowledged => (
                OPERATOR,
                "See why the control service is slow to take records, or set `attest.policy` to `required`.",
            ),
            Reason::ReplayMemoryFull => (
                OPERATOR,
                "Try again in a minute; if it stays, one caller sends too much, or the gate needs more memory for it.",
            ),
            Reason::RequestReplayed => (
                CALLER,
                "Sign each request anew. Signatures have times in whole seconds: where equal requests within a second are meant, the route needs `simpleguard_repeats`.",
            ),
            Reason::RevocationCheckFailed => {
                (OPERATOR, "Fetch the issuer's revocations again and bundle them with the time of that.")
            }
            Reason::RouteUnknown => {
                (OPERATOR, "Add a route for the path and method if agents are to use it.")
            }
            Reason::SelfIssuedNotAllowed => (
                OPERATOR,
                "Add `trust.self_issued` with the actions that such agents may have; or have a trusted issuer sign the passport.",
            ),
            Reason::SelfIssuedPlatformCeilingExceeded => (
                OPERATOR,
                "Add the action to `trust.self_issued.actions`, or have a trusted issuer sign the passport.",
            ),
            Reason::SignatureInvalid => (
                CALLER,
                "Send the passport exactly as it was signed; if it was, it was signed with another key.",
            ),
            Reason::SignatureKeyUnavailable => (
                OPERATOR,
                "Add the issuer and its key to the gate's trust material, under the id and key_id in the passport; check the key's validity.",
            ),
            Reason::SignatureMalformed => (CALLER, "Write the signature as standard base64 with padding."),
            Reason::SimpleguardExpired => {
                (CALLER, "Sign each request when it is sent; check the clocks of agent and gate.")
            }
            Reason::SimpleguardKeyUntrusted => (
                OPERATOR,
                "Add the agent's public key under the `kid` in the signature's header: `portcullis trust add`.",
            ),
            Reason::SimpleguardMalformed => {
                (CALLER, "Make it with a CapiscIO SDK and send it unchanged; the detail says what is wrong.")
            }
            Reason::SimpleguardNotYetValid => (CALLER, "Set the agent's clock."),
            Reason::SimpleguardSignatureInvalid => (
                CALLER,
                "Send it as it was made; if it was, the gate trusts another key under the same `kid`.",
            ),
            Reason::SpendLeasePending => (CALLER, "Send the request again in a second."),
            Reason::SpendLimitExceeded => (
                CALLER,
                "Wait until the window of the cap that the detail names is over, or ask for a higher one.",
            ),
            Reason::TrustMaterialMissing => (
                OPERATOR,
                "Look in the gate's log why nothing has come from its control service: the upstream, the pinned keys, the gate's own key, the clocks.",
            ),
            Reason::TrustMaterialStale => (
                OPERATOR,
                "Look in the gate's log why nothing new has come from its control service; `service.max_age_seconds` bounds how long the gate goes on without.",
            ),
            Reason::TrustTierInsufficient => (
                OPERATOR,
                "Use a passport of a higher-tier issuer, or raise the issuer's tier once it is vetted.",
            ),
            Reason::UnsupportedSchemaVersion => (ISSUER, "Issue the passport with schema_version 2."),
            Reason::UpgradeRefused => (
                OPERATOR,
                "Set `allow_upgrade` on the route if the upgraded connection may pass the gate unseen.",
            ),
        }
    }
}
