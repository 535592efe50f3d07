//! API keys: `/api/users/api-keys`, as the Modei client has them.

use crate::App;
use crate::audit;
use crate::auth::{self, ApiKeys, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row;
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of API keys.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// An API key as it is listed.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKey {
    /// Its id.
    id: String,
    /// What it is for.
    name: String,
    /// How it begins.
    prefix: String,
    /// What it may do.
    scopes: BTreeSet<String>,
    /// When it was made.
    created_at: String,
    /// When it was revoked.
    revoked_at: Option<String>,
}

/// An API key to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct NewApiKey {
    /// What it is for.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do; left out: all that the caller may.
    scopes: Option<BTreeSet<String>>,
}

/// An API key that was just made: the only time that the key itself is shown.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedApiKey {
    /// Its id.
    id: String,
    /// The key. It is kept nowhere.
    key: String,
    /// What it is for.
    name: String,
    /// What it may do.
    scopes: BTreeSet<String>,
    /// When it was made.
    created_at: String,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// Always true.
    revoked: bool,
}

/// All API keys, without the keys themselves.
#[utoipa::path(get, path = "/api/users/api-keys", tag = "api keys", security(("api_key" = ["api_keys"])), responses(
    (status = 200, description = "The API keys", body = [ApiKey]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
))]
async fn list(_: Caller<ApiKeys>, State(app): State<App>) -> ApiResult<Json<Vec<ApiKey>>> {
    let rows = sqlx::query(
        "SELECT id, name, prefix, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, id",
    )
    .fetch_all(app.db.pool())
    .await?;
    let keys = rows.iter().map(|row| {
        Ok(ApiKey {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            prefix: row.try_get("prefix")?,
            scopes: auth::scopes_of(&row.try_get::<String, _>("scopes")?)?,
            created_at: iso(row.try_get("created_at")?),
            revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(iso),
        })
    });
    keys.collect::<ApiResult<_>>().map(Json)
}

/// Makes an API key.
#[utoipa::path(post, path = "/api/users/api-keys", tag = "api keys", security(("api_key" = ["api_keys"])), request_body = NewApiKey, responses(
    (status = 201, description = "The API key", body = CreatedApiKey),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "A scope is missing", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
async fn create(
    caller: Caller<ApiKeys>,
    State(app): State<App>,
    Body(asked): Body<NewApiKey>,
) -> ApiResult<(StatusCode, Json<CreatedApiKey>)> {
    if asked.name.is_empty() || asked.name.chars().count() > 200 {
        return Err(ApiError::invalid("name", "must have 1 to 200 characters"));
    }
    let scopes = asked.scopes.unwrap_or_else(|| caller.scopes.clone());
    let mut tx = app.db.write().await?;
    let made = auth::create(&mut tx, &asked.name, &scopes).await?;
    if let Some(scope) = scopes.difference(&caller.scopes).next() {
        return Err(ApiError::forbidden(format!("who lacks the scope {scope} cannot give it")));
    }
    audit::record(&mut tx, &caller.key_id, "api_key.create", &made.id, json!({"scopes": scopes})).await?;
    tx.commit().await?;
    let created_at = iso(made.created_at);
    let key = CreatedApiKey { id: made.id, key: made.key, name: asked.name, scopes, created_at };
    Ok((StatusCode::CREATED, Json(key)))
}

/// Revokes an API key. What it began goes on; nothing new begins with it.
#[utoipa::path(delete, path = "/api/users/api-keys/{id}", tag = "api keys", security(("api_key" = ["api_keys"])),
    params(("id" = String, Path, description = "The API key's id")), responses(
    (status = 200, description = "It is revoked", body = Revoked),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
))]
async fn revoke(
    caller: Caller<ApiKeys>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<Revoked>> {
    let mut tx = app.db.write().await?;
    let updated = sqlx::query("UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now_ms())
        .bind(&id)
        .execute(&mut *tx)
        .await?;
    if updated.rows_affected() == 0 {
        return Err(ApiError::not_found("API key", &id));
    }
    audit::record(&mut tx, &caller.key_id, "api_key.revoke", &id, json!({})).await?;
    tx.commit().await?;
    Ok(Json(Revoked { revoked: true }))
}
