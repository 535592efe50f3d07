//! The tools of the control service, called by the official client of the Model Context
//! Protocol over both transports.

mod every_tool;
mod hostile;
mod protocol;
mod receipts;
mod remote;
mod scene;

use scene::{Scene, WAYS};
use serde_json::{Map, Value, json};

/// See the file.
const TOOLS: &str = include_str!("tools.txt");

#[test]
fn the_tools_have_the_names_and_inputs_that_are_known_and_no_others() {
    let mut scene = Scene::new(None);
    for (number, (transport, mode, _)) in WAYS.into_iter().enumerate() {
        let session = format!("{number}");
        scene.open(&session, transport, mode);
        let listed = scene.client.ask("tools", json!({"session": session}));
        let mut listed: Vec<(String, Value)> =
            listed["tools"].as_array().expect("a list").iter().map(known_of).collect();
        listed.sort_by(|one, other| one.0.cmp(&other.0));
        let mut expected: Vec<(String, Value)> = lines().map(read).collect();
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        for (listed, expected) in listed.iter().zip(&expected) {
            assert_eq!(listed, expected);
        }
        assert_eq!((listed.len(), expected.len()), (46, 46));
    }
}

#[test]
fn tools_say_truly_whether_they_only_read() {
    let mut scene = Scene::new(None);
    let (transport, mode, _) = WAYS[1];
    scene.open("a", transport, mode);
    let listed = scene.client.ask("tools", json!({"session": "a"}));
    for tool in listed["tools"].as_array().expect("a list") {
        let name = tool["name"].as_str().expect("a name");
        let reads = ["get_", "list_", "check_", "discover_", "verify_", "authorize_"]
            .iter()
            .any(|beginning| name.starts_with(beginning));
        let hints = &tool["annotations"];
        assert_eq!(hints["readOnlyHint"], reads, "{name}");
        let ends =
            ["delete_", "revoke_", "reset_", "reissue_"].iter().any(|beginning| name.starts_with(beginning));
        assert!(!ends || hints["destructiveHint"] == true, "{name}");
        let adds = ["create_gate", "create_api_key", "issue_passport", "enforce_action"].contains(&name);
        assert!(!adds || (hints["destructiveHint"] == false && hints["idempotentHint"] == false), "{name}");
        assert!(tool["description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    TOOLS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The names of all tools.
fn names() -> impl Iterator<Item = &'static str> {
    lines().filter_map(|line| line.split_whitespace().next())
}

/// A line of the file.
fn read(line: &str) -> (String, Value) {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a name").to_owned();
    let mut arguments = Map::new();
    for word in words {
        let (word, values) = word.split_once('=').map_or((word, None), |(word, values)| (word, Some(values)));
        let (word, kind) = word.split_once(':').unwrap_or((word, "string"));
        let (word, is_required) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
        let values = values.map(|values| values.split('|').collect::<Vec<_>>());
        arguments.insert(word.to_owned(), json!([kind, is_required, values]));
    }
    (name, Value::Object(arguments))
}

/// The same of a tool that was listed.
fn known_of(tool: &Value) -> (String, Value) {
    let schema = &tool["inputSchema"];
    assert_eq!(
        (&schema["type"], &schema["additionalProperties"]),
        (&json!("object"), &json!(false)),
        "{tool}"
    );
    let required = schema["required"].as_array().expect("a list");
    let properties = schema["properties"].as_object().expect("an object");
    let arguments = properties.iter().map(|(name, property)| {
        assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        let known = json!([property["type"], required.contains(&json!(name)), property.get("enum")]);
        (name.clone(), known)
    });
    (tool["name"].as_str().expect("a name").to_owned(), arguments.collect())
}
