//! The draft of a gate's catalog, and what publishing it would change.

use crate::api::gates::full_id;
use crate::api::shapes::check_text;
use crate::auth::{Caller, GatesRead, GatesWrite};
use crate::catalog::{self, Draft};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::time::iso;
use crate::{App, audit};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_catalog, create_catalog)).routes(routes!(get_impact))
}

/// A catalog to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCatalog {
    /// What you call this state of it. Versions are numbered when they are published.
    #[schema(max_length = 64)]
    version: Option<String>,
    /// Its name, for people.
    #[schema(max_length = 200)]
    catalog_name: Option<String>,
    /// What it is, for people.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// What it offers, each thing once.
    #[schema(value_type = Vec<CatalogPermission>, max_items = 256)]
    permissions: Box<RawValue>,
    /// Whether it may be published; left out: yes.
    is_active: Option<bool>,
}

/// Something that a gate offers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the description; core reads the permissions")]
struct CatalogPermission {
    /// The action, as passports name it.
    #[schema(min_length = 1, max_length = 256)]
    permission_key: String,
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    display_name: String,
    /// What it is, for people.
    #[schema(max_length = 2000)]
    description: String,
    /// `low`, `medium`, `high` or `critical`; left out: low.
    risk_level: Option<String>,
    /// The tier that the issuer of a passport should have; left out: 1.
    #[schema(minimum = 1, maximum = 3)]
    min_trust_level: Option<u8>,
    /// The terms, `core:pricing:…`, `core:sla:…` and `core:platform_fee:…`: whole cents of US
    /// dollars, basis points, milliseconds. See docs/catalog.md.
    constraints: Option<Map<String, Value>>,
}

/// The draft of a gate's catalog.
#[derive(Debug, Serialize, ToSchema)]
struct CatalogDraft {
    /// The gate.
    gate_id: String,
    /// What its operator calls this state of it.
    version: Option<String>,
    /// Its name.
    catalog_name: Option<String>,
    /// What it is.
    description: Option<String>,
    /// What it offers.
    #[schema(value_type = Vec<Object>)]
    permissions: Box<RawValue>,
    /// Whether it may be published.
    is_active: bool,
    /// When it was set.
    updated_at: String,
}

/// What publishing the draft would change.
#[derive(Debug, Serialize, ToSchema)]
struct CatalogImpact {
    /// Passports that are valid now and pinned to other terms of what they grant. They keep
    /// theirs until they are issued again.
    affected_passports: i64,
    /// Those of them for which some of the draft's terms are worse.
    breaking_passports: i64,
    /// Whether something is worse than in the version that was published last.
    has_breaking_changes: bool,
    /// What the draft changes of that version.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Value>,
}

/// The draft of a gate's catalog.
#[utoipa::path(get, path = "/api/gates/{gate_id}/catalog", tag = "catalogs", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The draft", body = CatalogDraft),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate, or it has no draft", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_catalog(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<CatalogDraft>> {
    let gate = full_id(&gate_id);
    let draft = Draft::read(&mut app.db.read().await?, &gate).await?;
    let draft = draft.ok_or_else(|| ApiError::not_found("draft of a catalog of", &gate))?;
    Ok(Json(CatalogDraft::of(gate, draft)))
}

/// Sets the draft of a gate's catalog, in place of the one before.
#[utoipa::path(post, path = "/api/gates/{gate_id}/catalog", tag = "catalogs", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = NewCatalog, responses(
    (status = 200, description = "The draft", body = CatalogDraft),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn create_catalog(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<NewCatalog>,
) -> ApiResult<Json<CatalogDraft>> {
    for (field, text, max) in [
        ("version", &asked.version, 64),
        ("catalog_name", &asked.catalog_name, 200),
        ("description", &asked.description, 2000),
    ] {
        check_text(field, text.as_deref().unwrap_or_default(), 0, max)?;
    }
    let gate = full_id(&gate_id);
    let mut draft = Draft {
        version: asked.version,
        catalog_name: asked.catalog_name,
        description: asked.description,
        permissions: asked.permissions,
        is_active: asked.is_active.unwrap_or(true),
        updated_at: 0,
    };
    let mut tx = app.db.write().await?;
    draft.store(&mut tx, &gate).await?;
    let detail = json!({"permissions": draft.permissions()?.len()});
    audit::record(&mut tx, &caller.key_id, "catalog.draft", &gate, detail).await?;
    tx.commit().await?;
    Ok(Json(CatalogDraft::of(gate, draft)))
}

/// What publishing the draft would change, and how many passports are pinned to other terms.
#[utoipa::path(get, path = "/api/gates/{gate_id}/catalog/impact", tag = "catalogs", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "What would change", body = CatalogImpact),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate, or it has no draft", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_impact(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<CatalogImpact>> {
    let impact = catalog::impact(&mut app.db.read().await?, &full_id(&gate_id)).await?;
    let changes: Result<Vec<_>, _> = impact.changes.iter().map(serde_json::to_value).collect();
    Ok(Json(CatalogImpact {
        affected_passports: impact.affected_passports,
        breaking_passports: impact.breaking_passports,
        has_breaking_changes: impact.changes.iter().any(|change| change.breaking),
        changes: changes.context("changes cannot be written")?,
    }))
}

impl CatalogDraft {
    fn of(gate_id: String, draft: Draft) -> Self {
        CatalogDraft {
            gate_id,
            version: draft.version,
            catalog_name: draft.catalog_name,
            description: draft.description,
            permissions: draft.permissions,
            is_active: draft.is_active,
            updated_at: iso(draft.updated_at),
        }
    }
}
