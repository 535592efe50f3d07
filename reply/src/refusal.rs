//! What a client is told about a refusal: one table, and RFC 9457.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use portcullis_core::json::write_string;
use portcullis_core::{Denial, Profile, Reason, Refused};

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

/// What a client is told beside the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// What the gate asks for; said with 401 (RFC 9110 section 11.6.1).
    pub profile: Profile,
    /// What a proof must be like; said with 401 (RFC 9421 section 5.1).
    pub wanted: Option<String>,
    /// When to try again, in seconds (RFC 9110 section 10.2.3).
    pub retry_after_s: Option<u32>,
    /// The decision's record, if there is one.
    pub attestation_id: Option<String>,
    /// What a person must approve.
    pub approval_id: Option<String>,
    /// Where the client speaks MCP: the JSON text of its request's id, `null` where none is known.
    pub message_id: Option<String>,
}

impl Default for Told {
    fn default() -> Self {
        Told {
            profile: Profile::L1,
            wanted: None,
            retry_after_s: None,
            attestation_id: None,
            approval_id: None,
            message_id: None,
        }
    }
}

impl Told {
    /// What a refusal tells by itself.
    #[inline]
    pub fn of(refused: &Refused) -> Self {
        let mut told = Told { retry_after_s: refused.retry_after_s, ..Told::default() };
        if refused.route.as_ref().is_some_and(|route| route.is_mcp()) {
            told.message_id = Some(refused.message_id.clone().unwrap_or_else(|| "null".into()));
        }
        told
    }
}

impl Reply {
    /// The reply to a client whose request is refused.
    pub fn refusing(denial: &Denial, told: Told) -> Self {
        // Evaluated when compiled, so that the plugin carries no other advice.
        const OF_HOST_FAULT: &str = Reason::HostFault.explanation().remedy;
        let found = match denial.reason {
            // What failed is for the gate's log only.
            Reason::HostFault => OF_HOST_FAULT,
            _ => &denial.detail,
        };
        let mut status = status(denial.reason);
        let kind = if told.message_id.is_some() { "application/json" } else { "application/problem+json" };
        let mut headers = vec![("content-type", String::from(kind))];
        if status == 401 {
            let profile = told.profile.name();
            headers.push(("www-authenticate", format!(r#"AgentPassport profile="{profile}""#)));
            headers.extend(told.wanted.map(|wanted| ("accept-signature", wanted)));
        }
        headers.extend(told.retry_after_s.map(|seconds| ("retry-after", seconds.to_string())));
        let ids = [
            ("attestation_id", told.attestation_id.as_deref()),
            ("approval_request_id", told.approval_id.as_deref()),
        ];
        let code = denial.reason.code();
        let mut detail = String::new();
        write_string(found, &mut detail);
        let mut body = problem(status, code, &detail, ids);
        if let Some(id) = told.message_id {
            if let Some(seconds) = told.retry_after_s {
                body.pop();
                body.push_str(&[",\"retry_after_s\":", &seconds.to_string(), "}"].concat());
            }
            body = rpc_error(&id, rpc_code(denial.reason, status), code, &detail, &body);
            // What was asked is answered, and clients look into such answers alone: many leave
            // others unread, and wait in vain where 202 comes.
            if id != "null" && matches!(status, 202 | 403 | 429) {
                status = 200;
            }
        }
        Reply { status, code, headers, body: body.into_bytes() }
    }
}

/// The code of a JSON-RPC error: the specification's own where it has one, or else of the range
/// that it leaves to implementations.
fn rpc_code(reason: Reason, status: u16) -> &'static str {
    match (reason, status) {
        (Reason::McpHeaderMismatch, _) => "-32020",
        (Reason::McpMessageMalformed, _) => "-32600",
        (_, 202) => "-32011",
        (_, 429 | 503) => "-32012",
        _ => "-32010",
    }
}

/// A response of JSON-RPC 2.0 (section 5.1) with a problem for its data.
fn rpc_error(id: &str, rpc_code: &str, code: &str, detail: &str, problem: &str) -> String {
    let [jsonrpc, error, message] =
        [r#"{"jsonrpc":"2.0","id":"#, r#","error":{"code":"#, r#","message":"the gate answers "#];
    let detail = detail.strip_prefix('"').unwrap_or_default();
    [jsonrpc, id, error, rpc_code, message, code, ": ", detail, r#","data":"#, problem, "}}"].concat()
}

/// 400 for what can be read in more than one way, 401 for no credential or one that
/// fails, 403 for a good credential that is not enough and for what nobody may do, 429 for what
/// comes too often, 503 for what is no fault of the request; 202 for what waits for a person. Of
/// what is answered to a JSON-RPC request, 202, 403 and 429 go out as 200.
fn status(reason: Reason) -> u16 {
    match reason {
        Reason::ApprovalRequired => 202,

        Reason::AuthorityUnknown
        | Reason::CredentialAmbiguous
        | Reason::HeaderAmbiguous
        | Reason::HeaderReserved
        | Reason::McpHeaderMismatch
        | Reason::McpMessageMalformed
        | Reason::MethodUnknown
        | Reason::PathAmbiguous
        | Reason::ProofAmbiguous => 400,

        Reason::AnonymousNotAllowed
        | Reason::BadgeAgentDisabled
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
        | Reason::CatalogPinMismatch
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
        | Reason::CatalogPinMissing
        | Reason::ConstraintNotEnforceable
        | Reason::ConstraintUnknown
        | Reason::ConstraintViolated
        | Reason::CredentialLifetimeExceeded
        | Reason::IssuerCeilingExceeded
        | Reason::IssuerDomainUnverified
        | Reason::McpMethodUnknown
        | Reason::McpToolUnknown
        | Reason::PermissionDenied
        | Reason::RouteUnknown
        | Reason::SelfIssuedNotAllowed
        | Reason::SelfIssuedPlatformCeilingExceeded
        | Reason::SpendLimitExceeded
        | Reason::TrustTierInsufficient
        | Reason::UpgradeRefused => 403,

        Reason::BodyLengthMissing => 411,

        Reason::BodyTooLarge => 413,

        Reason::RateLimitExceeded => 429,

        Reason::ApprovalUnavailable
        | Reason::CounterMemoryFull
        | Reason::HostFault
        | Reason::NonceAuthorityUnavailable
        | Reason::RecordQueueFull
        | Reason::RecordUnacknowledged
        | Reason::ReplayMemoryFull
        | Reason::RevocationCheckFailed
        | Reason::SpendLeasePending
        | Reason::TrustMaterialMissing
        | Reason::TrustMaterialStale => 503,
    }
}

/// The title is the code in words: what each means at length is `portcullis explain`'s to say,
/// and would be 8 KB of the plugin's file.
fn problem(status: u16, code: &str, detail: &str, ids: [(&str, Option<&str>); 2]) -> String {
    let title = code.replace('_', " ").to_ascii_lowercase();
    let decision = if status == 202 { "request_hold" } else { "block" };
    let r#type = format!("urn:portcullis:reason:{code}");
    // INVARIANT: codes and ids have nothing that JSON escapes.
    let mut text = format!(
        r#"{{"type":"{type}","title":"{title}","status":{status},"detail":{detail},"reason_code":"{code}","decision":"{decision}""#
    );
    for (name, id) in ids {
        if let Some(id) = id {
            text.push_str(&[",\"", name, "\":\"", id, "\""].concat());
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use serde_json::Value;

    fn refusing(denial: &Denial) -> Reply {
        Reply::refusing(denial, Told::default())
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
            let held = reason == Reason::ApprovalRequired;
            assert!(
                if held { reply.status == 202 } else { (400..600).contains(&reply.status) },
                "{reason:?}"
            );
            assert_eq!(body["type"], format!("urn:portcullis:reason:{}", reason.code()));
            assert!(!body["title"].as_str().unwrap().is_empty());
            assert_eq!(body["status"], reply.status);
            assert_eq!(body["detail"] == "what was found", reason != Reason::HostFault);
            assert_eq!(body["reason_code"], reason.code());
            assert_eq!(body["decision"], if held { "request_hold" } else { "block" });
            assert_eq!(header(&reply, "content-type"), Some("application/problem+json"));
        }
    }

    #[test]
    fn a_client_is_asked_for_what_the_profile_asks_with_401_and_only_then() {
        for reason in Reason::ALL {
            for (profile, asked) in [(Profile::L1, "L1"), (Profile::L2, "L2"), (Profile::L3, "L3")] {
                let wanted = Some("agent=()".to_owned());
                let told = Told { profile, wanted, ..Told::default() };
                let reply = Reply::refusing(&Denial::new(reason, ""), told);
                let asked = format!("AgentPassport profile=\"{asked}\"");
                let (challenge, proof) =
                    if reply.status == 401 { (Some(asked.as_str()), Some("agent=()")) } else { (None, None) };
                assert_eq!(header(&reply, "www-authenticate"), challenge, "{reason:?}");
                assert_eq!(header(&reply, "accept-signature"), proof, "{reason:?}");
            }
        }
    }

    #[test]
    fn a_reply_has_each_header_once() {
        // Of two `www-authenticate`, nginx keeps the last.
        for reason in Reason::ALL {
            let (wanted, retry_after_s) = (Some("agent=()".to_owned()), Some(1));
            let told = Told { wanted, retry_after_s, ..Told::default() };
            let reply = Reply::refusing(&Denial::new(reason, ""), told);
            for (name, _) in &reply.headers {
                assert_eq!(reply.headers.iter().filter(|(one, _)| one == name).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn when_to_try_again_is_told_in_seconds_and_a_hold_is_no_refusal() {
        let denial = Denial::new(Reason::RateLimitExceeded, "60/60 requests used this minute");
        let reply = Reply::refusing(&denial, Told { retry_after_s: Some(17), ..Told::default() });
        assert_eq!((reply.status, header(&reply, "retry-after")), (429, Some("17")));
        assert_eq!(header(&refusing(&denial), "retry-after"), None);
        let held = refusing(&Denial::new(Reason::ApprovalRequired, ""));
        assert_eq!((held.status, body(&held)["decision"].as_str()), (202, Some("request_hold")));
    }

    #[test]
    fn a_host_fault_is_503_and_tells_the_client_nothing_of_it() {
        let reply = refusing(&Denial::new(Reason::HostFault, "proxy_log answered 7"));
        assert_eq!(reply.status, 503);
        assert_eq!(reply.code, "host_fault");
        assert!(!body(&reply)["detail"].as_str().unwrap().contains("proxy_log"));
    }

    #[test]
    fn a_json_rpc_request_is_answered_with_an_error_that_has_the_problem_for_its_data() {
        for reason in Reason::ALL {
            let denial = Denial::new(reason, "a \"quote\"");
            let problem = refusing(&denial);
            for id in ["7", "\"a\"", "null"] {
                let told = Told {
                    message_id: Some(id.to_owned()),
                    retry_after_s: Some(9),
                    attestation_id: Some("att_1".to_owned()),
                    ..Told::default()
                };
                let reply = Reply::refusing(&denial, told);
                let body = body(&reply);
                assert_eq!(header(&reply, "content-type"), Some("application/json"));
                assert_eq!((&body["jsonrpc"], body["id"].to_string().as_str()), (&"2.0".into(), id));
                let data = &body["error"]["data"];
                assert_eq!((&data["status"], &data["retry_after_s"]), (&problem.status.into(), &9.into()));
                assert_eq!(
                    (&data["reason_code"], &data["attestation_id"]),
                    (&reply.code.into(), &"att_1".into())
                );
                let detail = data["detail"].as_str().unwrap();
                let message = body["error"]["message"].as_str().unwrap();
                assert_eq!(message, format!("the gate answers {}: {detail}", reply.code));
                // A policy's answer to a request that was read is an answer.
                let is_policy = matches!(problem.status, 202 | 403 | 429);
                let status = if is_policy && id != "null" { 200 } else { problem.status };
                assert_eq!(reply.status, status, "{reason:?}");
                let code = body["error"]["code"].as_i64().unwrap();
                assert!((-32019..=-32000).contains(&code) || [-32020, -32600].contains(&code), "{code}");
            }
        }
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
