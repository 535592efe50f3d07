//! What requests say, checked.

use crate::error::{ApiError, ApiResult};
use crate::registry::issue::{DEFAULT_TTL_SECONDS, MAX_AUDIENCES, TTL_SECONDS};
use portcullis_core::capiscio::Level;
use std::ops::RangeInclusive;

/// A badge's life in seconds.
pub(super) fn badge_ttl(field: &str, seconds: Option<i64>) -> ApiResult<i64> {
    within(field, seconds, DEFAULT_TTL_SECONDS, &TTL_SECONDS)
}

/// A number of seconds.
pub(super) fn within(
    field: &str,
    seconds: Option<i64>,
    default: i64,
    range: &RangeInclusive<i64>,
) -> ApiResult<i64> {
    let seconds = seconds.unwrap_or(default);
    if range.contains(&seconds) {
        return Ok(seconds);
    }
    Err(ApiError::invalid(field, format!("must be {} to {}", range.start(), range.end())))
}

/// A badge's audience.
pub(super) fn audience(field: &str, names: Option<Vec<String>>) -> ApiResult<Vec<String>> {
    let names = names.unwrap_or_default();
    if names.len() > MAX_AUDIENCES {
        return Err(ApiError::invalid(field, format!("must have at most {MAX_AUDIENCES} members")));
    }
    let is_name =
        |name: &str| (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    match names.iter().position(|name| !is_name(name)) {
        None => Ok(names),
        Some(at) => Err(ApiError::invalid(
            format!("{field}[{at}]"),
            "must be 1 to 256 printable ASCII characters without spaces",
        )),
    }
}

/// A level that a registry may state.
pub(super) fn level(field: &str, text: &str) -> ApiResult<Level> {
    Level::from_text(text)
        .filter(|level| *level != Level::SelfSigned)
        .ok_or_else(|| ApiError::invalid(field, "must be one of \"1\", \"2\", \"3\" and \"4\""))
}

/// A host name, in lower case.
pub(super) fn domain(field: &str, name: &str) -> ApiResult<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid(field, "must be a host name in lower case"))
}

/// A text for people, of 1 to `most` characters.
pub(super) fn text(field: &str, text: String, most: usize) -> ApiResult<String> {
    if (1..=most).contains(&text.chars().count()) && !text.contains('\0') {
        return Ok(text);
    }
    Err(ApiError::invalid(field, format!("must have 1 to {most} characters")))
}

/// A reason that somebody gives.
pub(super) fn reason(reason: Option<String>) -> ApiResult<Option<String>> {
    reason.map(|reason| text("reason", reason, 500)).transpose()
}
