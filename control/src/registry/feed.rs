//! The feed of revocations, for those who follow this registry.
//!
//! Its order is that of the changes' numbers, which become visible in their order: nobody
//! who has read up to one misses an earlier one later, and no two have the same.

use crate::App;
use crate::error::{ApiError, ApiResult};
use portcullis_core::{UnixTime, base64};
use sqlx::Row;

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order in which they were revoked.
    pub revocations: Vec<Entry>,
    /// Where to go on, now or later.
    pub next: Position,
    /// Whether there is more now.
    pub has_more: bool,
}

/// One revoked badge.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub jti: String,
    /// Since when.
    pub revoked_at: i64,
    /// Why.
    pub reason: Option<String>,
}

/// Where somebody has got to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Position {
    /// After the change of this number; 0 is the beginning.
    After(i64),
    /// At a time, in milliseconds since 1970, as RFC-002 section 7.5 has it.
    Since(i64),
}

/// At most `limit` revocations from a position on.
///
/// # Errors
/// No database.
pub async fn read(app: &App, from: Position, limit: i64) -> ApiResult<Page> {
    let (after, since) = match from {
        Position::After(number) => (number, i64::MIN),
        Position::Since(time) => (0, time),
    };
    let rows = sqlx::query(
        "SELECT jti, revoked_at, reason, revoked_number FROM badges \
         WHERE revoked_number > $1 AND revoked_at >= $2 ORDER BY revoked_number LIMIT $3",
    )
    .bind(after)
    .bind(since)
    .bind(limit.saturating_add(1))
    .fetch_all(app.db.pool())
    .await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let mut page = Page { revocations: Vec::new(), next: from, has_more: rows.len() > limit };
    for row in rows.iter().take(limit) {
        page.next = Position::After(row.try_get("revoked_number")?);
        page.revocations.push(Entry {
            jti: row.try_get("jti")?,
            revoked_at: row.try_get("revoked_at")?,
            reason: row.try_get("reason")?,
        });
    }
    Ok(page)
}

impl Position {
    /// Reads a cursor, or a time in RFC 3339.
    ///
    /// # Errors
    /// 422 for anything else.
    pub fn read(text: &str) -> ApiResult<Self> {
        let of_cursor = || {
            let text = String::from_utf8(base64::decode_url(text)?).ok()?;
            let (kind, number) = text.split_once(' ')?;
            let number = number.parse().ok().filter(|number| *number >= 0)?;
            match kind {
                "after" => Some(Position::After(number)),
                "since" => Some(Position::Since(number)),
                _ => None,
            }
        };
        let of_time = || UnixTime::from_rfc3339(text).map(|time| Position::Since(time.as_millis()));
        of_time().or_else(of_cursor).ok_or_else(|| {
            ApiError::invalid("since", "must be a nextCursor, or a time in UTC as 2026-01-31T00:00:00Z")
        })
    }

    /// As a cursor.
    pub fn cursor(self) -> String {
        let text = match self {
            Position::After(number) => format!("after {number}"),
            Position::Since(time) => format!("since {time}"),
        };
        base64::encode_url(text.as_bytes())
    }
}
