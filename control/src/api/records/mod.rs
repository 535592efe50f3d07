//! Records: what gates bring, and what auditors and clients ask.

mod counts;
mod decisions;
mod gates;
mod of_gates;
mod proofs;
mod retention;
mod v1;

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use utoipa_axum::router::OpenApiRouter;

/// The routes of records.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(gates::routes())
        .merge(of_gates::routes())
        .merge(v1::routes())
        .merge(proofs::routes())
        .merge(retention::routes())
        .merge(counts::routes())
        .merge(decisions::routes())
}

/// That a gate is there, or was: what a deleted gate decided is still asked for.
pub(super) async fn must_be_known(tx: &mut Tx, gate: &str) -> ApiResult<()> {
    let known: Option<(String,)> = sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1")
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?;
    known.map(|_| ()).ok_or_else(|| ApiError::not_found("gate", gate))
}
