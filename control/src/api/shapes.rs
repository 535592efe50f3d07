//! What several subjects have in common: pages, texts of bounded length.

use super::gates::full_id;
use crate::error::{ApiError, ApiResult};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many, at most; left out: 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// Whose passport is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct IssuerQuery {
    /// Of this issuer, as gates name the one at its root: agents choose the ids of what they issue and
    /// delegate, so that another may have the same.
    #[param(min_length = 1, max_length = 256)]
    pub(super) issuer_id: Option<String>,
}

/// Which gate's, of what gates name themselves.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GateQuery {
    /// Of this gate: where another has given the same id.
    #[param(max_length = 256)]
    gate_id: Option<String>,
}

/// A part of a list, within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) limit: i64,
    pub(super) offset: i64,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Items<T> {
    /// What is on this page.
    items: Vec<T>,
    /// How many there are on all pages.
    total: i64,
    /// How many a page has at most.
    limit: i64,
    /// How many come before this page.
    offset: i64,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// Always true.
    pub(super) deleted: bool,
}

/// The longest list that is answered whole: some megabytes of passports.
const MAX_LIMIT: i64 = 1000;

impl IssuerQuery {
    /// # Errors
    /// 422 for what is no id.
    pub(super) fn checked(&self) -> ApiResult<Option<&str>> {
        if let Some(issuer) = &self.issuer_id {
            check_id("issuer_id", issuer)?;
        }
        Ok(self.issuer_id.as_deref())
    }
}

impl GateQuery {
    /// The gate's whole id.
    pub(super) fn gate(&self) -> Option<String> {
        self.gate_id.as_deref().map(full_id)
    }
}

impl PageQuery {
    /// # Errors
    /// 422 outside its bounds.
    pub(super) fn page(self) -> ApiResult<Page> {
        Page::new(self.limit, self.offset)
    }
}

impl Page {
    /// # Errors
    /// 422 outside its bounds.
    pub(super) fn new(limit: Option<i64>, offset: Option<i64>) -> ApiResult<Self> {
        let page = Page { limit: limit.unwrap_or(50), offset: offset.unwrap_or(0) };
        if !(1..=MAX_LIMIT).contains(&page.limit) {
            return Err(ApiError::invalid("limit", format!("must be 1 to {MAX_LIMIT}")));
        }
        if page.offset < 0 {
            return Err(ApiError::invalid("offset", "must not be negative"));
        }
        Ok(page)
    }

    /// The first of a list that is answered without pages.
    pub(super) fn first() -> Self {
        Page { limit: MAX_LIMIT, offset: 0 }
    }

    pub(super) fn of<T>(self, items: Vec<T>, total: i64) -> Items<T> {
        Items { items, total, limit: self.limit, offset: self.offset }
    }
}

/// # Errors
/// 422 for a text that is shorter or longer, in characters.
pub(super) fn check_text(field: &str, text: &str, min: usize, max: usize) -> ApiResult<()> {
    if (min..=max).contains(&text.chars().count()) {
        return Ok(());
    }
    let problem = if min == 0 {
        format!("must have at most {max} characters")
    } else {
        format!("must have {min} to {max} characters")
    };
    Err(ApiError::invalid(field, problem))
}

/// # Errors
/// 422 for what is no id: 1 to 256 printable ASCII characters without spaces.
pub(super) fn check_id(field: &str, text: &str) -> ApiResult<()> {
    if (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ApiError::invalid(field, "must be 1 to 256 printable ASCII characters without spaces"))
}

/// # Errors
/// 422 for notes that are too long, as JSON.
pub(super) fn check_metadata(metadata: &serde_json::Map<String, serde_json::Value>) -> ApiResult<()> {
    // Notes, not files.
    const MAX: usize = 16 * 1024;
    if serde_json::json!(metadata).to_string().len() > MAX {
        return Err(ApiError::invalid("metadata", format!("must have at most {MAX} bytes as JSON")));
    }
    Ok(())
}
