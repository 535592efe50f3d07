//! From a call's arguments to a request of the REST surface. Nothing is sent that was not
//! declared, and no argument chooses another path than its tool's.

use super::answer::Refusal;
use super::tools::{Argument, Kind, Tool};
use axum::http::Method;
use serde_json::{Map, Number, Value};

/// The longest argument in a path or a query, in bytes: ids have 256 at most. A request's
/// target has ten of them at most, which fit, escaped, into the 64 KiB that HTTP's have here.
pub const MAX_IN_TARGET: usize = 1024;

/// A request of the REST surface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestRequest {
    /// Its method.
    pub method: Method,
    /// Its path and query, escaped (RFC 3986).
    pub target: String,
    /// Its body, where the method has one.
    pub body: Option<Value>,
}

/// The request that a call of `tool` with these `arguments` makes. An argument that is null
/// is left out.
///
/// # Errors
/// An argument is unknown or missing, or cannot stand where it belongs; which, and why. The
/// members of bodies are REST's to judge.
pub fn of_call(tool: &Tool, mut arguments: Map<String, Value>) -> Result<RestRequest, Refusal> {
    if let Some(unknown) = arguments.keys().find(|name| tool.argument(name).is_none()) {
        let known: Vec<&str> = tool.arguments.iter().map(|argument| argument.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let problem = format!("{} has no such argument; it has {known}", tool.name);
        return Err(Refusal::argument(unknown, &problem));
    }
    let (method, template) = tool.http.split_once(' ').unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let has_body = !matches!(method, Method::GET | Method::DELETE);
    let mut target = template.to_owned();
    let mut query = String::new();
    let mut body = Value::Object(Map::new());
    for argument in tool.arguments {
        let Some(value) = arguments.remove(argument.name).filter(|value| !value.is_null()) else {
            if argument.is_required {
                return Err(Refusal::argument(argument.name, "is missing"));
            }
            continue;
        };
        let place = format!("{{{}}}", argument.name);
        if template.contains(&place) {
            target = target.replace(&place, &segment(argument, value)?);
        } else if !has_body {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(argument.sent_as);
            query.push('=');
            query.push_str(&escaped(&text(argument, value)?));
        } else if argument.is_body {
            if !value.is_object() {
                return Err(Refusal::argument(argument.name, "must be an object"));
            }
            body = value;
        } else if let Some(members) = body.as_object_mut() {
            members.insert(argument.sent_as.to_owned(), whole(value));
        }
    }
    target.push_str(&query);
    Ok(RestRequest { method, target, body: has_body.then_some(body) })
}

/// One segment of a path. What readers of URLs take for a step in the tree is none, escaped
/// or not (WHATWG URL, section 4.1, on double-dot segments).
fn segment(argument: &Argument, value: Value) -> Result<String, Refusal> {
    let text = text(argument, value)?;
    if matches!(text.as_str(), "" | "." | "..") {
        return Err(Refusal::argument(argument.name, "must not be empty, \".\" or \"..\""));
    }
    // Something between here and the service may decode these and read the path anew.
    if text.contains(|character: char| matches!(character, '/' | '\\') || character.is_control()) {
        return Err(Refusal::argument(argument.name, "must not have slashes or control characters"));
    }
    Ok(escaped(&text))
}

/// What a path or a query says of a value.
fn text(argument: &Argument, value: Value) -> Result<String, Refusal> {
    let text = match (argument.kind, whole(value)) {
        (Kind::Text | Kind::OneOf(_), Value::String(text)) => text,
        (Kind::Number, Value::Number(number)) => number.to_string(),
        (kind, _) => {
            return Err(Refusal::argument(argument.name, &format!("must be a {}", kind.json_type())));
        }
    };
    if text.len() > MAX_IN_TARGET {
        let problem = format!("must have at most {MAX_IN_TARGET} bytes");
        return Err(Refusal::argument(argument.name, &problem));
    }
    Ok(text)
}

/// Some clients know one kind of number, and write 10 as 10.0; REST asks for integers.
fn whole(value: Value) -> Value {
    /// Up to which every integer is a double, too (RFC 8259, section 6).
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Value::Number(number) = &value else { return value };
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT => {
            Value::Number(Number::from(double as i64))
        }
        _ => value,
    }
}

/// RFC 3986, section 2.3: everything but unreserved characters is escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
