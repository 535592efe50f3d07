//! A gate's configuration.

use super::gate::NOW;
use super::{Answer, RequestText};
use portcullis_core::{
    Config, ConfigError, CredentialCache, LocalMemory, McpConfig, Process, Profile, Reason, RouteConfig,
    Snapshot, Step, Verifier,
};
use serde_json::Value;

/// Reads a configuration. An error must name a place that is there, or the member that is
/// missing from one; a good configuration must say the same when it is written again, and
/// every route in it must answer.
pub fn configuration(input: &[u8]) -> Answer {
    let config = match Config::from_json(input) {
        Ok(config) => config,
        Err(error) => {
            check_place(&error, input);
            return Answer::Refused;
        }
    };
    let written = serde_json::to_string(&config).expect("a configuration is JSON");
    let again =
        Config::from_json(written.as_bytes()).expect("what was read is written so that it can be read");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));

    let snapshot = match Snapshot::of_static(&config) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            check_place(&error, input);
            assert_eq!(Snapshot::of_static(&again).err(), Some(error));
            return Answer::Refused;
        }
    };
    assert!(Snapshot::of_static(&again).is_ok());
    assert_eq!(config.profile, Profile::L1, "static trust material has no age");
    assert!(!config.authorities.is_empty() && !config.routes.is_empty());
    // Each is asked for by itself; a fuzzer's configuration has more than a person's.
    const ENOUGH: usize = 32;
    for route in config.routes.iter().take(ENOUGH) {
        check_route(&config, &snapshot, route);
    }
    Answer::Accepted
}

/// A request for the route without a credential: it is let through where the route is
/// public, and otherwise is told that a credential is missing, and nothing else.
fn check_route(config: &Config, snapshot: &Snapshot, route: &RouteConfig) {
    let path = route.path.as_ref().or(route.path_prefix.as_ref()).expect("a route has a path");
    let request = RequestText {
        method: route.methods[0].clone().into_bytes(),
        authority: config.authorities[0].clone().into_bytes(),
        path: path.bytes().flat_map(encoded).collect(),
        headers: Vec::new(),
    };
    // An exact path may stand at a prefix, and then decides there.
    let is_exact =
        route.path.is_some() || !config.routes.iter().any(|other| other.path.as_ref() == Some(path));
    let mut cache = CredentialCache::new(0);
    let mut memory = LocalMemory::new(&Process::new([1; 32], NOW));
    request.with(|head| match Verifier::new(snapshot).begin(head, NOW, &mut cache, &mut memory) {
        Step::Permit(permit) => {
            assert!(permit.identity().is_none());
            assert!(route.public || !is_exact, "{path:?} is not public");
        }
        Step::Deny(refused) if is_exact => {
            let policy = config.anonymous.as_ref().is_some_and(|policy| policy.enabled);
            // It is not said where the request comes from.
            let expected = match &route.mcp {
                // One message or another may need none, and this request announces no message.
                Some(mcp) if route.methods[0] == "POST" && (policy || has_public(mcp)) => {
                    Reason::McpMessageMalformed
                }
                _ if policy => Reason::AnonymousNotAllowed,
                _ => Reason::CredentialMissing,
            };
            assert_eq!(refused.denial.reason, expected, "{path:?}");
            assert!(!route.public, "{path:?} is public");
        }
        Step::Deny(refused) => assert_ne!(refused.denial.reason, Reason::PathAmbiguous, "{path:?}"),
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => {
            panic!("{path:?} asks for the body of a request without a credential")
        }
    });
}

fn has_public(mcp: &McpConfig) -> bool {
    mcp.tools.iter().chain(&mcp.methods).any(|(_, target)| target.public)
}

fn encoded(byte: u8) -> Vec<u8> {
    if byte.is_ascii_alphanumeric() || byte == b'/' {
        vec![byte]
    } else {
        format!("%{byte:02x}").into_bytes()
    }
}

/// An error is about the whole, or about a place in it.
fn check_place(error: &ConfigError, input: &[u8]) {
    assert!(!error.problem.is_empty());
    assert!(error.to_string().ends_with(&error.problem));
    if !error.path.is_empty() {
        let whole: Value = serde_json::from_slice(input).expect("places are in what is JSON");
        assert!(leads_somewhere(&whole, &error.path), "{error} is nowhere");
    }
}

/// Whether `path` leads to a part of `value`, or to a member that one of its objects
/// lacks. Names may hold dots and brackets, so every reading is tried.
fn leads_somewhere(value: &Value, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    match value {
        Value::Array(elements) => path
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, rest)| Some((elements.get(index.parse::<usize>().ok()?)?, rest)))
            .is_some_and(|(element, rest)| leads_somewhere(element, rest.strip_prefix('.').unwrap_or(rest))),
        Value::Object(members) => {
            let is_missing = MEMBERS.contains(&path) && !members.contains_key(path);
            is_missing
                || members.iter().any(|(name, member)| {
                    path.strip_prefix(name.as_str())
                        .is_some_and(|rest| leads_somewhere(member, rest.strip_prefix('.').unwrap_or(rest)))
                })
        }
        _ => false,
    }
}

/// The members that must be there.
const MEMBERS: [&str; 15] = [
    "actions",
    "agent_id",
    "authorities",
    "gate",
    "id",
    "issuer",
    "key_id",
    "keys",
    "methods",
    "passport_id",
    "profile",
    "public_key",
    "routes",
    "tier",
    "type",
];
