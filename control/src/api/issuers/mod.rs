//! Managed issuers: `/api/v1/issuers`.

mod record;

use super::shapes::{Deleted, Items, PageQuery};
use crate::auth::{Caller, IssuersCertify, IssuersRead, IssuersWrite};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::issuers::{self, ISSUER_PREFIX, Issuer, select_issuers};
use crate::keys::{self, Purpose};
use crate::time::now_ms;
use crate::trust::changes;
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use record::{IssuerChange, IssuerRecord, NewIssuer, TrustTier, check, public_key, record};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of issuers.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_issuers, create_issuer))
        .routes(routes!(get_issuer, update_issuer, delete_issuer))
        .routes(routes!(certify_issuer))
}

/// The issuers in pages, the oldest first.
#[utoipa::path(get, path = "/api/v1/issuers", tag = "issuers", security(("api_key" = ["issuers:read"])),
    params(PageQuery), responses(
    (status = 200, description = "A page of issuers", body = Items<IssuerRecord>),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_issuers(
    _: Caller<IssuersRead>,
    State(app): State<App>,
    Query(asked): Query<PageQuery>,
) -> ApiResult<Json<Items<IssuerRecord>>> {
    let page = asked.page()?;
    let mut tx = app.db.read().await?;
    let (total,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM issuers WHERE deleted_at IS NULL").fetch_one(&mut *tx).await?;
    let rows = sqlx::query(select_issuers!("ORDER BY created_at, issuer_id LIMIT $1 OFFSET $2"))
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(&mut *tx)
        .await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(record(&mut tx, Issuer::read(row)?).await?);
    }
    Ok(Json(page.of(items, total)))
}

/// An issuer.
#[utoipa::path(get, path = "/api/v1/issuers/{issuer_id}", tag = "issuers", security(("api_key" = ["issuers:read"])),
    params(("issuer_id" = String, Path, description = "The issuer's id")), responses(
    (status = 200, description = "The issuer", body = IssuerRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_issuer(
    _: Caller<IssuersRead>,
    State(app): State<App>,
    Path(issuer_id): Path<String>,
) -> ApiResult<Json<IssuerRecord>> {
    let mut tx = app.db.read().await?;
    let issuer = find(&mut tx, &issuer_id).await?;
    record(&mut tx, issuer).await.map(Json)
}

/// Makes an issuer, with a key for its passports.
#[utoipa::path(post, path = "/api/v1/issuers", tag = "issuers", security(("api_key" = ["issuers:write"])), request_body = NewIssuer, responses(
    (status = 201, description = "The issuer", body = IssuerRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn create_issuer(
    caller: Caller<IssuersWrite>,
    State(app): State<App>,
    Body(asked): Body<NewIssuer>,
) -> ApiResult<(StatusCode, Json<IssuerRecord>)> {
    let mut issuer = Issuer {
        issuer_id: format!("{ISSUER_PREFIX}{}", uuid::Uuid::new_v4().simple()),
        name: asked.name,
        domain: asked.domain.map(|domain| domain.to_ascii_lowercase()),
        asked_tier: asked.trust_tier.map_or(1, TrustTier::number),
        actions: asked.actions.unwrap_or_else(|| vec!["*".to_owned()]),
        metadata: json!(asked.metadata.unwrap_or_default()),
        domain_verified_at: None,
        certified_at: None,
        created_at: now_ms(),
    };
    let mut tx = app.db.write().await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    let key =
        keys::create(&mut tx, &app.vault, Purpose::Passports, &issuer.issuer_id, issuer.created_at).await?;
    check(&issuer, key.public_key)?;
    sqlx::query(
        "INSERT INTO issuers (issuer_id, name, domain, trust_tier, actions, metadata, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&issuer.issuer_id)
    .bind(&issuer.name)
    .bind(&issuer.domain)
    .bind(i64::from(issuer.asked_tier))
    .bind(json!(issuer.actions).to_string())
    .bind(issuer.metadata.to_string())
    .bind(issuer.created_at)
    .execute(&mut *tx)
    .await?;
    let detail = json!({"domain": issuer.domain, "trust_tier": issuer.asked_tier, "actions": issuer.actions});
    audit::record(&mut tx, &caller.key_id, "issuer.create", &issuer.issuer_id, detail).await?;
    issuer = find(&mut tx, &issuer.issuer_id).await?;
    let record = record(&mut tx, issuer).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok((StatusCode::CREATED, Json(record)))
}

/// Changes an issuer. With another domain it is neither verified nor certified.
#[utoipa::path(patch, path = "/api/v1/issuers/{issuer_id}", tag = "issuers", security(("api_key" = ["issuers:write"])),
    params(("issuer_id" = String, Path, description = "The issuer's id")), request_body = IssuerChange, responses(
    (status = 200, description = "The issuer", body = IssuerRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn update_issuer(
    caller: Caller<IssuersWrite>,
    State(app): State<App>,
    Path(issuer_id): Path<String>,
    Body(asked): Body<IssuerChange>,
) -> ApiResult<Json<IssuerRecord>> {
    let mut tx = app.db.write().await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    hold(&mut tx, &issuer_id).await?;
    let before = find(&mut tx, &issuer_id).await?;
    let domain = asked.domain.map(|domain| domain.to_ascii_lowercase()).or_else(|| before.domain.clone());
    let is_same_domain = domain == before.domain;
    let issuer = Issuer {
        name: asked.name.unwrap_or(before.name),
        domain,
        asked_tier: asked.trust_tier.map_or(before.asked_tier, TrustTier::number),
        actions: asked.actions.unwrap_or(before.actions),
        metadata: asked.metadata.map_or(before.metadata, Value::Object),
        domain_verified_at: before.domain_verified_at.filter(|_| is_same_domain),
        certified_at: before.certified_at.filter(|_| is_same_domain),
        ..before
    };
    let key = public_key(&mut tx, &issuer_id).await?;
    check(&issuer, key)?;
    sqlx::query(
        "UPDATE issuers SET name = $1, domain = $2, trust_tier = $3, actions = $4, metadata = $5, \
         domain_verified_at = $6, certified_at = $7 WHERE issuer_id = $8",
    )
    .bind(&issuer.name)
    .bind(&issuer.domain)
    .bind(i64::from(issuer.asked_tier))
    .bind(json!(issuer.actions).to_string())
    .bind(issuer.metadata.to_string())
    .bind(issuer.domain_verified_at)
    .bind(issuer.certified_at)
    .bind(&issuer_id)
    .execute(&mut *tx)
    .await?;
    if !is_same_domain {
        sqlx::query("UPDATE issuers SET domain_challenge = NULL WHERE issuer_id = $1")
            .bind(&issuer_id)
            .execute(&mut *tx)
            .await?;
    }
    let detail = json!({"domain": issuer.domain, "trust_tier": issuer.asked_tier, "actions": issuer.actions});
    audit::record(&mut tx, &caller.key_id, "issuer.update", &issuer_id, detail).await?;
    let record = record(&mut tx, issuer).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(record))
}

/// Deletes an issuer: no gate takes its passports any more.
#[utoipa::path(delete, path = "/api/v1/issuers/{issuer_id}", tag = "issuers", security(("api_key" = ["issuers:write"])),
    params(("issuer_id" = String, Path, description = "The issuer's id")), responses(
    (status = 200, description = "It is deleted", body = Deleted),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn delete_issuer(
    caller: Caller<IssuersWrite>,
    State(app): State<App>,
    Path(issuer_id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let mut tx = app.db.write().await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    let deleted =
        sqlx::query("UPDATE issuers SET deleted_at = $1 WHERE issuer_id = $2 AND deleted_at IS NULL")
            .bind(now_ms())
            .bind(&issuer_id)
            .execute(&mut *tx)
            .await?;
    if deleted.rows_affected() == 0 {
        return Err(no_issuer(&issuer_id));
    }
    keys::end(&mut tx, Purpose::Passports, &issuer_id).await?;
    audit::record(&mut tx, &caller.key_id, "issuer.delete", &issuer_id, json!({})).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Deleted { deleted: true }))
}

/// Certifies an issuer whose domain is verified, for tier 3.
#[utoipa::path(post, path = "/api/v1/issuers/{issuer_id}/certify", tag = "issuers", security(("api_key" = ["issuers:certify"])),
    params(("issuer_id" = String, Path, description = "The issuer's id")), responses(
    (status = 200, description = "The issuer", body = IssuerRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 409, description = "Its domain is not verified", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn certify_issuer(
    caller: Caller<IssuersCertify>,
    State(app): State<App>,
    Path(issuer_id): Path<String>,
) -> ApiResult<Json<IssuerRecord>> {
    let mut tx = app.db.write().await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    hold(&mut tx, &issuer_id).await?;
    let mut issuer = find(&mut tx, &issuer_id).await?;
    if issuer.domain_verified_at.is_none() {
        return Err(ApiError::conflict("the issuer's domain is not verified: that comes first"));
    }
    let certified_at = *issuer.certified_at.get_or_insert_with(now_ms);
    sqlx::query("UPDATE issuers SET certified_at = $1 WHERE issuer_id = $2")
        .bind(certified_at)
        .bind(&issuer_id)
        .execute(&mut *tx)
        .await?;
    audit::record(&mut tx, &caller.key_id, "issuer.certify", &issuer_id, json!({})).await?;
    let record = record(&mut tx, issuer).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(record))
}

/// Takes the row of an issuer until the transaction ends, so that it is not deleted or
/// changed meanwhile.
///
/// # Errors
/// 404.
pub(super) async fn hold(tx: &mut Tx, issuer_id: &str) -> ApiResult<()> {
    let held = sqlx::query("UPDATE issuers SET name = name WHERE issuer_id = $1 AND deleted_at IS NULL")
        .bind(issuer_id)
        .execute(&mut **tx)
        .await?;
    if held.rows_affected() == 0 { Err(no_issuer(issuer_id)) } else { Ok(()) }
}

/// 404 for an issuer.
fn no_issuer(issuer_id: &str) -> ApiError {
    ApiError::not_found("issuer", issuer_id)
}

async fn find(tx: &mut Tx, issuer_id: &str) -> ApiResult<Issuer> {
    issuers::find(tx, issuer_id).await?.ok_or_else(|| no_issuer(issuer_id))
}
