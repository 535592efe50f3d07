//! Records in pages, one by one, and all of them.

use super::of_gates::RecordRow;
use crate::App;
use crate::api::shapes::{GateQuery, Items, Page};
use crate::auth::{Audit, Caller};
use crate::error::{ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::records::export::{self, Format};
use crate::records::read::{self, Stored, Wanted};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(page)).routes(routes!(export)).routes(routes!(get))
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// How many, at most; left out: 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// Records in pages, the newest first.
#[utoipa::path(get, path = "/api/v1/attestations", tag = "records", security(("api_key" = ["audit"])),
    params(Wanted, Part), responses(
    (status = 200, description = "A page of records", body = Items<RecordRow>),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn page(
    _: Caller<Audit>,
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    Query(part): Query<Part>,
) -> ApiResult<Json<Items<Map<String, Value>>>> {
    let page = Page::new(part.limit, part.offset)?;
    let conditions = wanted.conditions()?;
    let mut tx = app.db.read().await?;
    let records = conditions.newest(&mut tx, page.limit, page.offset).await?;
    let total = conditions.count(&mut tx).await?;
    Ok(Json(page.of(records.iter().map(Stored::row).collect(), total)))
}

/// A record.
#[utoipa::path(get, path = "/api/v1/attestations/{attestation_id}", tag = "records", security(("api_key" = ["audit"])),
    params(("attestation_id" = String, Path, description = "`att_…`"), GateQuery), responses(
    (status = 200, description = "The record", body = RecordRow),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none that is kept", body = ErrorBody),
    (status = 409, description = "Two gates have given the id: say which with gate_id", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(of): Query<GateQuery>,
) -> ApiResult<Json<Map<String, Value>>> {
    Ok(Json(read::find(&mut app.db.read().await?, &id, of.gate().as_deref()).await?.row()))
}

/// The form of an export.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Form {
    /// `json` and `jsonl` are of one gate, and can be audited; `csv` is a table.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// All records that are wanted, in the order of their log, however many they are. The
/// header `x-total-records` says how many.
#[utoipa::path(get, path = "/api/v1/attestations/export", tag = "records", security(("api_key" = ["audit"])),
    params(Form, Wanted), responses(
    (status = 200, description = "The export; see docs/records.md", content(
        (String = "application/json"), (String = "application/jsonl"), (String = "text/csv"))),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "The gate has no log", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn export(
    _: Caller<Audit>,
    State(app): State<App>,
    Query(form): Query<Form>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    let (total, pages) = export::begin(&app, form.format, wanted).await?;
    let (kind, name) = match form.format {
        Format::Json => ("application/json", "attachment; filename=\"attestations.json\""),
        Format::Jsonl => ("application/jsonl", "attachment; filename=\"attestations.jsonl\""),
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"attestations.csv\""),
    };
    let headers =
        [("content-type", kind), ("content-disposition", name), ("x-total-records", &total.to_string())];
    Ok((headers, Body::from_stream(pages)).into_response())
}
