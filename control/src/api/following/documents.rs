//! `did:web` documents that are followed.

use super::{Did, Key, Unfollowed, conflict, time};
use crate::App;
use crate::audit;
use crate::auth::{Caller, Following};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::follow::{document_url, leave_room_for};
use crate::time::now_ms;
use crate::trust::changes;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of documents.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_documents, follow_document)).routes(routes!(unfollow_document))
}

/// A DID document that is followed.
#[derive(Debug, Serialize, ToSchema)]
struct FollowedDocument {
    /// The DID.
    did: String,
    /// Where its document is.
    url: String,
    /// Its keys as last seen.
    keys: Vec<Key>,
    /// When they were.
    seen_at: Option<String>,
    /// What failed at the last look; left out where nothing did.
    last_error: Option<String>,
}

/// All DID documents that are followed.
#[utoipa::path(get, path = "/api/v1/did-documents", tag = "following", security(("api_key" = ["following"])), responses(
    (status = 200, description = "The documents", body = [FollowedDocument]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
))]
async fn list_documents(
    _: Caller<Following>,
    State(app): State<App>,
) -> ApiResult<Json<Vec<FollowedDocument>>> {
    let rows = sqlx::query("SELECT did, keys, seen_at, last_error FROM did_documents ORDER BY did")
        .fetch_all(app.db.pool())
        .await?;
    rows.iter().map(FollowedDocument::of).collect::<ApiResult<_>>().map(Json)
}

/// Follows a `did:web` document: badges of its agent can then have IAL 1.
#[utoipa::path(post, path = "/api/v1/did-documents", tag = "following", security(("api_key" = ["following"])), request_body = Did, responses(
    (status = 201, description = "It is followed", body = FollowedDocument),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "It is followed already, or there are too many", body = ErrorBody),
    (status = 422, description = "It is no did:web", body = ErrorBody),
))]
async fn follow_document(
    caller: Caller<Following>,
    State(app): State<App>,
    Body(asked): Body<Did>,
) -> ApiResult<(StatusCode, Json<FollowedDocument>)> {
    let did = asked.did;
    let url = document_url(&did).ok_or_else(|| {
        ApiError::invalid("did", "must be a did:web of a host name, as did:web:agent.example")
    })?;
    // One that is followed for a registered agent stays from now on when the agent goes. Others hold its
    // row before they take the clock, so that whoever has the clock must not wait for it.
    let mut tx = app.db.write().await?;
    let known = sqlx::query(
        "UPDATE did_documents SET agent_id = NULL WHERE did = $1 AND agent_id IS NOT NULL \
         RETURNING did, keys, seen_at, last_error",
    )
    .bind(&did)
    .fetch_optional(&mut *tx)
    .await?;
    let made = match known {
        Some(row) => FollowedDocument::of(&row)?,
        None => {
            tx.rollback().await?;
            tx = app.db.write_alone().await?;
            leave_room_for(&mut tx, &did).await?;
            sqlx::query(
                "INSERT INTO did_documents (did, keys, look_at, created_at) VALUES ($1, '[]', 0, $2)",
            )
            .bind(&did)
            .bind(now_ms())
            .execute(&mut *tx)
            .await
            .map_err(|error| conflict(error, "this document is followed already"))?;
            FollowedDocument { did: did.clone(), url, keys: Vec::new(), seen_at: None, last_error: None }
        }
    };
    audit::record(&mut tx, &caller.key_id, "did_document.create", &did, json!({})).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// No longer follows a DID document: its keys are no longer known to gates.
#[utoipa::path(delete, path = "/api/v1/did-documents/{did}", tag = "following", security(("api_key" = ["following"])),
    params(("did" = String, Path, description = "The DID, its % written as %25")), responses(
    (status = 200, description = "It is no longer followed", body = Unfollowed),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "It was not followed", body = ErrorBody),
))]
async fn unfollow_document(
    caller: Caller<Following>,
    State(app): State<App>,
    Path(did): Path<String>,
) -> ApiResult<Json<Unfollowed>> {
    let mut tx = app.db.write().await?;
    let deleted =
        sqlx::query("DELETE FROM did_documents WHERE did = $1").bind(&did).execute(&mut *tx).await?;
    if deleted.rows_affected() == 0 {
        return Err(ApiError::not_found("followed DID document", &did));
    }
    audit::record(&mut tx, &caller.key_id, "did_document.delete", &did, json!({})).await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Unfollowed { unfollowed: true }))
}

impl FollowedDocument {
    fn of(row: &AnyRow) -> ApiResult<Self> {
        let did: String = row.try_get("did")?;
        Ok(FollowedDocument {
            url: document_url(&did).unwrap_or_default(),
            did,
            keys: Key::all(row)?,
            seen_at: time(row, "seen_at")?,
            last_error: row.try_get("last_error")?,
        })
    }
}
