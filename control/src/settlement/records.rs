//! The records of a settlement, each with what is charged for it: they add up to its summary.

use super::sums::charged;
use super::{Settlement, Status};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::receipts::{self, Beside, Place, Stored, Wanted};
use anyhow::{Result, anyhow};
use axum::body::Bytes;
use futures_util::Stream;
use portcullis_core::receipt::SignedReceipt;
use serde_json::json;

/// Records that are read at a time: with bases of some kilobytes, a megabyte.
const PAGE: i64 = 256;

/// Lines of JSON: `base`, `charged_cents`, `charged_fee_cents`, `mark` and `receipt`, in the order
/// in which the receipts were made.
pub fn lines(app: &App, settlement: &Settlement) -> impl Stream<Item = Result<Bytes>> + use<> {
    receipts_as(app, settlement.receipts(), line)
}

/// Receipts as lines, page by page.
pub(crate) fn receipts_as(
    app: &App,
    wanted: Wanted,
    line: fn(&Stored) -> String,
) -> impl Stream<Item = Result<Bytes>> + use<> {
    let begin = Some((app.clone(), wanted, Place::default()));
    futures_util::stream::try_unfold(begin, move |state| async move {
        let Some((app, wanted, place)) = state else { return Ok(None) };
        let mut tx = app.db.read().await?;
        let page = page(&mut tx, &wanted, &place).await;
        let page = page.map_err(|error| {
            // What was sent breaks off, so that nobody takes it for whole.
            tracing::error!(error = error.message, "receipts cannot be read");
            anyhow!(error.message)
        })?;
        tx.rollback().await?;
        let text: String = page.iter().map(line).collect();
        let is_last = i64::try_from(page.len())? < PAGE;
        let next = page.into_iter().next_back().filter(|_| !is_last);
        Ok(Some((Bytes::from(text), next.map(|stored| (app, wanted, stored.place)))))
    })
}

async fn page(tx: &mut Tx, wanted: &Wanted, after: &Place) -> ApiResult<Vec<Stored>> {
    if let Some(id) = &wanted.settlement_id {
        // From then on another may have them, and what is left does not add up.
        let found = super::find(tx, id).await?;
        if found.is_none_or(|found| found.status == Status::Void.name()) {
            return Err(ApiError::conflict("the settlement is void, and has given its records free"));
        }
    }
    receipts::page(tx, wanted, (after, &Place::END), Beside::NOTHING, PAGE).await
}

fn line(stored: &Stored) -> String {
    let mark = stored.mark.as_deref();
    let signed = SignedReceipt::read(stored.attachment.receipt.as_bytes());
    // What cannot be read is excluded.
    let (cents, fee) = signed.map_or((0, 0), |signed| charged(&signed.receipt, mark));
    let line = json!({
        "base": stored.attachment.base, "charged_cents": cents, "charged_fee_cents": fee, "mark": mark,
        "receipt": stored.attachment.receipt,
    });
    format!("{line}\n")
}
