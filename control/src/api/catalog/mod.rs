//! Catalogs of gates, as the Modei client has them, and discovery for everyone.

mod discover;
mod draft;
mod record;
mod versions;

use crate::App;
use utoipa_axum::router::OpenApiRouter;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    draft::routes().merge(versions::routes()).merge(discover::routes())
}
