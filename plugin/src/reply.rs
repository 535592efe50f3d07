//! What a client is told about a refusal: one table, and RFC 9457.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use portcullis_core::json::{Value, canonical_text};
use portcullis_core::{Denial, Profile, Reason};

/// An answer in the upstream's stead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The reason's code, of letters, digits and `_`.
    pub code: &'static str,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// A problem in JSON (RFC 9457 section 3).
    pub body: Vec<u8>,
}

impl Reply {
    /// The reply of a gate of this profile to a client whose request is refused. With 401 it
    /// says what is asked for: the profile (RFC 9110 section 11.6.1), and in `wanted` the
    /// proof (RFC 9421 section 5.1).
    pub fn refusing(denial: &Denial, profile: Profile, wanted: Option<String>) -> Self {
        // Evaluated when compiled, so that the plugin carries no other advice.
        const OF_HOST_FAULT: &str = Reason::HostFault.explanation().remedy;
        let detail = match denial.reason {
            // What failed is for the gate's log only.
            Reason::HostFault => OF_HOST_FAULT,
            _ => &denial.detail,
        };
        let status = status(denial.reason);
        let mut headers = vec![("content-type", String::from("application/problem+json"))];
        if status == 401 {
            headers.push(("www-authenticate", format!(r#"AgentPassport profile="{}""#, profile.name())));
            headers.extend(wanted.map(|wanted| ("accept-signature", wanted)));
        }
        let body = problem(status, denial.reason.code(), detail);
        Reply { status, code: denial.reason.code(), headers, body }
    }
}

/// 400 for what can be read in more than one way, 401 for no credential or one that
/// fails, 403 for a good credential that is not enough and for what nobody may do, 503 for
/// what is no fault of the request.
fn status(reason: Reason) -> u16 {
    match reason {
        Reason::AuthorityUnknown
        | Reason::CredentialAmbiguous
        | Reason::HeaderAmbiguous
        | Reason::MethodUnknown
        | Reason::PathAmbiguous
        | Reason::ProofAmbiguous => 400,

        Reason::BadgeAgentDisabled
        | Reason::BadgeAudienceMismatch
        | Reason::BadgeClaimsInvalid
        | Reason::BadgeExpired
        | Reason::BadgeIssuerUntrusted
        | Reason::BadgeMalformed
        | Reason::BadgeNotYetValid
        | Reason::BadgeRevoked
        | Reason::BadgeSignatureInvalid
        | Reason::BodyDigestMismatch
        | Reason::BodyNotSigned
        | Reason::ChallengeExpired
        | Reason::ChallengeGateMismatch
        | Reason::ChallengeKeyMismatch
        | Reason::ChallengeProcessMismatch
        | Reason::ChallengeUnknown
        | Reason::CredentialMalformed
        | Reason::CredentialMissing
        | Reason::DelegationAuthorityMissing
        | Reason::DelegationChainInvalidRoot
        | Reason::DelegationChainTooDeep
        | Reason::DigestAlgorithmUnsupported
        | Reason::DigestMalformed
        | Reason::EnvelopeTooLarge
        | Reason::ExpiryExtensionInChain
        | Reason::InvalidEnvelopeShape
        | Reason::PassportExpired
        | Reason::PassportNotYetValid
        | Reason::PassportRevoked
        | Reason::PermissionElevationInChain
        | Reason::ProofAlgorithmUnsupported
        | Reason::ProofComponentMissing
        | Reason::ProofComponentUnknown
        | Reason::ProofExpired
        | Reason::ProofKeyMismatch
        | Reason::ProofMalformed
        | Reason::ProofMissing
        | Reason::ProofNonceMissing
        | Reason::ProofNonceTooShort
        | Reason::ProofNotYetValid
        | Reason::ProofPredatesGate
        | Reason::ProofSignatureInvalid
        | Reason::PublicKeyMalformed
        | Reason::RequestReplayed
        | Reason::SignatureInvalid
        | Reason::SignatureKeyUnavailable
        | Reason::SignatureMalformed
        | Reason::SimpleguardExpired
        | Reason::SimpleguardKeyUntrusted
        | Reason::SimpleguardMalformed
        | Reason::SimpleguardNotYetValid
        | Reason::SimpleguardSignatureInvalid
        | Reason::UnsupportedSchemaVersion => 401,

        Reason::AgentDisabled
        | Reason::BadgeLevelInsufficient
        | Reason::ConstraintNotEnforceable
        | Reason::CredentialLifetimeExceeded
        | Reason::IssuerCeilingExceeded
        | Reason::IssuerDomainUnverified
        | Reason::PermissionDenied
        | Reason::RouteUnknown
        | Reason::SelfIssuedNotAllowed
        | Reason::SelfIssuedPlatformCeilingExceeded
        | Reason::TrustTierInsufficient
        | Reason::UpgradeRefused => 403,

        Reason::BodyTooLarge => 413,

        Reason::HostFault
        | Reason::NonceAuthorityUnavailable
        | Reason::ReplayMemoryFull
        | Reason::RevocationCheckFailed
        | Reason::TrustMaterialMissing
        | Reason::TrustMaterialStale => 503,
    }
}

/// The title is the code in words: what each means at length is `portcullis explain`'s to say,
/// and would be 8 KB of the plugin's file.
fn problem(status: u16, code: &str, detail: &str) -> Vec<u8> {
    let title = code.replace('_', " ").to_ascii_lowercase();
    let detail = canonical_text(&Value::String(detail.into()));
    let r#type = format!("urn:portcullis:reason:{code}");
    // INVARIANT: a code has nothing that JSON escapes.
    format!(
        r#"{{"type":"{type}","title":"{title}","status":{status},"detail":{detail},"reason_code":"{code}","decision":"block"}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn refusing(denial: &Denial) -> Reply {
        Reply::refusing(denial, Profile::L1, None)
    }

    fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
        reply.headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[test]
    fn every_reason_has_a_refusing_status_and_a_problem_that_names_it() {
        for reason in Reason::ALL {
            let reply = refusing(&Denial::new(reason, "what was found"));
            let body = body(&reply);
            assert!((400..600).contains(&reply.status), "{reason:?}");
            assert_eq!(body["type"], format!("urn:portcullis:reason:{}", reason.code()));
            assert!(!body["title"].as_str().unwrap().is_empty());
            assert_eq!(body["status"], reply.status);
            assert_eq!(body["detail"] == "what was found", reason != Reason::HostFault);
            assert_eq!(body["reason_code"], reason.code());
            assert_eq!(body["decision"], "block");
            assert_eq!(header(&reply, "content-type"), Some("application/problem+json"));
        }
    }

    #[test]
    fn a_client_is_asked_for_what_the_profile_asks_with_401_and_only_then() {
        for reason in Reason::ALL {
            for (profile, asked) in [(Profile::L1, "L1"), (Profile::L2, "L2"), (Profile::L3, "L3")] {
                let reply = Reply::refusing(&Denial::new(reason, ""), profile, Some("agent=()".to_owned()));
                let asked = format!("AgentPassport profile=\"{asked}\"");
                let (challenge, proof) =
                    if reply.status == 401 { (Some(asked.as_str()), Some("agent=()")) } else { (None, None) };
                assert_eq!(header(&reply, "www-authenticate"), challenge, "{reason:?}");
                assert_eq!(header(&reply, "accept-signature"), proof, "{reason:?}");
            }
        }
    }

    #[test]
    fn a_host_fault_is_503_and_tells_the_client_nothing_of_it() {
        let reply = refusing(&Denial::new(Reason::HostFault, "proxy_log answered 7"));
        assert_eq!(reply.status, 503);
        assert_eq!(reply.code, "host_fault");
        assert!(!body(&reply)["detail"].as_str().unwrap().contains("proxy_log"));
    }

    #[test]
    fn details_are_escaped() {
        let detail = "a \"quote\", a \\, a line\r\nbreak, \u{1}, \u{7f}, \u{2028} and é";
        let reply = refusing(&Denial::new(Reason::InvalidEnvelopeShape, detail));
        assert_eq!(body(&reply)["detail"], detail);
        assert!(reply.body.iter().all(|byte| *byte >= b' '));
    }

    #[test]
    fn codes_can_stand_in_a_log_and_in_a_metric() {
        let is_plain = |code: &str| {
            !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        };
        assert!(Reason::ALL.into_iter().map(Reason::code).all(is_plain));
    }
}
