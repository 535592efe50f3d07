//! Which request headers a client may not send, which ones go, which ones come.

use alloc::vec;
use alloc::vec::Vec;
use portcullis_core::{Carrier, Credential, Denial, Identity, Reason};

/// A header for the upstream that no client can have written.
pub type Set<'i> = (&'static str, &'i str);

/// Names that begin with this are the gate's own.
const OWN_PREFIX: &str = "x-gate-";

/// Whole names, in lower case with `-`.
const RESERVED: [&str; 22] = [
    // Identity, as CapiscIO's gates state it.
    "x-capiscio-agent-id",
    "x-capiscio-badge-jti",
    "x-capiscio-capability-class",
    "x-capiscio-envelope-id",
    "x-capiscio-issuer",
    "x-capiscio-subject",
    // The method, for upstreams that look here first. Google's APIs, Rack, Express,
    // Symfony, Laravel, Jersey, ASP.NET Core, Rest.li; OData and SharePoint; IBM.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    // The path. IIS URL Rewrite and ISAPI_Rewrite, and frameworks that took their word
    // for it: Symfony and Drupal (CVE-2018-14773), Laminas, Yii. The third is in the
    // lists of those who look for more of the kind.
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
    // The path, as WSGI has it: gunicorn takes these from a proxy that it trusts, and
    // frameworks cut the prefix off that the last one names.
    "path-info",
    "script-name",
    "x-script-name",
    // Method and path of another request than this: of the one that ingress-nginx,
    // Traefik or Caddy asks to have authorized, or of the one that Kong received.
    "x-original-method",
    "x-original-uri",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-uri",
    // What Envoy rewrote, for upstreams behind it (router, gRPC-JSON transcoder).
    "x-envoy-original-method",
    "x-envoy-original-path",
];

/// Whether only a gate may set this header. Many upstreams (CGI, WSGI, PHP) read `_`
/// as `-`, so here it is the same; and case does not count.
pub fn is_reserved(name: &[u8]) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| is_folded(start, OWN_PREFIX))
        || RESERVED.iter().any(|reserved| is_folded(name, reserved))
}

/// Whether this header carries a credential, good or bad, that this gate judges.
pub fn is_credential(name: &[u8], value: &[u8]) -> bool {
    Carrier::ALL.into_iter().any(|carrier| is_folded(name, carrier.header()) && carrier.carries(value))
}

/// Whether this header does not go on to the upstream: only a gate may set it, or it carries a
/// credential that the route does not keep.
#[inline]
pub fn is_stripped(name: &[u8], value: &[u8], keeps_credential: bool) -> bool {
    is_reserved(name) || (!keeps_credential && is_credential(name, value))
}

/// Refuses what a host that takes no headers out must not be sent: reserved headers, and
/// credentials under names that only some upstreams take for the credential's. What stands under the
/// credential's own name, such a host can leave out itself.
///
/// # Errors
/// `header_reserved`.
#[inline]
pub fn check_reserved(headers: &[(&[u8], &[u8])]) -> Result<(), Denial> {
    let is_misspelt = |name: &[u8], value| name.contains(&b'_') && is_credential(name, value);
    if headers.iter().any(|(name, value)| is_reserved(name) || is_misspelt(name, value)) {
        let detail = "the request carries a header that only the gate may set";
        return Err(Denial::new(Reason::HeaderReserved, detail));
    }
    Ok(())
}

/// What the upstream is told about who was let through.
pub fn identity(identity: &Identity) -> Vec<Set<'_>> {
    let tier = match identity.tier().number() {
        1 => "1",
        2 => "2",
        3 => "3",
        // Unknown to this table: the least that there is.
        _ => "0",
    };
    // INVARIANT: the core admits only ids and actions of printable ASCII, so no value
    // can end its header and begin another.
    let mut set = vec![
        ("x-gate-agent-id", identity.agent_id()),
        ("x-gate-credential-id", identity.credential_id()),
        ("x-gate-issuer", identity.issuer()),
        ("x-gate-tier", tier),
        ("x-gate-action", identity.action()),
    ];
    match identity.credential() {
        Credential::Passport(..) => {}
        // RFC-002 section 13.3.
        Credential::Badge(badge) => set.extend([
            ("x-gate-level", badge.level().text()),
            ("x-capiscio-agent-id", badge.subject()),
            ("x-capiscio-badge-jti", badge.id()),
        ]),
        Credential::SimpleGuard(key_id) => set.push(("x-capiscio-agent-id", key_id)),
    }
    set
}

/// Whether `name` is `folded`, which is in lower case and has `-` for `_`.
fn is_folded(name: &[u8], folded: &str) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == folded.len() && name.iter().map(fold).eq(folded.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_known_in_any_case_and_with_underscores() {
        for name in [
            "x-gate-agent-id",
            "X-Gate-Agent-Id",
            "x_gate_agent_id",
            "X_Gate-AGENT_id",
            "x-gate-",
            "x-gate-something-new",
            "X_HTTP_Method_Override",
            "x-original_url",
            "SCRIPT_NAME",
            "X-CAPISCIO-SUBJECT",
        ] {
            assert!(is_reserved(name.as_bytes()), "{name}");
        }
        for name in RESERVED {
            assert!(is_reserved(name.as_bytes()), "{name}");
            assert!(is_reserved(name.replace('-', "_").to_ascii_uppercase().as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_table_is_folded_itself() {
        for name in RESERVED {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "",
            "x",
            "x-",
            "x-gate",
            "x-gated-community",
            "accept",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-request-id",
            "x-capiscio-badge",
            "x-http-method-overrides",
            "xx-gate-agent-id",
            "x-gate\u{2011}agent-id",
        ] {
            assert!(!is_reserved(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn every_header_that_is_set_is_reserved() {
        for name in ["x-gate-agent-id", "x-gate-level", "x-capiscio-agent-id", "x-capiscio-badge-jti"] {
            assert!(is_reserved(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_passport_header_is_a_credential_in_any_spelling() {
        for name in ["agent-passport", "Agent-Passport", "agent_passport"] {
            assert!(is_credential(name.as_bytes(), b"anything"));
        }
    }

    #[test]
    fn authorization_is_a_credential_only_with_a_passport_jwt() {
        // {"typ":"passport+jwt"} and {"typ":"JWT"}
        assert!(is_credential(b"authorization", b"Bearer eyJ0eXAiOiJwYXNzcG9ydCtqd3QifQ.e30.AA"));
        assert!(!is_credential(b"authorization", b"Bearer eyJ0eXAiOiJKV1QifQ.e30.AA"));
        assert!(!is_credential(b"authorization", b"Basic dXNlcjpwYXNz"));
        assert!(!is_credential(b"x-authorization", b"Bearer eyJ0eXAiOiJwYXNzcG9ydCtqd3QifQ.e30.AA"));
    }
}
