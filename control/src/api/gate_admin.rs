//! What operators say of a gate: what it decides by, and which keys may call for it.

use crate::App;
use crate::audit;
use crate::auth::{Caller, GatesRead, GatesWrite, Revocations};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::time::{iso, now_ms};
use crate::trust::changes::{self, Kind, Revocation};
use crate::trust::enrolment;
use crate::trust::snapshot::Content;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_config, put_config))
        .routes(routes!(make_token))
        .routes(routes!(list_keys))
        .routes(routes!(end_key))
        .routes(routes!(revoke, restore))
}

/// What a gate decides by, as its operator wrote it.
#[utoipa::path(get, path = "/api/v1/gates/{gate}/config", tag = "gates", security(("api_key" = ["gates:read"])),
    params(("gate" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The configuration; null where there is none yet", body = Value),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_config(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate): Path<String>,
) -> ApiResult<Json<Value>> {
    let row = sqlx::query("SELECT config FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
        .bind(&gate)
        .fetch_optional(app.db.pool())
        .await?
        .ok_or_else(|| ApiError::not_found("gate", &gate))?;
    let config: Option<String> = row.try_get("config")?;
    let config = config.map_or(Ok(Value::Null), |config| serde_json::from_str(&config));
    Ok(Json(config.map_err(anyhow::Error::new)?))
}

/// That something took effect, under this number.
#[derive(Debug, Serialize, ToSchema)]
struct Changed {
    /// The number of the change; gates that have it, or a higher one, act by it.
    number: i64,
}

/// Says what a gate decides by: authorities, routes, whom to trust beside those that the
/// service knows. As a static gate's configuration, without `gate` and `profile`.
#[utoipa::path(put, path = "/api/v1/gates/{gate}/config", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = Value, responses(
    (status = 200, description = "It is on its way to the gate", body = Changed),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "No gate can decide by it", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn put_config(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate): Path<String>,
    Body(config): Body<Value>,
) -> ApiResult<Json<Changed>> {
    let mut tx = app.db.write().await?;
    enrolment::must_exist(&mut tx, &gate).await?;
    sqlx::query("UPDATE gates SET config = $1 WHERE gate_id = $2")
        .bind(config.to_string())
        .bind(&gate)
        .execute(&mut *tx)
        .await?;
    let number = changes::renew_gate(&mut tx, &gate).await?;
    if let Some(content) = Content::read(&mut tx, &app.settings, &gate).await? {
        content.check()?;
    }
    audit::record(&mut tx, &caller.key_id, "gate.configure", &gate, json!({"number": number})).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Changed { number }))
}

/// How long an enrolment token lasts.
#[derive(Debug, Deserialize, ToSchema)]
struct TokenAsked {
    /// Seconds, 60 to 604800; left out: an hour.
    #[serde(default = "an_hour")]
    #[schema(minimum = 60, maximum = 604800)]
    expires_in_seconds: i64,
}

fn an_hour() -> i64 {
    3600
}

/// A token that enrols a gate once. It is shown here only.
#[derive(Debug, Serialize, ToSchema)]
struct Token {
    /// The token.
    token: String,
    /// The gate that it enrols.
    gate_id: String,
    /// Until when.
    expires_at: String,
}

/// Makes a token with which the gate enrols: `portcullis gate enrol`.
#[utoipa::path(post, path = "/api/v1/gates/{gate}/enrolment-tokens", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = TokenAsked, responses(
    (status = 201, description = "The token", body = Token),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn make_token(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate): Path<String>,
    Body(asked): Body<TokenAsked>,
) -> ApiResult<(StatusCode, Json<Token>)> {
    if !(60..=604_800).contains(&asked.expires_in_seconds) {
        return Err(ApiError::invalid("expires_in_seconds", "must be 60 to 604800 (a week)"));
    }
    let expires_at = now_ms().saturating_add(asked.expires_in_seconds.saturating_mul(1000));
    let mut tx = app.db.write().await?;
    enrolment::must_exist(&mut tx, &gate).await?;
    let token = enrolment::make_token(&mut tx, &gate, expires_at).await?;
    audit::record(&mut tx, &caller.key_id, "gate.token", &gate, json!({"expires_at": iso(expires_at)}))
        .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(Token { token, gate_id: gate, expires_at: iso(expires_at) })))
}

/// A key that calls for a gate.
#[derive(Debug, Serialize, ToSchema)]
struct GateKey {
    /// Its id: base64url of the SHA-256 of its bytes.
    key_id: String,
    /// Standard base64 of its 32 bytes.
    public_key: String,
    /// When it came.
    created_at: String,
    /// Until when it may call.
    not_after: Option<String>,
}

/// The keys that call for a gate, ended ones too.
#[utoipa::path(get, path = "/api/v1/gates/{gate}/keys", tag = "gates", security(("api_key" = ["gates:read"])),
    params(("gate" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The keys", body = [GateKey]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_keys(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate): Path<String>,
) -> ApiResult<Json<Vec<GateKey>>> {
    let mut tx = app.db.read().await?;
    enrolment::must_exist(&mut tx, &gate).await?;
    let rows = sqlx::query(
        "SELECT key_id, public_key, created_at, not_after FROM gate_keys WHERE gate_id = $1 ORDER BY created_at, key_id",
    )
    .bind(&gate)
    .fetch_all(&mut *tx)
    .await?;
    let keys = rows.iter().map(|row| {
        Ok(GateKey {
            key_id: row.try_get("key_id")?,
            public_key: row.try_get("public_key")?,
            created_at: iso(row.try_get("created_at")?),
            not_after: row.try_get::<Option<i64>, _>("not_after")?.map(iso),
        })
    });
    keys.collect::<Result<Vec<_>, sqlx::Error>>().map(Json).map_err(ApiError::from)
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct Ended {
    /// Always true.
    ended: bool,
}

/// Ends a gate's key: within five seconds it calls no more.
#[utoipa::path(delete, path = "/api/v1/gates/{gate}/keys/{key}", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate" = String, Path, description = "The gate's id"), ("key" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "It is ended", body = Ended),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such key", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn end_key(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path((gate, key)): Path<(String, String)>,
) -> ApiResult<Json<Ended>> {
    let mut tx = app.db.write().await?;
    enrolment::end_key(&mut tx, &gate, &key, now_ms()).await?;
    audit::record(&mut tx, &caller.key_id, "gate.key.end", &gate, json!({"key_id": key})).await?;
    tx.commit().await?;
    Ok(Json(Ended { ended: true }))
}

/// What is to be revoked, or no longer.
#[derive(Debug, Deserialize, ToSchema)]
struct Listed {
    /// `passport`, `badge` or `agent`.
    kind: KindName,
    /// The issuer that the ids belong to, as gates name it.
    #[schema(min_length = 1, max_length = 256)]
    issuer: String,
    /// The ids; 10,000 at most.
    #[schema(min_items = 1, max_items = 10000)]
    ids: Vec<String>,
    /// Why, for the record.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// What is revoked.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum KindName {
    /// A passport.
    Passport,
    /// A Trust Badge.
    Badge,
    /// An agent.
    Agent,
}

/// Ids of one call: more than any page shows, and few enough for one transaction.
const MOST_IDS: usize = 10_000;

impl Listed {
    /// The ids as gates know them, once they are checked.
    fn checked(mut self) -> ApiResult<Self> {
        let is_id =
            |text: &str| (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_id(&self.issuer) {
            return Err(ApiError::invalid("issuer", ID_FORM));
        }
        if self.ids.is_empty() || self.ids.len() > MOST_IDS {
            return Err(ApiError::invalid("ids", "must be 1 to 10000 ids"));
        }
        for (index, id) in self.ids.iter_mut().enumerate() {
            if !is_id(id) {
                return Err(ApiError::invalid(format!("ids[{index}]"), ID_FORM));
            }
            if let KindName::Badge = self.kind {
                id.make_ascii_lowercase();
            }
        }
        if self.reason.as_ref().is_some_and(|reason| reason.chars().count() > 1000) {
            return Err(ApiError::invalid("reason", "must have at most 1000 characters"));
        }
        Ok(self)
    }

    fn all(&self) -> Vec<Revocation<'_>> {
        let kind = match self.kind {
            KindName::Passport => Kind::Passport,
            KindName::Badge => Kind::Badge,
            KindName::Agent => Kind::Agent,
        };
        self.ids.iter().map(|id| Revocation { kind, issuer: &self.issuer, id }).collect()
    }
}

const ID_FORM: &str = "must be 1 to 256 printable ASCII characters without spaces";

/// What became of a change.
#[derive(Debug, Serialize, ToSchema)]
struct Applied {
    /// The number of the change; null where all was so already.
    number: Option<i64>,
}

/// Revokes what any issuer has issued, or disables agents, at every gate.
#[utoipa::path(post, path = "/api/v1/revocations", tag = "revocations", security(("api_key" = ["revocations"])), request_body = Listed, responses(
    (status = 200, description = "It is on its way to the gates", body = Applied),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "Gates hold no more", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn revoke(
    caller: Caller<Revocations>,
    State(app): State<App>,
    Body(listed): Body<Listed>,
) -> ApiResult<Json<Applied>> {
    let listed = listed.checked()?;
    let mut tx = app.db.write().await?;
    let number =
        changes::revoke_all(&mut tx, &app.trust, &listed.all(), listed.reason.as_deref(), None).await?;
    audit::record(&mut tx, &caller.key_id, "revoke", &listed.issuer, json!({"ids": listed.ids.len()}))
        .await?;
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(Json(Applied { number }))
}

/// Takes revocations back.
#[utoipa::path(delete, path = "/api/v1/revocations", tag = "revocations", security(("api_key" = ["revocations"])), request_body = Listed, responses(
    (status = 200, description = "It is on its way to the gates", body = Applied),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn restore(
    caller: Caller<Revocations>,
    State(app): State<App>,
    Body(listed): Body<Listed>,
) -> ApiResult<Json<Applied>> {
    let listed = listed.checked()?;
    let mut tx = app.db.write().await?;
    let mut number = None;
    for what in listed.all() {
        number = changes::restore(&mut tx, &app.trust, what).await?.or(number);
    }
    audit::record(&mut tx, &caller.key_id, "restore", &listed.issuer, json!({"ids": listed.ids.len()}))
        .await?;
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(Json(Applied { number }))
}
