//! Gates: `/api/gates` as the Modei client has them, and `/api/v1/gates` in pages.

mod rows;

pub(super) use rows::full_id;
pub(crate) use rows::{hold, no_gate};

use super::shapes::{Deleted, Items, Page, PageQuery, check_text};
use crate::anyone::Anyone;
use crate::auth::{Caller, GatesRead, GatesWrite};
use crate::db::is_conflict;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::keys::{self, Purpose};
use crate::time::{iso, now_ms};
use crate::trust::changes;
use crate::trust::snapshot::Content;
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rows::{BATCH, Gate, Profile, find, new_id, read_page, revoke_batch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of gates.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_gates, create_gate))
        .routes(routes!(get_gate, update_gate, replace_gate, delete_gate))
        .routes(routes!(public_gate))
        .routes(routes!(page_gates))
}

/// A gate to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct NewGate {
    /// Its id; `gate_` is put before it where that is missing.
    #[schema(min_length = 1, max_length = 125, pattern = "^[A-Za-z0-9._-]+$")]
    gate_id: String,
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// How strictly it checks; left out: L1.
    #[schema(value_type = Option<Profile>)]
    profile: Option<Value>,
    /// Another name of `profile`.
    #[schema(value_type = Option<Profile>)]
    security_profile: Option<Value>,
    /// Another name of `profile`.
    #[schema(value_type = Option<Profile>)]
    trust_level: Option<Value>,
    /// Whether agents may come with passports that they signed for themselves.
    allow_self_issued: Option<bool>,
    /// Whether it is to be found by its capabilities.
    is_discoverable: Option<bool>,
}

/// A change of a gate. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
struct GateChange {
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// What it is for.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// How strictly it checks.
    #[schema(value_type = Option<Profile>)]
    profile: Option<Value>,
    /// Another name of `profile`.
    #[schema(value_type = Option<Profile>)]
    security_profile: Option<Value>,
    /// Another name of `profile`.
    #[schema(value_type = Option<Profile>)]
    trust_level: Option<Value>,
    /// Whether agents may come with passports that they signed for themselves.
    allow_self_issued: Option<bool>,
    /// Whether it is to be found by its capabilities.
    is_discoverable: Option<bool>,
}

/// What anybody may know of a gate.
#[derive(Debug, Serialize, ToSchema)]
struct PublicGate {
    /// Its id.
    gate_id: String,
    /// Its name.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// How strictly it checks.
    profile: Profile,
    /// Whether agents may come with passports that they signed for themselves.
    allow_self_issued: bool,
    /// The keys that sign its passports.
    signing_keys: Vec<SigningKey>,
}

/// A key that signs, its public half.
#[derive(Debug, Serialize, ToSchema)]
struct SigningKey {
    /// Its id, as passports name it.
    key_id: String,
    /// Always `Ed25519`.
    algorithm: &'static str,
    /// Standard base64 of its 32 bytes.
    public_key: String,
    /// Until when what it signed is taken; null where no end is set.
    not_after: Option<String>,
}

/// All gates that are not deleted: at most 1000, the oldest first.
#[utoipa::path(get, path = "/api/gates", tag = "gates", security(("api_key" = ["gates:read"])), responses(
    (status = 200, description = "The gates", body = [Gate]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_gates(_: Caller<GatesRead>, State(app): State<App>) -> ApiResult<Json<Vec<Gate>>> {
    read_page(&app, Page::first()).await.map(Json)
}

/// The gates in pages, the oldest first.
#[utoipa::path(get, path = "/api/v1/gates", tag = "gates", security(("api_key" = ["gates:read"])),
    params(PageQuery), responses(
    (status = 200, description = "A page of gates", body = Items<Gate>),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn page_gates(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Query(asked): Query<PageQuery>,
) -> ApiResult<Json<Items<Gate>>> {
    let page = asked.page()?;
    let (total,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM gates WHERE deleted_at IS NULL")
        .fetch_one(app.db.pool())
        .await?;
    Ok(Json(page.of(read_page(&app, page).await?, total)))
}

/// A gate.
#[utoipa::path(get, path = "/api/gates/{gate_id}", tag = "gates", security(("api_key" = ["gates:read"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The gate", body = Gate),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_gate(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<Gate>> {
    find(&mut app.db.read().await?, &full_id(&gate_id)).await.map(Json)
}

/// Makes a gate, with a key for the passports that it will issue.
#[utoipa::path(post, path = "/api/gates", tag = "gates", security(("api_key" = ["gates:write"])), request_body = NewGate, responses(
    (status = 201, description = "The gate", body = Gate),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "There is, or was, a gate of this id", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn create_gate(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Body(asked): Body<NewGate>,
) -> ApiResult<(StatusCode, Json<Gate>)> {
    let gate_id = new_id(&asked.gate_id)?;
    check_text("name", &asked.name, 1, 200)?;
    check_text("description", asked.description.as_deref().unwrap_or_default(), 0, 2000)?;
    let profile = Profile::asked([
        ("profile", &asked.profile),
        ("security_profile", &asked.security_profile),
        ("trust_level", &asked.trust_level),
    ])?;
    let profile = profile.unwrap_or(Profile::L1);
    let mut tx = app.db.write().await?;
    let number = changes::next_number(&mut tx).await?;
    let now = now_ms();
    sqlx::query(
        "INSERT INTO gates (gate_id, name, description, profile, allow_self_issued, is_discoverable, \
         snapshot_number, snapshot_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&gate_id)
    .bind(&asked.name)
    .bind(&asked.description)
    .bind(profile.name())
    .bind(i64::from(asked.allow_self_issued.unwrap_or(false)))
    .bind(i64::from(asked.is_discoverable.unwrap_or(false)))
    .bind(number)
    .bind(now)
    .bind(now)
    .execute(&mut *tx)
    .await
    .map_err(|error| {
        if is_conflict(&error) {
            ApiError::conflict(format!("there is, or was, a gate {gate_id}: ids are not used twice"))
        } else {
            error.into()
        }
    })?;
    keys::create(&mut tx, &app.vault, Purpose::Passports, &gate_id, now).await?;
    audit::record(&mut tx, &caller.key_id, "gate.create", &gate_id, json!({"profile": profile})).await?;
    let gate = find(&mut tx, &gate_id).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok((StatusCode::CREATED, Json(gate)))
}

/// Changes a gate.
#[utoipa::path(patch, path = "/api/gates/{gate_id}", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = GateChange, responses(
    (status = 200, description = "The gate", body = Gate),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn update_gate(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<GateChange>,
) -> ApiResult<Json<Gate>> {
    change(&caller, &app, &full_id(&gate_id), asked).await
}

/// As PATCH: what is left out stays as it is.
#[utoipa::path(put, path = "/api/gates/{gate_id}", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = GateChange, responses(
    (status = 200, description = "The gate", body = Gate),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn replace_gate(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<GateChange>,
) -> ApiResult<Json<Gate>> {
    change(&caller, &app, &full_id(&gate_id), asked).await
}

/// Deletes a gate: its passports are revoked, its keys end, and its id is not used again.
#[utoipa::path(delete, path = "/api/gates/{gate_id}", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "It is deleted", body = Deleted),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn delete_gate(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let gate_id = full_id(&gate_id);
    // Nobody else waits for long: all but the last are revoked a batch at a time. Should
    // it end in between, the gate is still there to be deleted.
    loop {
        let mut tx = app.db.write().await?;
        find(&mut tx, &gate_id).await?;
        let (count, number) = revoke_batch(&mut tx, &app, &gate_id).await?;
        tx.commit().await?;
        app.trust.wake(number);
        if count < BATCH {
            break;
        }
    }
    let mut tx = app.db.write().await?;
    // Before the row, as everyone does who takes both.
    let mut number = changes::renew_gate(&mut tx, &gate_id).await?;
    let deleted = sqlx::query("UPDATE gates SET deleted_at = $1 WHERE gate_id = $2 AND deleted_at IS NULL")
        .bind(now_ms())
        .bind(&gate_id)
        .execute(&mut *tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(no_gate(&gate_id));
    }
    // What was issued since; nothing more is, as issuing takes the gate's row.
    loop {
        let (count, newer) = revoke_batch(&mut tx, &app, &gate_id).await?;
        number = number.max(newer);
        if count < BATCH {
            break;
        }
    }
    keys::end(&mut tx, Purpose::Passports, &gate_id).await?;
    keys::end(&mut tx, Purpose::Attestations, &gate_id).await?;
    let now = now_ms();
    sqlx::query(
        "UPDATE gate_keys SET not_after = $1 WHERE gate_id = $2 AND (not_after IS NULL OR not_after > $3)",
    )
    .bind(now)
    .bind(&gate_id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM enrolment_tokens WHERE gate_id = $1 AND used_at IS NULL")
        .bind(&gate_id)
        .execute(&mut *tx)
        .await?;
    audit::record(&mut tx, &caller.key_id, "gate.delete", &gate_id, json!({})).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Deleted { deleted: true }))
}

/// What anybody may know of a gate: with its keys, its passports can be verified.
#[utoipa::path(get, path = "/api/gates/{gate_id}/public", tag = "gates",
    params(("gate_id" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The gate", body = PublicGate),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn public_gate(
    _: Anyone,
    State(app): State<App>,
    Path(gate_id): Path<String>,
) -> ApiResult<Json<PublicGate>> {
    let mut tx = app.db.read().await?;
    let gate = find(&mut tx, &full_id(&gate_id)).await?;
    let halves = keys::published(&mut tx, Purpose::Passports, &gate.gate_id).await?;
    let signing_keys = halves.into_iter().map(|half| SigningKey {
        key_id: half.key_id,
        algorithm: "Ed25519",
        public_key: half.public_key,
        not_after: half.not_after.map(iso),
    });
    Ok(Json(PublicGate {
        gate_id: gate.gate_id,
        name: gate.name,
        description: gate.description,
        profile: gate.profile,
        allow_self_issued: gate.allow_self_issued,
        signing_keys: signing_keys.collect(),
    }))
}

async fn change(
    caller: &Caller<GatesWrite>,
    app: &App,
    gate_id: &str,
    asked: GateChange,
) -> ApiResult<Json<Gate>> {
    if let Some(name) = &asked.name {
        check_text("name", name, 1, 200)?;
    }
    if let Some(description) = &asked.description {
        check_text("description", description, 0, 2000)?;
    }
    let profile = Profile::asked([
        ("profile", &asked.profile),
        ("security_profile", &asked.security_profile),
        ("trust_level", &asked.trust_level),
    ])?;
    let mut tx = app.db.write().await?;
    // Before the row, as everyone does who takes both.
    let number = changes::renew_gate(&mut tx, gate_id).await?;
    let gate = find(&mut tx, gate_id).await?;
    sqlx::query(
        "UPDATE gates SET name = $1, description = $2, profile = $3, allow_self_issued = $4, \
         is_discoverable = $5 WHERE gate_id = $6",
    )
    .bind(asked.name.unwrap_or(gate.name))
    .bind(asked.description.or(gate.description))
    .bind(profile.unwrap_or(gate.profile).name())
    .bind(i64::from(asked.allow_self_issued.unwrap_or(gate.allow_self_issued)))
    .bind(i64::from(asked.is_discoverable.unwrap_or(gate.is_discoverable)))
    .bind(gate_id)
    .execute(&mut *tx)
    .await?;
    let changed = find(&mut tx, gate_id).await?;
    // A profile knows other windows than another.
    if profile.is_some()
        && let Some(content) = Content::read(&mut tx, &app.settings, gate_id).await?
    {
        content.check()?;
    }
    let detail = json!({"profile": changed.profile, "allow_self_issued": changed.allow_self_issued});
    audit::record(&mut tx, &caller.key_id, "gate.update", gate_id, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(changed))
}
