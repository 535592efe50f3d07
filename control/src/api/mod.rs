//! Everything that is served, by subject. Each handler's annotation is its line in the
//! OpenAPI document; the scope that it asks for is the `Caller` that it takes.

pub mod api_keys;
pub mod domains;
pub mod feed;
pub mod following;
pub mod gate_admin;
pub mod health;

use crate::App;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

/// All routes, and the document that describes them.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(api_keys::routes())
        .merge(domains::routes())
        .merge(feed::routes())
        .merge(following::routes())
        .merge(gate_admin::routes())
        .merge(health::routes())
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
