//! What a route that leads to an MCP server is configured with.

use super::is_false;
use super::read::Place;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Serialize, Serializer};

/// `mcp` of a route: what the messages that are sent there amount to. What is not listed is
/// refused, but for what every client says to every server (`initialize`, `ping`, `tools/list`
/// and the like, notifications, and answers to what the server asked), which takes the route's
/// own action.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct McpConfig {
    /// What calling a tool amounts to, by its name.
    #[serde(serialize_with = "as_map")]
    pub tools: Vec<(String, McpTargetConfig)>,
    /// What any other method amounts to, by its name.
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<(String, McpTargetConfig)>,
}

/// A tool or a method. What is left out is as the route has it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct McpTargetConfig {
    /// The action that it amounts to, as permissions name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether no credential is asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
    /// What it costs, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_cents: Option<u64>,
    /// The host that it is for in the end, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_domain: Option<String>,
    /// The model that it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

pub(super) fn mcp(place: Place<'_>) -> McpConfig {
    let members = place.members(&["methods", "tools"]);
    let listed = |place: Place<'_>| {
        let entries = place.entries().into_iter();
        entries.map(|(name, place)| (String::from(name), target(place))).collect()
    };
    McpConfig {
        tools: listed(members.required("tools")),
        methods: members.optional("methods").map(listed).unwrap_or_default(),
    }
}

fn target(place: Place<'_>) -> McpTargetConfig {
    let members = place.members(&["action", "cost_cents", "model", "public", "target_domain"]);
    McpTargetConfig {
        action: members.text("action"),
        public: members.flag("public").unwrap_or_default(),
        cost_cents: members.optional("cost_cents").map(Place::whole_number),
        target_domain: members.text("target_domain"),
        model: members.text("model"),
    }
}

fn as_map<S: Serializer>(listed: &[(String, McpTargetConfig)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(listed.iter().map(|(name, target)| (name, target)))
}
