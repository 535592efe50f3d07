//! How tools are described to clients: JSON Schema 2020-12 of their inputs, and what they may
//! do.

use super::{Argument, Effect, Kind, Tool, all};
use rmcp::model::ToolAnnotations;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// All tools, as the protocol describes them.
pub fn described() -> &'static [rmcp::model::Tool] {
    static DESCRIBED: LazyLock<Vec<rmcp::model::Tool>> = LazyLock::new(|| all().map(describe).collect());
    &DESCRIBED
}

fn describe(tool: &Tool) -> rmcp::model::Tool {
    rmcp::model::Tool::new(tool.name, tool.description, input(tool))
        .with_annotations(annotations(tool.effect))
}

fn input(tool: &Tool) -> Map<String, Value> {
    let properties: Map<String, Value> =
        tool.arguments.iter().map(|argument| (argument.name.to_owned(), property(argument))).collect();
    let required: Vec<&str> =
        tool.arguments.iter().filter(|argument| argument.is_required).map(|argument| argument.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("required".to_owned(), json!(required));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

fn property(argument: &Argument) -> Value {
    let (kind, description) = (argument.kind.json_type(), argument.description);
    match argument.kind {
        Kind::Text | Kind::Number | Kind::Flag | Kind::Object => {
            json!({"type": kind, "description": description})
        }
        Kind::OneOf(values) => json!({"type": kind, "enum": values, "description": description}),
        Kind::Texts => json!({"type": kind, "items": {"type": "string"}, "description": description}),
        Kind::Objects => json!({"type": kind, "items": {"type": "object"}, "description": description}),
    }
}

impl Kind {
    /// Its type in JSON Schema.
    pub fn json_type(self) -> &'static str {
        match self {
            Kind::Text | Kind::OneOf(_) => "string",
            Kind::Number => "number",
            Kind::Flag => "boolean",
            Kind::Object => "object",
            Kind::Texts | Kind::Objects => "array",
        }
    }
}

/// Nothing that they do leaves the service and its gates.
fn annotations(effect: Effect) -> ToolAnnotations {
    let annotations = ToolAnnotations::new().read_only(effect == Effect::Reads).open_world(false);
    match effect {
        Effect::Reads => annotations,
        Effect::Adds => annotations.destructive(false).idempotent(false),
        Effect::Sets => annotations.destructive(true).idempotent(true),
        Effect::Replaces => annotations.destructive(true).idempotent(false),
    }
}
