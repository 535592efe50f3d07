//! A look at a `did:web` document. Its keys stay as last seen while it cannot be read.

use super::claim::Claim;
use super::{SeenKey, check_document, document_url};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::outside::OutsideError;
use crate::time::now_ms;
use crate::trust::changes;
use anyhow::Result;
use portcullis_core::DidDocumentConfig;
use portcullis_core::capiscio::DidDocument;

/// RFC-003: a document has 64 KiB at most.
const MAX_DOCUMENT: usize = 64 * 1024;

/// All of them are in every gate's snapshot.
const MOST: i64 = 1000;

/// Of one document: no agent has so many, and with those of all documents a snapshot stays within a fifth
/// of the 64 MiB that it may have.
const MOST_KEYS: usize = 32;

/// That there is room to follow a DID's document, unless it is followed already.
///
/// # Errors
/// 409.
pub(crate) async fn leave_room_for(tx: &mut Tx, did: &str) -> ApiResult<()> {
    let (count, known): (i64, i64) =
        sqlx::query_as("SELECT COUNT(*), COUNT(CASE WHEN did = $1 THEN 1 END) FROM did_documents")
            .bind(did)
            .fetch_one(&mut **tx)
            .await?;
    if count < MOST || known > 0 {
        Ok(())
    } else {
        Err(ApiError::conflict(format!("{MOST} DID documents are the most that are followed")))
    }
}

pub(super) async fn look_and_keep(app: &App, claim: &Claim) {
    let found = look(app, &claim.id).await;
    if let Err(error) = &found {
        tracing::warn!(did = claim.id, %error, "a DID document cannot be followed");
    }
    if let Err(error) = keep(app, claim, found).await {
        tracing::warn!(did = claim.id, error = format!("{error:#}"), "a DID document cannot be kept");
    }
}

async fn look(app: &App, did: &str) -> Result<Vec<SeenKey>, OutsideError> {
    let url = document_url(did).ok_or_else(|| OutsideError::new(did, "is no did:web"))?;
    let body = app.outside.get(&url, MAX_DOCUMENT).await?;
    let document = DidDocument::read(&body).map_err(|problem| OutsideError::new(&url, problem))?;
    if document.id != did {
        return Err(OutsideError::new(&url, "is the document of another DID"));
    }
    if document.keys.len() > MOST_KEYS {
        return Err(OutsideError::new(&url, format!("has more than {MOST_KEYS} Ed25519 keys")));
    }
    let keys = SeenKey::sorted(&document.keys);
    let config =
        DidDocumentConfig { id: did.to_owned(), keys: keys.iter().cloned().map(SeenKey::config).collect() };
    check_document(&config).map_err(|error| OutsideError::new(&url, error.to_string()))?;
    Ok(keys)
}

async fn keep(app: &App, claim: &Claim, found: Result<Vec<SeenKey>, OutsideError>) -> Result<()> {
    let (failures, look_at) = claim.next(app, found.is_err());
    let mut tx = app.db.write().await?;
    let keys = match found {
        Err(error) => {
            sqlx::query(
                "UPDATE did_documents SET last_error = $1, failures = $2, look_at = $3 \
                 WHERE did = $4 AND look_at = $5",
            )
            .bind(error.to_string())
            .bind(failures)
            .bind(look_at)
            .bind(&claim.id)
            .bind(claim.look_at)
            .execute(&mut *tx)
            .await?;
            return Ok(tx.commit().await?);
        }
        Ok(keys) => serde_json::to_string(&keys)?,
    };
    let before: Option<(i64,)> =
        sqlx::query_as("SELECT look_at FROM did_documents WHERE did = $1 AND seen_at IS NULL")
            .bind(&claim.id)
            .fetch_optional(&mut *tx)
            .await?;
    let updated = sqlx::query(
        "UPDATE did_documents SET keys = $1, seen_at = $2, last_error = NULL, failures = $3, look_at = $4 \
         WHERE did = $5 AND look_at = $6",
    )
    .bind(&keys)
    .bind(now_ms())
    .bind(failures)
    .bind(look_at)
    .bind(&claim.id)
    .bind(claim.look_at)
    .execute(&mut *tx)
    .await?;
    let is_new = updated.rows_affected() == 1 && (before.is_some() || keys != claim.keys);
    let number = if is_new { Some(changes::renew_all_gates(&mut tx).await?) } else { None };
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(())
}
