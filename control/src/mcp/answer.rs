//! What a tool answers: one block of text with the JSON of REST's answer, or with what was
//! wrong.

use axum::http::StatusCode;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// The longest answer: a thousand passports, most of which have a few KiB, fit.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// An answer of the REST surface.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, of at most [`MAX_ANSWER`] bytes.
    pub body: Vec<u8>,
}

/// Why a call has no answer of REST, in the form that REST's own refusals have.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// A stable name for what went wrong.
    pub code: &'static str,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// The argument that is at fault.
    pub field: Option<String>,
}

impl Refusal {
    /// Something other than an argument was wrong.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), field: None }
    }

    /// An argument was wrong.
    pub fn argument(name: &str, problem: &str) -> Self {
        // A name that a caller made up may be of any length.
        let field = format!("{name:.100}");
        Refusal { code: "invalid", message: format!("{field}: {problem}"), field: Some(field) }
    }

    /// The answer is past [`MAX_ANSWER`].
    pub fn too_long() -> Self {
        let message = format!("the answer is longer than {} MiB; ask for less of it", MAX_ANSWER >> 20);
        Refusal::new("too_long", message)
    }
}

impl From<Refusal> for CallToolResponse {
    fn from(refusal: Refusal) -> Self {
        let mut body = json!({"error": refusal.code, "code": refusal.code, "message": refusal.message});
        if let (Some(field), Some(body)) = (refusal.field, body.as_object_mut()) {
            body.insert("field".to_owned(), Value::String(field));
        }
        CallToolResult::error(vec![ContentBlock::text(body.to_string())]).into()
    }
}

impl From<Answer> for CallToolResponse {
    fn from(answer: Answer) -> Self {
        let status = answer.status;
        let is_json = serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok();
        let text = match String::from_utf8(answer.body) {
            Ok(text) if is_json => text,
            Ok(text) if text.is_empty() && status.is_success() => "{}".to_owned(),
            // Of something between here and the service.
            _ => {
                let message =
                    format!("the answer, of status {}, is not the control service's", status.as_u16());
                return Refusal::new("unexpected_answer", message).into();
            }
        };
        let content = vec![ContentBlock::text(text)];
        let result = if status.is_success() {
            CallToolResult::success(content)
        } else {
            CallToolResult::error(content)
        };
        result.into()
    }
}
