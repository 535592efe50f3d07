//! Registries of others, their agents, and `did:web` documents that are followed.

mod agents;
mod documents;
mod registries;

use crate::App;
use crate::db::is_conflict;
use crate::error::{ApiError, ApiResult};
use crate::follow::SeenKey;
use crate::time::iso;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

/// The routes of what is followed.
pub fn routes() -> OpenApiRouter<App> {
    registries::routes().merge(agents::routes()).merge(documents::routes())
}

/// A public key.
#[derive(Debug, Serialize, ToSchema)]
struct Key {
    /// Its `kid`, or the DID URL of its verification method.
    key_id: String,
    /// Standard base64 of the 32 bytes of the Ed25519 key.
    public_key: String,
}

/// A DID.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Did {
    /// The DID.
    #[schema(min_length = 7, max_length = 256)]
    did: String,
}

/// That it is no longer followed.
#[derive(Debug, Serialize, ToSchema)]
struct Unfollowed {
    /// Always true.
    unfollowed: bool,
}

impl Key {
    fn all(row: &AnyRow) -> ApiResult<Vec<Self>> {
        let keys = SeenKey::read(&row.try_get::<String, _>("keys")?)?;
        Ok(keys.into_iter().map(|SeenKey { key_id, public_key }| Key { key_id, public_key }).collect())
    }
}

fn time(row: &AnyRow, column: &str) -> ApiResult<Option<String>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(iso))
}

fn bounded(count: i64, most: i64, what: &str) -> ApiResult<()> {
    if count < most {
        Ok(())
    } else {
        Err(ApiError::conflict(format!("{most} {what} are the most that are followed")))
    }
}

fn conflict(error: sqlx::Error, message: &str) -> ApiError {
    if is_conflict(&error) { ApiError::conflict(message) } else { error.into() }
}
