//! The badge registry: CapiscIO's endpoints, as its RFCs and its clients have them. Where
//! the two differ, both forms are taken, and answers have the members of both.

mod agents;
mod badges;
mod caller;
mod documents;
mod input;
mod proofs;
mod status;

use crate::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of the badge registry.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(documents::jwks))
        .routes(routes!(documents::own_document))
        .routes(routes!(documents::agent_document))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::get, agents::update, agents::delete))
        .routes(routes!(agents::identify))
        .routes(routes!(agents::disable))
        .routes(routes!(agents::enable))
        .routes(routes!(badges::issue))
        .routes(routes!(badges::revoke))
        .routes(routes!(badges::validate))
        .routes(routes!(proofs::challenge))
        .routes(routes!(proofs::challenge_for_sdk))
        .routes(routes!(proofs::prove))
        .routes(routes!(proofs::prove_for_sdk))
        .routes(routes!(status::badge))
        .routes(routes!(status::agent))
        .routes(routes!(status::revocations))
}
