//! Messages to an MCP server, beside another parser.

use super::{Answer, NOW};
use portcullis_core::{
    Config, CredentialCache, LocalMemory, Process, Reason, RequestHead, Snapshot, Step, Verifier,
};
use serde_json::Value;
use std::sync::LazyLock;

/// The one tool that everybody may call, and one that asks for a credential.
const OPEN: &str = "open";
const CLOSED: &str = "closed";

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let config = serde_json::json!({
        "gate": {"id": "gate_mcp"}, "profile": "L1", "authorities": ["api.example"],
        "routes": [{"path": "/mcp", "methods": ["POST"], "action": "mcp:connect", "mcp": {
            "tools": {OPEN: {"public": true}, CLOSED: {"action": "a:b"}}}}],
    });
    let config = Config::from_json(config.to_string().as_bytes()).expect("a configuration");
    Snapshot::of_static(&config).expect("a snapshot")
});

/// Sends a body to a gate, and holds what the gate makes of it against serde_json: which tool is
/// called, which method, under which id. Then once more with headers that agree, and with one that
/// does not.
pub fn mcp(input: &[u8]) -> Answer {
    let (reason, id) = judge(input, &[]);
    if reason == Some(Reason::McpMessageMalformed) && id.is_none() {
        return Answer::Refused;
    }
    let message: Value = serde_json::from_slice(input).expect("what is read here is read by serde_json too");
    assert_eq!(message["jsonrpc"], "2.0");
    let method = message.get("method").map(|method| method.as_str().expect("a text"));
    assert_eq!(method.is_none(), message.get("result").is_some() || message.get("error").is_some());
    let theirs = method.and(message.get("id"));
    let ours: Option<Value> = id.map(|id| serde_json::from_str(&id).expect("an id in JSON"));
    // A permit tells no id.
    assert!(reason.is_none() || ours.as_ref() == theirs, "{ours:?} here, {theirs:?} there");
    let name = message["params"]["name"].as_str();
    let expected = match (method, name) {
        (Some("tools/call"), None) => Some(Reason::McpMessageMalformed),
        (Some("tools/call"), Some(OPEN)) => None,
        (Some("tools/call"), Some(CLOSED)) | (None, _) => Some(Reason::CredentialMissing),
        (Some("tools/call"), Some(_)) => Some(Reason::McpToolUnknown),
        (Some(_), _) if reason == Some(Reason::CredentialMissing) => reason,
        (Some(_), _) => Some(Reason::McpMethodUnknown),
    };
    assert_eq!(reason, expected);
    if let (Some("tools/call"), Some(name)) = (method, name) {
        let encoded = format!("=?base64?{}?=", portcullis_core::base64::encode(name.as_bytes()));
        let agreeing = [("mcp-method", "tools/call"), ("mcp-name", &encoded)];
        assert_eq!(judge(input, &agreeing).0, reason);
        let other = format!("{name}x");
        assert_eq!(judge(input, &[("mcp-name", &other)]).0, Some(Reason::McpHeaderMismatch));
        assert_eq!(judge(input, &[("mcp-method", "tools/list")]).0, Some(Reason::McpHeaderMismatch));
    }
    Answer::Accepted
}

/// Why the gate refuses a body, and under which id; `None` if it does not.
fn judge(body: &[u8], more: &[(&str, &str)]) -> (Option<Reason>, Option<String>) {
    let mut headers: Vec<(&[u8], &[u8])> = vec![(b"content-type", b"application/json")];
    headers.extend(more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let head = RequestHead {
        method: b"POST",
        authority: b"api.example",
        path: b"/mcp",
        headers: &headers,
        source: None,
    };
    let process = Process::new([1; 32], NOW);
    let mut memory = LocalMemory::new(&process);
    let verifier = Verifier::new(&SNAPSHOT);
    let step = verifier.begin(&head, NOW, &mut CredentialCache::new(0), &mut memory);
    let Step::NeedBody(mut pending) = step else { panic!("a message is awaited: {step:?}") };
    let refused = match pending.absorb_message(body.to_vec()) {
        Err(refused) => *refused,
        Ok(()) => match verifier.finish(pending, NOW, &mut memory) {
            Step::Permit(_) => return (None, None),
            Step::Deny(refused) => refused,
            other => panic!("{other:?}"),
        },
    };
    (Some(refused.denial.reason), refused.message_id)
}
