//! Constraints that are set for passports after their issue, and what to choose from.

use super::shapes::{check_id, check_text};
use crate::auth::{Caller, PassportsRead, PassportsWrite};
use crate::constraints::templates::{self, ConstraintTemplate};
use crate::constraints::types::{CATEGORIES, ConstraintType, TYPES};
use crate::constraints::{self, check};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::passports::{self, no_passport};
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_constraints, set_constraints, apply_template))
        .routes(routes!(list_types))
        .routes(routes!(list_templates, create_template))
}

/// What was set for a passport since its issue; where nothing was, what it was issued with.
/// Both hold.
#[utoipa::path(get, path = "/api/passports/{passport_id}/constraints", tag = "passports", security(("api_key" = ["passports:read"])),
    params(("passport_id" = String, Path, description = "The passport's id")), responses(
    (status = 200, description = "The constraints", body = Object),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_constraints(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
) -> ApiResult<Json<Map<String, Value>>> {
    let mut tx = app.db.read().await?;
    let passport = passports::find(&mut tx, &passport_id).await?.ok_or_else(|| no_passport(&passport_id))?;
    let set = constraints::find(&mut tx, &passport.issuer_id, &passport.passport_id).await?;
    Ok(Json(set.unwrap_or(passport.constraints)))
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct Updated {
    /// Always true.
    updated: bool,
}

/// Sets constraints of a passport, in place of what was set before; an empty object takes
/// that away. What was signed with it holds besides, so that they can only narrow it. They
/// hold for all that was delegated from it, and are on their way to the gates with the
/// answer.
#[utoipa::path(put, path = "/api/passports/{passport_id}/constraints", tag = "passports", security(("api_key" = ["passports:write"])),
    params(("passport_id" = String, Path, description = "The passport's id")), request_body = Object, responses(
    (status = 200, description = "They are set", body = Updated),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 409, description = "The passport is revoked or over, or as many passports have some as gates take", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "No gate can judge them", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn set_constraints(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Body(constraints): Body<Map<String, Value>>,
) -> ApiResult<Json<Updated>> {
    set(&app, &caller.key_id, &passport_id, None, constraints).await?;
    Ok(Json(Updated { updated: true }))
}

/// Which template.
#[derive(Debug, Deserialize, ToSchema)]
struct Apply {
    /// Its slug.
    #[schema(min_length = 1, max_length = 64)]
    template_slug: String,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct Applied {
    /// Always true.
    applied: bool,
}

/// Sets the constraints of a template besides those that were set before; of what both name,
/// the template's.
#[utoipa::path(post, path = "/api/passports/{passport_id}/constraints", tag = "passports", security(("api_key" = ["passports:write"])),
    params(("passport_id" = String, Path, description = "The passport's id")), request_body = Apply, responses(
    (status = 200, description = "They are set", body = Applied),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport, or no such template", body = ErrorBody),
    (status = 409, description = "The passport is revoked or over, or as many passports have some as gates take", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn apply_template(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Body(asked): Body<Apply>,
) -> ApiResult<Json<Applied>> {
    let template = templates::find(&mut app.db.read().await?, &asked.template_slug).await?;
    set(&app, &caller.key_id, &passport_id, Some(&template.slug), template.constraints).await?;
    Ok(Json(Applied { applied: true }))
}

async fn set(
    app: &App,
    actor: &str,
    passport_id: &str,
    template: Option<&str>,
    constraints: Map<String, Value>,
) -> ApiResult<()> {
    let mut tx = app.db.write().await?;
    let passport = passports::find(&mut tx, passport_id).await?.ok_or_else(|| no_passport(passport_id))?;
    let (all, number) = constraints::set(&mut tx, &passport, constraints, template.is_some()).await?;
    let detail = json!({"constraints": all, "template": template, "number": number});
    audit::record(&mut tx, actor, "passport.constraints", passport_id, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(())
}

/// Of which kind.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfCategory {
    /// Of this category alone.
    #[param(max_length = 64)]
    category: Option<String>,
}

/// Which constraints there are, in the order in which they are looked at.
#[utoipa::path(get, path = "/api/constraints/types", tag = "passports", security(("api_key" = ["passports:read"])), params(OfCategory), responses(
    (status = 200, description = "The types", body = [ConstraintType]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "There is no such category", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_types(
    _: Caller<PassportsRead>,
    Query(asked): Query<OfCategory>,
) -> ApiResult<Json<Vec<ConstraintType>>> {
    let category = asked.category.as_deref();
    if category.is_some_and(|category| !CATEGORIES.contains(&category)) {
        return Err(ApiError::invalid("category", format!("must be one of {}", CATEGORIES.join(", "))));
    }
    let is_asked = |one: &&ConstraintType| category.is_none_or(|category| one.category == category);
    Ok(Json(TYPES.iter().filter(is_asked).copied().collect()))
}

/// Sets of constraints: those that are always there, and what operators have made.
#[utoipa::path(get, path = "/api/constraint-templates", tag = "passports", security(("api_key" = ["passports:read"])), params(OfCategory), responses(
    (status = 200, description = "The templates", body = [ConstraintTemplate]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_templates(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Query(asked): Query<OfCategory>,
) -> ApiResult<Json<Vec<ConstraintTemplate>>> {
    templates::list(&mut app.db.read().await?, asked.category.as_deref()).await.map(Json)
}

/// A set of constraints that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct NewTemplate {
    /// What it is called by: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9-]{1,64}$")]
    slug: String,
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// `industry`, `role`, `security`, `commerce`, or another word.
    #[schema(max_length = 64)]
    category: Option<String>,
    /// A picture's name.
    #[schema(max_length = 64)]
    icon: Option<String>,
    /// The constraints.
    #[schema(value_type = Object)]
    constraints: Map<String, Value>,
}

/// Makes a set of constraints.
#[utoipa::path(post, path = "/api/constraint-templates", tag = "passports", security(("api_key" = ["passports:write"])), request_body = NewTemplate, responses(
    (status = 201, description = "It is made", body = ConstraintTemplate),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "There is one of this slug, or as many as are kept", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "No gate can judge them, or something else is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn create_template(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Body(asked): Body<NewTemplate>,
) -> ApiResult<(StatusCode, Json<ConstraintTemplate>)> {
    check_id("slug", &asked.slug)?;
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if asked.slug.len() > 64 || !asked.slug.bytes().all(is_good) {
        return Err(ApiError::invalid("slug", "must be 1 to 64 lower-case letters, digits and hyphens"));
    }
    check_text("name", &asked.name, 1, 200)?;
    check_text("description", asked.description.as_deref().unwrap_or_default(), 0, 2000)?;
    check_text("category", asked.category.as_deref().unwrap_or_default(), 0, 64)?;
    check_text("icon", asked.icon.as_deref().unwrap_or_default(), 0, 64)?;
    // Which permissions a passport has is known when it is applied.
    check("constraints", &asked.constraints, |_| true)?;
    let template = ConstraintTemplate {
        slug: asked.slug,
        name: asked.name,
        description: asked.description,
        category: asked.category,
        icon: asked.icon,
        constraints: asked.constraints,
        is_system: false,
    };
    let mut tx = app.db.write().await?;
    templates::create(&mut tx, &template).await?;
    let detail = json!({"constraints": template.constraints});
    audit::record(&mut tx, &caller.key_id, "constraint_template.create", &template.slug, detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(template)))
}
