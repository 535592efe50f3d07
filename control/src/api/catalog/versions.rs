//! Published versions of a gate's catalog.

use super::record::{CatalogVersion, PublishedCatalog};
use crate::api::gates::full_id;
use crate::api::shapes::check_text;
use crate::auth::{Caller, GatesRead, GatesWrite};
use crate::catalog::{self, Publication};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::trust::enrolment::must_exist;
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::UnixTime;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(publish_catalog))
        .routes(routes!(list_catalog_versions))
        .routes(routes!(get_catalog_version))
}

/// How the draft is to be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PublishRequest {
    /// What has changed, in your words.
    #[schema(max_length = 2000)]
    change_summary: Option<String>,
    /// From when on it is in force, RFC 3339, within 366 days; left out: at once.
    #[schema(max_length = 64)]
    effective_at: Option<String>,
}

/// Publishes the draft as the next version: signed by the gate's key, and for good.
#[utoipa::path(post, path = "/api/gates/{gate_id}/catalog/publish", tag = "catalogs", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = PublishRequest, responses(
    (status = 201, description = "The version", body = PublishedCatalog),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 409, description = "The gate has as many versions as one may have", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body, or there is no draft, or an empty one", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn publish_catalog(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<PublishRequest>,
) -> ApiResult<(StatusCode, Json<PublishedCatalog>)> {
    check_text("change_summary", asked.change_summary.as_deref().unwrap_or_default(), 0, 2000)?;
    let effective_at = asked.effective_at.as_deref().map(|text| {
        let time = UnixTime::from_rfc3339(text);
        time.ok_or_else(|| ApiError::invalid("effective_at", "must be a time as 2026-01-31T00:00:00Z"))
    });
    let publication =
        Publication { change_summary: asked.change_summary, effective_at: effective_at.transpose()? };
    let gate = full_id(&gate_id);
    let mut tx = app.db.write().await?;
    let (stored, number) = catalog::publish(&mut tx, &app, &gate, publication).await?;
    let detail = json!({
        "version": stored.version, "content_hash": stored.content_hash,
        "has_breaking_changes": stored.has_breaking_changes, "number": number,
    });
    audit::record(&mut tx, &caller.key_id, "catalog.publish", &gate, detail).await?;
    let published = PublishedCatalog::of(&mut tx, &app, stored).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok((StatusCode::CREATED, Json(published)))
}

/// All published versions of a gate's catalog, the first first, without what they offer.
#[utoipa::path(get, path = "/api/gates/{gate_id}/catalog/versions", tag = "catalogs", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The versions, at most 1000", body = [CatalogVersion]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_catalog_versions(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<Vec<CatalogVersion>>> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    must_exist(&mut tx, &gate).await?;
    let versions = catalog::versions(&mut tx, &gate).await?;
    Ok(Json(versions.into_iter().map(CatalogVersion::from).collect()))
}

/// A published version of a gate's catalog.
#[utoipa::path(get, path = "/api/gates/{gate_id}/catalog/{version}", tag = "catalogs", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id"), ("version" = u64, Path, description = "The version", minimum = 1)), responses(
    (status = 200, description = "The version", body = PublishedCatalog),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate, or it has no such version", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_catalog_version(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path((gate_id, version)): Path<(String, String)>,
) -> ApiResult<Json<PublishedCatalog>> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    must_exist(&mut tx, &gate).await?;
    let unknown = || ApiError::not_found("catalog version", &format!("{version:.100} of {gate}"));
    let number = version.parse().map_err(|_| unknown())?;
    let stored = catalog::find(&mut tx, &gate, number).await?.ok_or_else(unknown)?;
    PublishedCatalog::of(&mut tx, &app, stored).await.map(Json)
}
