//! The service's signing keys: their public halves, and their change.

use crate::App;
use crate::audit;
use crate::auth::{Caller, SigningKeys};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::keys::{self, PublicHalf, Purpose};
use crate::time::{iso, now_ms};
use crate::trust::changes;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::KeyConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of signing keys.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(rotate)).routes(routes!(retire))
}

/// What keys sign.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PurposeName {
    /// Passports of an issuer or a gate.
    Passports,
    /// Trust Badges of the registry.
    Badges,
    /// What running gates are told, and checkpoints of their logs.
    Trust,
    /// Records that the service makes itself, of a gate.
    Attestations,
}

impl PurposeName {
    fn purpose(self) -> Purpose {
        match self {
            PurposeName::Passports => Purpose::Passports,
            PurposeName::Badges => Purpose::Badges,
            PurposeName::Trust => Purpose::Trust,
            PurposeName::Attestations => Purpose::Attestations,
        }
    }

    fn of(purpose: &str) -> ApiResult<Self> {
        match Purpose::named(purpose) {
            Some(Purpose::Passports) => Ok(PurposeName::Passports),
            Some(Purpose::Badges) => Ok(PurposeName::Badges),
            Some(Purpose::Trust) => Ok(PurposeName::Trust),
            Some(Purpose::Attestations) => Ok(PurposeName::Attestations),
            None => Err(anyhow::anyhow!("a signing key has an unknown purpose").into()),
        }
    }

    /// From when a new key signs, in seconds from now. Gates take up new keys within two
    /// seconds; the keys of trust material itself stand in each gate's configuration, where
    /// somebody must write them.
    fn lead_seconds(self) -> i64 {
        match self {
            PurposeName::Passports | PurposeName::Badges | PurposeName::Attestations => 10,
            PurposeName::Trust => DAY,
        }
    }

    /// How long what the former keys signed is taken after that, in seconds: as long as it
    /// lives, of what lives longest commonly.
    fn overlap_seconds(self) -> i64 {
        match self {
            PurposeName::Passports => 400 * DAY,
            PurposeName::Badges => DAY,
            PurposeName::Trust => 3600,
            // Records are judged by the time at which the log took them: at once.
            PurposeName::Attestations => 60,
        }
    }
}

const DAY: i64 = 24 * 3600;

/// A month, to write a new pin in every gate's configuration.
const LONGEST_LEAD: i64 = 31 * DAY;

/// Ten years, as the longest passport.
const LONGEST_OVERLAP: i64 = 3660 * DAY;

/// A signing key's public half.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceKey {
    /// What it signs.
    purpose: PurposeName,
    /// Whose key it is: an issuer's id, a gate's id, or `service`.
    owner: String,
    /// Its id: base64url of the SHA-256 of its bytes.
    key_id: String,
    /// Standard base64 of its 32 bytes.
    public_key: String,
    /// When it was made.
    created_at: String,
    /// From when it signs; the newest whose time has come does.
    signs_from: String,
    /// Until when what it signed is taken; null for no end.
    not_after: Option<String>,
    /// The key as gates' configurations have it.
    #[schema(value_type = Pin)]
    pin: Value,
}

/// A key as gates' configurations have it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is the answer's description; core writes the answer")]
struct Pin {
    /// Its id.
    key_id: String,
    /// Standard base64 of its 32 bytes.
    public_key: String,
    /// From when what it signs is taken.
    not_before: Option<String>,
    /// Until when.
    not_after: Option<String>,
}

impl ServiceKey {
    fn new(purpose: PurposeName, owner: String, half: PublicHalf) -> ApiResult<Self> {
        let not_after = half.not_after.map(iso);
        let pin = serde_json::to_value(KeyConfig {
            key_id: half.key_id.clone(),
            public_key: half.public_key.clone(),
            not_before: None,
            not_after: not_after.clone(),
        });
        Ok(ServiceKey {
            purpose,
            owner,
            key_id: half.key_id,
            public_key: half.public_key,
            created_at: iso(half.created_at),
            signs_from: iso(half.signs_from),
            not_after,
            pin: pin.map_err(anyhow::Error::new)?,
        })
    }
}

/// Which keys are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Those of this purpose.
    #[param(inline)]
    purpose: Option<PurposeName>,
    /// Those of this owner.
    owner: Option<String>,
    /// So many at most.
    #[serde(default = "a_page")]
    #[param(minimum = 1, maximum = 1000)]
    limit: i64,
    /// So many are left out first.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000_000)]
    offset: i64,
}

fn a_page() -> i64 {
    100
}

/// A page of signing keys.
#[derive(Debug, Serialize, ToSchema)]
struct SigningKeyPage {
    /// The keys, newest first.
    keys: Vec<ServiceKey>,
    /// How many there are on all pages.
    total: i64,
}

/// Keys whose signatures are taken, or will be: their public halves.
#[utoipa::path(get, path = "/api/v1/signing-keys", tag = "signing keys", security(("api_key" = ["signing_keys"])),
    params(Listed), responses(
    (status = 200, description = "The keys", body = SigningKeyPage),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list(
    _: Caller<SigningKeys>,
    State(app): State<App>,
    Query(query): Query<Listed>,
) -> ApiResult<Json<SigningKeyPage>> {
    super::check_page(query.limit, query.offset)?;
    let purpose = query.purpose.map(|purpose| purpose.purpose().name());
    let mut tx = app.db.read().await?;
    // An empty text stands for no condition, as PostgreSQL cannot tell the type of a NULL.
    let wanted = (purpose.unwrap_or_default(), query.owner.as_deref().unwrap_or_default(), now_ms());
    let (total,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM signing_keys WHERE ($1 = '' OR purpose = $1) AND ($2 = '' OR owner = $2) \
         AND (not_after IS NULL OR not_after > $3)",
    )
    .bind(wanted.0)
    .bind(wanted.1)
    .bind(wanted.2)
    .fetch_one(&mut *tx)
    .await?;
    let rows = sqlx::query(
        "SELECT purpose, owner, key_id, public_key, created_at, signs_from, not_after FROM signing_keys \
         WHERE ($1 = '' OR purpose = $1) AND ($2 = '' OR owner = $2) AND (not_after IS NULL OR not_after > $3) \
         ORDER BY signs_from DESC, key_id, purpose, owner LIMIT $4 OFFSET $5",
    )
    .bind(wanted.0)
    .bind(wanted.1)
    .bind(wanted.2)
    .bind(query.limit)
    .bind(query.offset)
    .fetch_all(&mut *tx)
    .await?;
    let keys = rows.iter().map(|row| {
        let half = PublicHalf {
            key_id: row.try_get("key_id")?,
            public_key: row.try_get("public_key")?,
            created_at: row.try_get("created_at")?,
            signs_from: row.try_get("signs_from")?,
            not_after: row.try_get("not_after")?,
        };
        ServiceKey::new(PurposeName::of(&row.try_get::<String, _>("purpose")?)?, row.try_get("owner")?, half)
    });
    Ok(Json(SigningKeyPage { keys: keys.collect::<ApiResult<_>>()?, total }))
}

/// A change of keys.
#[derive(Debug, Deserialize, ToSchema)]
struct Rotation {
    /// What the keys sign.
    purpose: PurposeName,
    /// Whose they are; left out: `service`.
    #[schema(min_length = 1, max_length = 256)]
    owner: Option<String>,
    /// After so many seconds the new key signs. Left out: 10, in which every gate has it;
    /// for `trust` a day, in which it must be written into every gate's configuration.
    #[schema(minimum = 0, maximum = 2_678_400)]
    lead_seconds: Option<i64>,
    /// For so many seconds more, what the former keys signed is taken. Left out: 400 days
    /// for passports, a day for badges, an hour for trust material, a minute for records.
    #[schema(minimum = 0, maximum = 316_224_000)]
    overlap_seconds: Option<i64>,
}

/// Makes a key that takes over from the present one.
#[utoipa::path(post, path = "/api/v1/signing-keys/rotate", tag = "signing keys", security(("api_key" = ["signing_keys"])), request_body = Rotation, responses(
    (status = 201, description = "The new key", body = ServiceKey),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "The owner has no keys of this purpose", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn rotate(
    caller: Caller<SigningKeys>,
    State(app): State<App>,
    Body(asked): Body<Rotation>,
) -> ApiResult<(StatusCode, Json<ServiceKey>)> {
    let lead = asked.lead_seconds.unwrap_or(asked.purpose.lead_seconds());
    if !(0..=LONGEST_LEAD).contains(&lead) {
        return Err(ApiError::invalid("lead_seconds", "must be 0 to 2678400 (a month)"));
    }
    let overlap = asked.overlap_seconds.unwrap_or(asked.purpose.overlap_seconds());
    if !(0..=LONGEST_OVERLAP).contains(&overlap) {
        return Err(ApiError::invalid("overlap_seconds", "must be 0 to 316224000 (ten years)"));
    }
    let purpose = asked.purpose.purpose();
    let owner = asked.owner.unwrap_or_else(|| keys::SERVICE.to_owned());
    if !(1..=256).contains(&owner.chars().count()) {
        return Err(ApiError::invalid("owner", "must have 1 to 256 characters"));
    }
    // Alone, so that of two rotations at once one follows the other.
    let mut tx = app.db.write_alone().await?;
    if keys::published(&mut tx, purpose, &owner).await?.is_empty() {
        return Err(ApiError::not_found("signing key of the owner", &owner));
    }
    let takes_over_at = now_ms().saturating_add(lead.saturating_mul(1000));
    let others_until = takes_over_at.saturating_add(overlap.saturating_mul(1000));
    let made = keys::rotate(&mut tx, &app.vault, purpose, &owner, takes_over_at, others_until).await?;
    let number = renew(&mut tx, &owner).await?;
    let detail = json!({
        "purpose": purpose.name(), "key_id": made.key_id, "signs_from": iso(takes_over_at),
        "others_until": iso(others_until), "number": number,
    });
    audit::record(&mut tx, &caller.key_id, "signing_key.rotate", &owner, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok((StatusCode::CREATED, Json(ServiceKey::new(asked.purpose, owner, made)?)))
}

/// That a key signs no more.
#[derive(Debug, Serialize, ToSchema)]
struct Retired {
    /// The key's id.
    key_id: String,
    /// Since when nothing that it signed is taken.
    not_after: String,
    /// The number of the change; gates that have it, or a higher one, act by it.
    number: i64,
}

/// Ends a compromised key now: it signs no more, and nothing that it signed is taken any
/// more. Its successor must have been made before (`rotate`), and signs from now on.
#[utoipa::path(post, path = "/api/v1/signing-keys/{key}/retire", tag = "signing keys", security(("api_key" = ["signing_keys"])),
    params(("key" = String, Path, description = "The key's id")), responses(
    (status = 200, description = "It is ended", body = Retired),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such key, or it has ended", body = ErrorBody),
    (status = 409, description = "It has no successor", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn retire(
    caller: Caller<SigningKeys>,
    State(app): State<App>,
    Path(key): Path<String>,
) -> ApiResult<Json<Retired>> {
    let mut tx = app.db.write_alone().await?;
    let now = now_ms();
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT purpose, owner FROM signing_keys WHERE key_id = $1 AND (not_after IS NULL OR not_after > $2)",
    )
    .bind(&key)
    .bind(now)
    .fetch_optional(&mut *tx)
    .await?;
    let (purpose, owner) = found.ok_or_else(|| ApiError::not_found("signing key", &key))?;
    let purpose = PurposeName::of(&purpose)?.purpose();
    if !keys::retire(&mut tx, purpose, &owner, &key, now).await? {
        return Err(ApiError::conflict(
            "the key has no successor: make one first with POST /api/v1/signing-keys/rotate",
        ));
    }
    let number = renew(&mut tx, &owner).await?;
    let detail = json!({"purpose": purpose.name(), "key_id": key, "number": number});
    audit::record(&mut tx, &caller.key_id, "signing_key.retire", &owner, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Retired { key_id: key, not_after: iso(now), number }))
}

/// Gives new snapshots to those who know the owner's keys: of a gate's, that gate.
async fn renew(tx: &mut Tx, owner: &str) -> ApiResult<i64> {
    let gate: Option<(String,)> = sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1")
        .bind(owner)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(match gate {
        Some((gate,)) => changes::renew_gate(tx, &gate).await?,
        None => changes::renew_all_gates(tx).await?,
    })
}
