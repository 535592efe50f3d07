//! Reading receipts, in the order in which they were made.

use super::store::WHOLE;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use anyhow::Context;
use portcullis_core::receipt::Attachment;
use sqlx::{AssertSqlSafe, Row};

/// Which receipts of a gate.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The gate.
    pub gate_id: String,
    /// Of this agent.
    pub agent_id: Option<String>,
    /// Of this passport.
    pub passport_id: Option<String>,
    /// Made at this time or later, in milliseconds since 1970.
    pub from: i64,
    /// Made before this time.
    pub to: i64,
    /// Part of this settlement, which must then be all that is said beside the gate and the time.
    pub settlement_id: Option<String>,
}

/// A receipt as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What the row says of it: [`Columns::whole`](super::Columns::whole).
    pub columns: String,
    /// Its text and its base.
    pub attachment: Attachment,
    /// When it came.
    pub received_at: i64,
    /// What its settlement notes of it.
    pub mark: Option<String>,
    /// What was looked for beside it.
    pub beside: Option<String>,
    /// Where it stands in the order.
    pub place: Place,
}

/// What is looked for beside receipts: an expression of SQL, and the joins that it is over. Nothing in
/// it is of any caller.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'s> {
    /// A text or null.
    pub expression: &'s str,
    /// Joins with `receipts`, each of one row at most.
    pub joins: &'s str,
}

impl Beside<'_> {
    /// Nothing.
    pub const NOTHING: Beside<'static> = Beside { expression: "NULL", joins: "" };
}

/// A receipt's place: when it was made, and its id.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place(pub i64, pub String);

impl Place {
    /// Behind all receipts.
    pub const END: Place = Place(i64::MAX, String::new());
}

/// The next receipts after a place and up to another, at most so many.
///
/// # Errors
/// No database, or a damaged row.
pub async fn page(
    tx: &mut Tx,
    wanted: &Wanted,
    (after, to): (&Place, &Place),
    beside: Beside<'_>,
    limit: i64,
) -> ApiResult<Vec<Stored>> {
    // Two bounds of one column would be one too many: SQLite begins at the looser one, and reads all
    // between them, page for page. No id is empty.
    let (begin, end) = (Place(wanted.from, String::new()), Place(wanted.to, String::new()));
    let (after, to) = (after.max(&begin), to.min(&end));
    let mut texts = Vec::new();
    let mut more = String::new();
    for (column, value) in [
        ("settlement_id", &wanted.settlement_id),
        ("agent_id", &wanted.agent_id),
        ("passport_id", &wanted.passport_id),
    ] {
        if let Some(value) = value {
            texts.push(value);
            more.push_str(&format!(" AND {column} = ${}", texts.len().saturating_add(6)));
        }
    }
    // What is wanted is found first, so many, whatever the database supposes of how many there are: then
    // it joins no more than these. Names of columns are of this file, and what callers wrote is bound.
    let found = if wanted.settlement_id.is_some() { "settled_receipts" } else { "receipts" };
    let Beside { expression, joins } = beside;
    let statement = format!(
        "SELECT found.receipt_id, found.issued_at, {WHOLE}, receipts.received_at, receipts.text, base, mark, \
         CAST({expression} AS TEXT) AS beside FROM (SELECT gate_id, issued_at, receipt_id FROM {found} \
         WHERE gate_id = $1 AND (issued_at, receipt_id) > ($2, $3) AND (issued_at, receipt_id) <= ($4, $5) {more} \
         ORDER BY issued_at, receipt_id LIMIT $6) AS found \
         LEFT JOIN receipts ON receipts.gate_id = found.gate_id AND receipts.issued_at = found.issued_at \
         AND receipts.receipt_id = found.receipt_id \
         LEFT JOIN settled_receipts ON settled_receipts.gate_id = found.gate_id \
         AND settled_receipts.issued_at = found.issued_at \
         AND settled_receipts.receipt_id = found.receipt_id {joins} \
         ORDER BY found.issued_at, found.receipt_id"
    );
    let mut query = sqlx::query(AssertSqlSafe(statement))
        .bind(&wanted.gate_id)
        .bind(after.0)
        .bind(&after.1)
        .bind(to.0)
        .bind(&to.1)
        .bind(limit);
    for text in texts {
        query = query.bind(text);
    }
    let rows = query.fetch_all(&mut **tx).await?;
    rows.iter()
        .map(|row| {
            let place = Place(row.try_get("issued_at")?, row.try_get("receipt_id")?);
            // Whoever reads on from a page that has too few would take it for the last.
            let columns: Option<String> = row.try_get("whole")?;
            Ok(Stored {
                columns: columns
                    .with_context(|| format!("the receipt {} was claimed, and is gone", place.1))?,
                attachment: Attachment { base: row.try_get("base")?, receipt: row.try_get("text")? },
                received_at: row.try_get("received_at")?,
                mark: row.try_get("mark")?,
                beside: row.try_get("beside")?,
                place,
            })
        })
        .collect()
}

/// The text of the receipt of this id, of this gate where one is named.
///
/// # Errors
/// 404; 409 where two gates have given it.
pub async fn of_id(tx: &mut Tx, receipt_id: &str, gate_id: Option<&str>) -> ApiResult<String> {
    let mut found: Vec<(String,)> = sqlx::query_as(
        "SELECT text FROM receipts WHERE receipt_id = $1 AND ($2 = '' OR gate_id = $3) LIMIT 2",
    )
    .bind(receipt_id)
    .bind(gate_id.unwrap_or_default())
    .bind(gate_id.unwrap_or_default())
    .fetch_all(&mut **tx)
    .await?;
    let first = found.pop().ok_or_else(|| ApiError::not_found("receipt", receipt_id))?;
    if !found.is_empty() {
        return Err(ApiError::two_gates("receipt_ambiguous"));
    }
    Ok(first.0)
}
