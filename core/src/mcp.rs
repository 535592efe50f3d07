//! Messages to an MCP server over streamable HTTP: what a gate reads of them, and which route's
//! business each is. Revisions 2025-03-26 to 2026-07-28 of the specification.

use crate::base64;
use crate::config::{McpConfig, Spot};
use crate::denial::Denial;
use crate::ed25519::sha256;
use crate::json::{self, Limits, Object, Value, canonical_text, write_string};
use crate::ordered::{Named, Names};
use crate::reason::Reason;
use crate::request::RequestHead;
use crate::route::Route;
use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::from_utf8;

/// What the messages to one server amount to: each a route of its own, with the path of the
/// server's.
#[derive(Debug)]
pub(crate) struct Messages {
    tools: Named<Arc<Route>>,
    methods: Named<Arc<Route>>,
    has_public: bool,
}

/// A message that is awaited, as the head announces it.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// `Mcp-Method`.
    method: Option<String>,
    /// `Mcp-Name`, decoded.
    name: Option<String>,
    /// The body, once it has come.
    pub(crate) text: Vec<u8>,
}

/// One JSON-RPC 2.0 message of a client.
#[derive(Debug)]
pub(crate) struct Message<'b> {
    members: Object<'b>,
}

impl Messages {
    /// What `config` lists, on the route `own`; adds the actions of all.
    pub(crate) fn checked(config: &McpConfig, own: &Route, actions: &mut Names, spot: &Spot<'_>) -> Self {
        // More than any server offers its clients, which read the list whole.
        const MAX_LISTED: usize = 1024;
        let mut messages = Messages { tools: Named::new(), methods: Named::new(), has_public: false };
        let both = [
            ("tools", &config.tools, &mut messages.tools),
            ("methods", &config.methods, &mut messages.methods),
        ];
        for (member, listed, routes) in both {
            spot.check(listed.len() <= MAX_LISTED, member, "has more than 1024 entries");
            let spot = spot.member(member);
            for (name, target) in listed {
                spot.check(!name.is_empty() && name != CALL, name, "cannot be listed here");
                let route = own.of_message(target, &spot.member(name));
                route.note_action(actions);
                messages.has_public |= target.public;
                routes.insert(name, Arc::new(route));
            }
        }
        messages
    }

    /// Whether there is a message that needs no credential.
    pub(crate) fn has_public(&self) -> bool {
        self.has_public
    }

    /// The route of a message: the one that is listed, or `own` for what every client says to
    /// every server.
    ///
    /// # Errors
    /// `mcp_tool_unknown`, `mcp_method_unknown`, `mcp_message_malformed`.
    pub(crate) fn find(&self, message: &Message<'_>, own: &Arc<Route>) -> Result<Arc<Route>, Denial> {
        // An answer to what the server asked.
        let Some(method) = message.method() else { return Ok(Arc::clone(own)) };
        if method == CALL {
            let name = message.name().ok_or_else(|| malformed("tools/call names no tool"))?;
            let unknown = || Denial::new(Reason::McpToolUnknown, "the gate lists no tool of this name");
            return self.tools.get(name).cloned().ok_or_else(unknown);
        }
        if let Some(route) = self.methods.get(method) {
            return Ok(Arc::clone(route));
        }
        // What begins and keeps up a session, or lists what there is.
        const OF_ALL: [&str; 9] = [
            "initialize",
            "logging/setLevel",
            "ping",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
            "server/discover",
            "subscriptions/listen",
            "tools/list",
        ];
        if OF_ALL.contains(&method) || method.starts_with("notifications/") {
            return Ok(Arc::clone(own));
        }
        Err(Denial::new(Reason::McpMethodUnknown, "the gate lists no method of this name"))
    }
}

impl Awaited {
    /// What the head of a request says of the message that follows.
    ///
    /// # Errors
    /// `mcp_message_malformed` for a body that is no plain JSON, `header_ambiguous` and
    /// `mcp_header_mismatch` for headers that cannot agree with any.
    pub(crate) fn of(head: &RequestHead<'_>) -> Result<Self, Denial> {
        let is_json = head.only("content-type")?.is_some_and(|value| {
            let (kind, rest) = match value.iter().position(|byte| *byte == b';') {
                Some(at) => value.split_at_checked(at).unwrap_or_default(),
                None => (value, b"".as_slice()),
            };
            let parameter = rest.strip_prefix(b";").unwrap_or_default().trim_ascii();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
                && (parameter.is_empty() || parameter.eq_ignore_ascii_case(b"charset=utf-8"))
        });
        if !is_json {
            return Err(malformed("content-type must be application/json"));
        }
        if head.values("content-encoding").next().is_some() {
            return Err(malformed("the body must not be encoded"));
        }
        // Read by the server alone, which may take the first or the last.
        head.only("mcp-protocol-version")?;
        head.only("mcp-session-id")?;
        let method = head.only("mcp-method")?.map(plain_text).transpose()?;
        let name = head.only("mcp-name")?.map(decoded_text).transpose()?;
        Ok(Awaited { method, name, text: Vec::new() })
    }

    /// Whether the headers say of a message what it says itself.
    ///
    /// # Errors
    /// `mcp_header_mismatch`.
    pub(crate) fn check(&self, message: &Message<'_>) -> Result<(), Denial> {
        let differs = |detail| Err(Denial::new(Reason::McpHeaderMismatch, detail));
        if self.method.as_deref().is_some_and(|method| message.method() != Some(method)) {
            return differs("mcp-method names another method than the body");
        }
        if self.name.as_deref().is_some_and(|name| !message.is_about(name)) {
            return differs("mcp-name names something else than the body");
        }
        Ok(())
    }
}

impl<'b> Message<'b> {
    /// Reads one message: a request, a notification, or a response.
    ///
    /// # Errors
    /// `mcp_message_malformed` for whatever readers might take for something else.
    pub(crate) fn read(text: &'b [u8]) -> Result<Self, Denial> {
        // Bodies are bounded before they come here. Arguments are a few values, tables of numbers
        // at most; so many take some 4 MiB.
        const LIMITS: Limits = Limits { bytes: usize::MAX, depth: 64, values: 65_536 };
        let parsed = json::parse(text, LIMITS)
            .map_err(|error| Denial::new(Reason::McpMessageMalformed, error.to_string()))?;
        let members = match parsed {
            Value::Object(members) => members,
            Value::Array(_) => return Err(malformed("an array of messages: send each by itself")),
            _ => return Err(malformed("the body is no JSON-RPC message")),
        };
        let message = Message { members };
        message.check_shape().map_err(malformed)?;
        Ok(message)
    }

    /// JSON-RPC 2.0 sections 4 and 5, with what MCP asks besides: an id is a string or an
    /// integer, parameters and results are objects.
    fn check_shape(&self) -> Result<(), &'static str> {
        // In bytes: it is part of what a refusal answers.
        const LONGEST_ID: usize = 256;
        let has = |name| self.members.get(name).is_some();
        let (known, is_response): (&[&str], _) = if has("method") {
            (&["id", "jsonrpc", "method", "params"], false)
        } else {
            (&["error", "id", "jsonrpc", "result"], true)
        };
        if self.members.iter().any(|(name, _)| !known.contains(&name)) || (has("error") && has("result")) {
            return Err("a message has jsonrpc, and method, id, params or id, result or error; no others");
        }
        if self.members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err("jsonrpc must be \"2.0\"");
        }
        match self.members.get("id") {
            Some(Value::String(id)) if id.len() <= LONGEST_ID => {}
            Some(id) if id.as_integer().is_some() => {}
            None if !is_response => {}
            _ => return Err("id must be an integer or a string of at most 256 bytes"),
        }
        let object = |name| match self.members.get(name) {
            None | Some(Value::Object(_)) => true,
            // Some clients write down that there are none.
            Some(Value::Null) => name == "params",
            Some(_) => false,
        };
        if !["params", "result", "error"].into_iter().all(object) {
            return Err("params, result and error must be objects");
        }
        if is_response {
            return if has("result") || has("error") {
                Ok(())
            } else {
                Err("there is neither method nor result")
            };
        }
        self.method().filter(|method| !method.is_empty()).map(|_| ()).ok_or("method must be a string")
    }

    /// The JSON text of the id; `None` for a message that is not answered.
    pub(crate) fn id(&self) -> Option<String> {
        self.method()?;
        self.members.get("id").map(canonical_text)
    }

    /// The method; `None` for a response.
    pub(crate) fn method(&self) -> Option<&str> {
        self.members.get("method").and_then(Value::as_str)
    }

    /// The name of the tool that is called.
    fn name(&self) -> Option<&str> {
        self.params()?.get("name").and_then(Value::as_str)
    }

    fn params(&self) -> Option<&Object<'b>> {
        self.members.get("params").and_then(Value::as_object)
    }

    /// Whether `name` is what a message is about, as `Mcp-Name` says it: the tool or prompt of
    /// this name, the resource of this URI; for methods of extensions, one of its parameters.
    fn is_about(&self, name: &str) -> bool {
        let Some(params) = self.params() else { return false };
        let is = |value: &Value<'_>| value.as_str() == Some(name);
        match self.method() {
            Some(CALL | "prompts/get") => params.get("name").is_some_and(is),
            Some("resources/read") => params.get("uri").is_some_and(is),
            _ => params.iter().any(|(_, value)| is(value)),
        }
    }

    /// The SHA-256 of what is asked: the RFC 8785 text of an object of `method` and `params`, but
    /// for what differs each time that the same is asked: the id, the token for progress, the trace. Of a
    /// message that asks nothing, as it is an answer, all of it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut text = String::new();
        let Some(method) = self.method() else {
            write_members(&self.members, &[], &mut text);
            return sha256(text.as_bytes());
        };
        text.push_str("{\"method\":");
        write_string(method, &mut text);
        text.push_str(",\"params\":");
        match self.params() {
            Some(params) => write_members(params, &[], &mut text),
            None => text.push_str("{}"),
        }
        text.push('}');
        sha256(text.as_bytes())
    }
}

/// Writes the canonical text of parameters, or of their `_meta` without some members.
fn write_members(object: &Object<'_>, without: &[&str], out: &mut String) {
    const OF_ONE_TIME: [&str; 4] = ["baggage", "progressToken", "traceparent", "tracestate"];
    let mut separator = "{";
    for (name, value) in object.iter().filter(|(name, _)| !without.contains(name)) {
        out.push_str(separator);
        separator = ",";
        write_string(name, out);
        out.push(':');
        match value {
            Value::Object(meta) if name == "_meta" && without.is_empty() => {
                write_members(meta, &OF_ONE_TIME, out);
            }
            value => out.push_str(&canonical_text(value)),
        }
    }
    out.push_str(if separator == "{" { "{}" } else { "}" });
}

/// The method whose messages are told apart by the tool.
const CALL: &str = "tools/call";

fn plain_text(value: &[u8]) -> Result<String, Denial> {
    from_utf8(value).map(ToOwned::to_owned).map_err(|_| unreadable())
}

/// The value of a header that is written as `=?base64?…?=` where it is no plain text.
fn decoded_text(value: &[u8]) -> Result<String, Denial> {
    let text = plain_text(value)?;
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        Some(encoded) => {
            let bytes = base64::decode(encoded).ok_or_else(unreadable)?;
            String::from_utf8(bytes).map_err(|_| unreadable())
        }
        None => Ok(text),
    }
}

fn unreadable() -> Denial {
    Denial::new(Reason::McpHeaderMismatch, "mcp-method or mcp-name is no text")
}

fn malformed(detail: &'static str) -> Denial {
    Denial::new(Reason::McpMessageMalformed, Cow::Borrowed(detail))
}
