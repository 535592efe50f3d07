//! A gate's log: its checkpoint, proofs, and the keys by which all of it is verified.

use super::must_be_known;
use crate::App;
use crate::api::gates::full_id;
use crate::auth::{Audit, Caller};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::records::log::Log;
use crate::records::{checkpoint, keys, read};
use crate::time::now;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use portcullis_core::attestation::{Hash, Record};
use portcullis_core::{KeyConfig, base64};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(newest))
        .routes(routes!(inclusion))
        .routes(routes!(consistency))
        .routes(routes!(attestation_keys))
}

/// The log of a gate as it is now, and its size.
pub(super) async fn log(tx: &mut Tx, gate: &str) -> ApiResult<(Log, u64)> {
    must_be_known(tx, gate).await?;
    let row: Option<(i64,)> = sqlx::query_as("SELECT size FROM record_logs WHERE gate_id = $1")
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?;
    let size = row.map_or(0, |(size,)| size.cast_unsigned());
    Ok((Log::new(gate, size), size))
}

/// The log as it is now, as a signed note (C2SP tlog-checkpoint), by a key of the service
/// that gates pin.
#[utoipa::path(get, path = "/api/gates/{gate_id}/log/checkpoint", tag = "records", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The note", body = String, content_type = "text/plain"),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn newest(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Response> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    let (mut log, size) = log(&mut tx, &gate).await?;
    let root = log.frontier(&mut tx, size).await?.root();
    let note = checkpoint(&app, &gate, size, root, now())?;
    Ok(([("content-type", "text/plain; charset=utf-8")], note).into_response())
}

/// Which record.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WhichRecord {
    /// Its place in the log, from 0.
    #[param(minimum = 0)]
    index: Option<u64>,
    /// Or its id.
    #[param(max_length = 256)]
    attestation_id: Option<String>,
    /// In the log of so many records; left out: all that there are.
    #[param(minimum = 1)]
    size: Option<u64>,
}

/// That a record is in the log.
#[derive(Debug, Serialize, ToSchema)]
struct InclusionProof {
    /// The record's place, from 0.
    index: u64,
    /// Of how many.
    size: u64,
    /// base64url of the record's leaf: SHA-256 of a zero byte, its chain hash and its
    /// signature. Null where the record is no longer kept.
    leaf: Option<String>,
    /// base64url hashes (RFC 9162 section 2.1.3).
    hashes: Vec<String>,
    /// The log of that size, as a signed note.
    checkpoint: String,
}

/// That a record is in the log.
#[utoipa::path(get, path = "/api/gates/{gate_id}/log/proof", tag = "records", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id"), WhichRecord), responses(
    (status = 200, description = "The proof", body = InclusionProof),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate or record", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn inclusion(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<WhichRecord>,
) -> ApiResult<Json<InclusionProof>> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    let (mut log, all) = log(&mut tx, &gate).await?;
    let index = match (asked.index, &asked.attestation_id) {
        (Some(index), None) => index,
        (None, Some(id)) => read::find(&mut tx, id, Some(&gate)).await?.log_index.cast_unsigned(),
        _ => return Err(ApiError::invalid("index", "name either index or attestation_id")),
    };
    let size = asked.size.unwrap_or(all);
    if size > all {
        return Err(ApiError::invalid("size", format!("the log has {all} records")));
    }
    if index >= size {
        return Err(ApiError::not_found("record in the log at", &index.to_string()));
    }
    let stored = read::at(&mut tx, &gate, index.cast_signed()).await?;
    let leaf =
        stored.and_then(|stored| Record::read(stored.text.as_bytes()).ok()).map(|record| record.leaf());
    let root = log.frontier(&mut tx, size).await?.root();
    Ok(Json(InclusionProof {
        index,
        size,
        leaf: leaf.map(|leaf| base64::encode_url(&leaf)),
        hashes: texts(&log.inclusion(&mut tx, index, size).await?),
        checkpoint: checkpoint(&app, &gate, size, root, now())?,
    }))
}

/// Which two states of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Between {
    /// The size of the older.
    #[param(minimum = 0)]
    from: u64,
    /// The size of the newer; left out: all that there are.
    #[param(minimum = 0)]
    to: Option<u64>,
}

/// That the log of one size is the beginning of that of another.
#[derive(Debug, Serialize, ToSchema)]
struct ConsistencyProof {
    /// The older size.
    from: u64,
    /// The newer.
    to: u64,
    /// base64url hashes (RFC 9162 section 2.1.4).
    hashes: Vec<String>,
    /// The log of the newer size, as a signed note.
    checkpoint: String,
}

/// That the log was only added to.
#[utoipa::path(get, path = "/api/gates/{gate_id}/log/consistency", tag = "records", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id"), Between), responses(
    (status = 200, description = "The proof", body = ConsistencyProof),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn consistency(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<Between>,
) -> ApiResult<Json<ConsistencyProof>> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    let (mut log, all) = log(&mut tx, &gate).await?;
    let (from, to) = (asked.from, asked.to.unwrap_or(all));
    if to > all {
        return Err(ApiError::invalid("to", format!("the log has {all} records")));
    }
    if from > to {
        return Err(ApiError::invalid("from", "must not be larger than to"));
    }
    let root = log.frontier(&mut tx, to).await?.root();
    Ok(Json(ConsistencyProof {
        from,
        to,
        hashes: texts(&log.consistency(&mut tx, from, to).await?),
        checkpoint: checkpoint(&app, &gate, to, root, now())?,
    }))
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| base64::encode_url(hash)).collect()
}

/// What records and checkpoints of a gate are verified by.
#[derive(Debug, Serialize, ToSchema)]
struct AttestationKeys {
    /// Keys that sign, or signed, records.
    keys: Vec<RecordKey>,
    /// Keys that sign, or signed, checkpoints.
    #[schema(value_type = Vec<AuditKey>)]
    service_keys: Vec<KeyConfig>,
}

/// A key of records.
#[derive(Debug, Serialize, ToSchema)]
struct RecordKey {
    #[serde(flatten)]
    #[schema(value_type = AuditKey)]
    key: KeyConfig,
    /// `service` for a key of the service, by which settlements are signed too; absent for one of
    /// the gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'static str>,
}

/// A key, ended ones too.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is the answer's description; core writes the answer")]
struct AuditKey {
    /// Its id.
    key_id: String,
    /// Standard base64 of its 32 bytes.
    public_key: String,
    /// From when what it signs is taken.
    not_before: Option<String>,
    /// Until when.
    not_after: Option<String>,
}

/// What `portcullis audit verify --keys` takes. Whoever has this from the service believes
/// the service: compare it with what the gate's operator has.
#[utoipa::path(get, path = "/api/gates/{gate_id}/attestation-keys", tag = "records", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The keys", body = AttestationKeys),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn attestation_keys(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<AttestationKeys>> {
    let gate = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    must_be_known(&mut tx, &gate).await?;
    let of = |keys: Vec<KeyConfig>, of| keys.into_iter().map(move |key| RecordKey { key, of });
    let of_gate = keys::of_gate(&mut tx, &gate).await?;
    let of_service = keys::of_service(&mut tx, &gate).await?;
    Ok(Json(AttestationKeys {
        keys: of(of_gate, None).chain(of(of_service, Some("service"))).collect(),
        service_keys: keys::of_checkpoints(&mut tx).await?,
    }))
}
