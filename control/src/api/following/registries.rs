//! Registries that are followed.

use super::{Key, Unfollowed, bounded, conflict, time};
use crate::App;
use crate::audit;
use crate::auth::{Caller, Following};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::follow;
use crate::time::{iso, now_ms};
use crate::trust::changes;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::{BadgeIssuerConfig, KeyConfig, SecretKey, base64};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of registries.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, follow)).routes(routes!(get, unfollow))
}

/// A registry is asked by one instance: at 30 s between looks and a second each, 8 at a
/// time, that is what one can do; and heads name each of them.
const MAX_REGISTRIES: i64 = 200;

/// A registry that is followed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FollowedIssuer {
    /// Its id here: base64url of the origin.
    id: String,
    /// Its HTTPS origin, the `iss` of its badges.
    pub(super) origin: String,
    /// Who vouches for it, 1 to 3.
    tier: i64,
    /// The actions that holders of its badges may have.
    actions: Vec<String>,
    /// The lowest trust level that its badges may have.
    minimum_level: Option<String>,
    /// Where its badges may depart from RFC-002.
    compatibility: Vec<String>,
    /// Its keys as last seen.
    keys: Vec<Key>,
    /// When they were.
    keys_seen_at: Option<String>,
    /// As of when all its revocations and agents are known. Badges of level 2 and up are
    /// refused once that is more than 300 s ago.
    synced_at: Option<String>,
    /// What failed at the last look; left out where nothing did.
    last_error: Option<String>,
    /// When something last failed.
    last_error_at: Option<String>,
    /// Since when it is followed.
    created_at: String,
}

/// A registry to follow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFollowedIssuer {
    /// Its HTTPS origin in its one form: lower case, no path, no port 443.
    #[schema(min_length = 9, max_length = 256)]
    origin: String,
    /// Who vouches for it: 1 (nobody but itself), 2 (its domain is verified), 3 (certified).
    #[schema(minimum = 1, maximum = 3)]
    tier: u8,
    /// The actions that holders of its badges may have: names, `namespace:*`, or `*`.
    #[schema(min_items = 1, max_items = 100)]
    actions: Vec<String>,
    /// The lowest trust level, `"0"` to `"4"`; left out: what a gate's profile asks for.
    minimum_level: Option<String>,
    /// Where its badges may depart from RFC-002: `missing_typ`, `missing_kid`, `empty_ial`.
    #[serde(default)]
    #[schema(max_items = 3)]
    compatibility: Vec<String>,
}

const COLUMNS: &str = "SELECT origin, tier, actions, minimum_level, compatibility, keys, keys_seen_at, \
                       synced_at, last_error, last_error_at, created_at FROM followed_issuers";

/// All registries that are followed.
#[utoipa::path(get, path = "/api/v1/followed-issuers", tag = "following", security(("api_key" = ["following"])), responses(
    (status = 200, description = "The registries", body = [FollowedIssuer]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
))]
async fn list(_: Caller<Following>, State(app): State<App>) -> ApiResult<Json<Vec<FollowedIssuer>>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY origin"));
    let rows = sqlx::query(sql).fetch_all(app.db.pool()).await?;
    rows.iter().map(FollowedIssuer::of).collect::<ApiResult<_>>().map(Json)
}

/// Follows a registry. Its badges are admitted once its keys were seen, and those of level
/// 2 and up once its revocations were too.
#[utoipa::path(post, path = "/api/v1/followed-issuers", tag = "following", security(("api_key" = ["following"])), request_body = NewFollowedIssuer, responses(
    (status = 201, description = "It is followed", body = FollowedIssuer),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "It is followed already, is this service, or there are too many", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
async fn follow(
    caller: Caller<Following>,
    State(app): State<App>,
    Body(asked): Body<NewFollowedIssuer>,
) -> ApiResult<(StatusCode, Json<FollowedIssuer>)> {
    asked.check()?;
    if asked.origin == app.settings.public_url {
        return Err(ApiError::conflict("this is the service's own origin: its badges are admitted already"));
    }
    let mut tx = app.db.write_alone().await?;
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM followed_issuers").fetch_one(&mut *tx).await?;
    bounded(count, MAX_REGISTRIES, "registries")?;
    let inserted = sqlx::query(
        "INSERT INTO followed_issuers \
         (origin, tier, actions, minimum_level, compatibility, keys, look_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, '[]', 0, $6)",
    )
    .bind(&asked.origin)
    .bind(i64::from(asked.tier))
    .bind(json!(asked.actions).to_string())
    .bind(&asked.minimum_level)
    .bind(json!(asked.compatibility).to_string())
    .bind(now_ms())
    .execute(&mut *tx)
    .await;
    inserted.map_err(|error| conflict(error, "this registry is followed already"))?;
    let detail = json!({"tier": asked.tier, "actions": asked.actions, "minimum_level": asked.minimum_level,
        "compatibility": asked.compatibility});
    audit::record(&mut tx, &caller.key_id, "followed_issuer.create", &asked.origin, detail).await?;
    let made = find(&mut tx, &asked.origin).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A registry that is followed, and how that goes.
#[utoipa::path(get, path = "/api/v1/followed-issuers/{id}", tag = "following", security(("api_key" = ["following"])),
    params(("id" = String, Path, description = "base64url of the origin")), responses(
    (status = 200, description = "The registry", body = FollowedIssuer),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "It is not followed", body = ErrorBody),
))]
async fn get(
    _: Caller<Following>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<FollowedIssuer>> {
    let mut tx = app.db.read().await?;
    find(&mut tx, &origin_of(&id)?).await.map(Json)
}

/// No longer follows a registry: its badges are no longer admitted. What it revoked stays
/// revoked.
#[utoipa::path(delete, path = "/api/v1/followed-issuers/{id}", tag = "following", security(("api_key" = ["following"])),
    params(("id" = String, Path, description = "base64url of the origin")), responses(
    (status = 200, description = "It is no longer followed", body = Unfollowed),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "It is not followed", body = ErrorBody),
))]
async fn unfollow(
    caller: Caller<Following>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<Unfollowed>> {
    let origin = origin_of(&id)?;
    let mut tx = app.db.write().await?;
    let deleted =
        sqlx::query("DELETE FROM followed_issuers WHERE origin = $1").bind(&origin).execute(&mut *tx).await?;
    if deleted.rows_affected() == 0 {
        return Err(ApiError::not_found("followed registry", &origin));
    }
    sqlx::query("DELETE FROM followed_agents WHERE origin = $1").bind(&origin).execute(&mut *tx).await?;
    audit::record(&mut tx, &caller.key_id, "followed_issuer.delete", &origin, json!({})).await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Unfollowed { unfollowed: true }))
}

impl NewFollowedIssuer {
    /// As gates will.
    fn check(&self) -> ApiResult<()> {
        if self.actions.is_empty() || self.actions.len() > 100 {
            return Err(ApiError::invalid("actions", "must have 1 to 100 entries"));
        }
        if !self.origin.starts_with("https://") {
            return Err(ApiError::invalid(
                "origin",
                "must be an HTTPS origin such as https://registry.example",
            ));
        }
        let compatibility = follow::compatibility(&self.compatibility)
            .map_err(|error| ApiError::invalid("compatibility", error.to_string()))?;
        // For the keys that are not known yet.
        let key = SecretKey::from_seed([0; 32]).public_key();
        let key = KeyConfig {
            key_id: "unknown".to_owned(),
            public_key: base64::encode(&key),
            not_before: None,
            not_after: None,
        };
        let issuer = BadgeIssuerConfig {
            id: self.origin.clone(),
            tier: self.tier,
            actions: self.actions.clone(),
            keys: vec![key],
            minimum_level: self.minimum_level.clone(),
            compatibility,
            revocations_synced_at: None,
        };
        follow::check_issuer(&issuer).map_err(|error| {
            let field = if error.path == "id" { "origin".to_owned() } else { error.path };
            ApiError::invalid(field, error.problem)
        })
    }
}

impl FollowedIssuer {
    fn of(row: &AnyRow) -> ApiResult<Self> {
        let origin: String = row.try_get("origin")?;
        Ok(FollowedIssuer {
            id: base64::encode_url(origin.as_bytes()),
            tier: row.try_get("tier")?,
            actions: strings(row, "actions")?,
            minimum_level: row.try_get("minimum_level")?,
            compatibility: strings(row, "compatibility")?,
            keys: Key::all(row)?,
            keys_seen_at: time(row, "keys_seen_at")?,
            synced_at: time(row, "synced_at")?,
            last_error: row.try_get("last_error")?,
            last_error_at: time(row, "last_error_at")?,
            created_at: iso(row.try_get("created_at")?),
            origin,
        })
    }
}

pub(super) async fn find(tx: &mut Tx, origin: &str) -> ApiResult<FollowedIssuer> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE origin = $1"));
    let row = sqlx::query(sql).bind(origin).fetch_optional(&mut **tx).await?;
    row.as_ref().map_or_else(|| Err(ApiError::not_found("followed registry", origin)), FollowedIssuer::of)
}

pub(super) fn origin_of(id: &str) -> ApiResult<String> {
    base64::decode_url(id)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::not_found("followed registry", id))
}

fn strings(row: &AnyRow, column: &str) -> ApiResult<Vec<String>> {
    let read = serde_json::from_str(&row.try_get::<String, _>(column)?);
    read.map_err(|error| anyhow::anyhow!("{column} of a followed registry is unreadable: {error}").into())
}
