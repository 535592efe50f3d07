//! Everything that is served, by subject. Each handler's annotation is its line in the
//! OpenAPI document; the scope that it asks for is the `Caller` that it takes.

pub mod anonymous;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod billing;
pub mod catalog;
pub mod checks;
pub mod constraints;
pub mod consume;
pub mod domains;
pub mod enforce;
pub mod feed;
pub mod following;
pub mod gate_admin;
pub mod gates;
pub mod health;
pub mod issuers;
pub mod metrics;
pub mod nonces;
pub mod passports;
pub mod propagation;
pub mod receipts;
pub mod records;
pub mod registry;
pub mod session;
mod shapes;
pub mod signing_keys;
pub mod sla;
pub mod spend;

use crate::App;
use crate::error::{ApiError, ApiResult};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

/// All routes, and the document that describes them.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(anonymous::routes())
        .merge(api_keys::routes())
        .merge(approvals::routes())
        .merge(audit::routes())
        .merge(billing::routes())
        .merge(catalog::routes())
        .merge(consume::routes())
        .merge(domains::routes())
        .merge(enforce::routes())
        .merge(feed::routes())
        .merge(following::routes())
        .merge(gate_admin::routes())
        .merge(health::routes())
        .merge(checks::routes())
        .merge(constraints::routes())
        .merge(gates::routes())
        .merge(issuers::routes())
        .merge(nonces::routes())
        .merge(passports::routes())
        .merge(propagation::routes())
        .merge(receipts::routes())
        .merge(records::routes())
        .merge(registry::routes())
        .merge(metrics::routes())
        .merge(session::routes())
        .merge(signing_keys::routes())
        .merge(sla::routes())
        .merge(spend::routes())
}

/// What any request may be answered by what stands before the handlers.
const ANY_REQUEST: [(&str, &str); 3] = [
    ("408", "The request was not there and answered in time"),
    ("422", "A parameter is wrong"),
    ("429", "Too many requests"),
];

/// What besides a request with a body may.
const ANY_BODY: [(&str, &str); 2] =
    [("400", "The body did not come whole"), ("413", "The body is too large")];

/// The OpenAPI document, as it is served.
///
/// # Errors
/// It cannot be written as JSON.
pub fn document(described: &utoipa::openapi::OpenApi) -> serde_json::Result<String> {
    let mut document = serde_json::to_value(described)?;
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let bodies = operation.get("requestBody").map_or(&[][..], |_| &ANY_BODY);
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
            continue;
        };
        for (status, description) in ANY_REQUEST.iter().chain(bodies) {
            responses.entry(*status).or_insert_with(|| {
                let schema = json!({"$ref": "#/components/schemas/ErrorBody"});
                json!({"description": description, "content": {"application/json": {"schema": schema}}})
            });
        }
    }
    serde_json::to_string_pretty(&document)
}

/// Checks which part of a long list is asked for.
pub(crate) fn check_page(limit: i64, offset: i64) -> ApiResult<()> {
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::invalid("limit", "must be 1 to 1000"));
    }
    if !(0..=1_000_000_000).contains(&offset) {
        return Err(ApiError::invalid("offset", "must be 0 to 1000000000"));
    }
    Ok(())
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Portcullis control service", version = "1", license(name = "Apache-2.0")),
    modifiers(&Keys),
)]
struct Document;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let signature = ApiKeyValue::with_description("signature", "RFC 9421, by an enrolled gate");
        components.add_security_scheme("gate_signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}
