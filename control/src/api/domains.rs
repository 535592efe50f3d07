//! That an issuer has its domain: a token that whoever has the domain can show, in DNS or
//! in a file over HTTPS.

use crate::App;
use crate::audit;
use crate::auth::{Caller, IssuersWrite};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::time::now_ms;
use crate::trust::changes;
use axum::Json;
use axum::extract::State;
use portcullis_core::base64;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of domains.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(challenge)).routes(routes!(verify))
}

/// What to show, in one of two ways.
#[derive(Debug, Serialize, ToSchema)]
struct Challenge {
    /// The domain.
    domain: String,
    /// The token. A new challenge replaces it.
    token: String,
    /// The first way, `dns-txt`.
    dns_txt: TxtRecord,
    /// The second way, `http-file`.
    http_file: File,
}

/// A TXT record.
#[derive(Debug, Serialize, ToSchema)]
struct TxtRecord {
    /// Its name.
    name: String,
    /// Its text.
    value: String,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
struct File {
    /// Where it must be.
    url: String,
    /// What it must hold.
    content: String,
}

/// How the token is shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// The way.
    method: Method,
}

/// A way of showing a token.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// A TXT record.
    DnsTxt,
    /// A file over HTTPS.
    HttpFile,
}

/// Whether the token was found.
#[derive(Debug, Serialize, ToSchema)]
struct Verified {
    /// Whether it was.
    verified: bool,
    /// Where it was, or why it was not.
    detail: String,
}

/// A token is 43 characters; whoever sends a page instead is refused early.
const MAX_FILE: usize = 1024;

/// Begins to verify an issuer's domain, anew if it was begun before.
#[utoipa::path(post, path = "/api/v1/issuers/{id}/domain/challenge", tag = "issuers", security(("api_key" = ["issuers:write"])),
    params(("id" = String, Path, description = "The issuer's id")), responses(
    (status = 200, description = "What to show", body = Challenge),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such issuer", body = ErrorBody),
    (status = 409, description = "The issuer has no domain", body = ErrorBody),
))]
async fn challenge(
    caller: Caller<IssuersWrite>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<Challenge>> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let token = base64::encode_url(&random);
    let mut tx = app.db.write().await?;
    let updated: Option<(Option<String>,)> = sqlx::query_as(
        "UPDATE issuers SET domain_challenge = $1 WHERE issuer_id = $2 AND deleted_at IS NULL RETURNING domain",
    )
    .bind(&token)
    .bind(&id)
    .fetch_optional(&mut *tx)
    .await?;
    let (domain,) = updated.ok_or_else(|| ApiError::not_found("issuer", &id))?;
    let domain = checked(domain)?;
    audit::record(&mut tx, &caller.key_id, "issuer.domain_challenge", &id, json!({"domain": domain})).await?;
    tx.commit().await?;
    Ok(Json(Challenge {
        dns_txt: TxtRecord { name: txt_name(&domain), value: txt_value(&token) },
        http_file: File { url: file_url(&domain), content: token.clone() },
        domain,
        token,
    }))
}

/// Looks for the token of the last challenge. That it is not found is an answer, not an
/// error, and changes nothing: a domain that was verified stays so.
#[utoipa::path(post, path = "/api/v1/issuers/{id}/domain/verify", tag = "issuers", security(("api_key" = ["issuers:write"])),
    params(("id" = String, Path, description = "The issuer's id")), request_body = Verification, responses(
    (status = 200, description = "Whether it was found", body = Verified),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such issuer", body = ErrorBody),
    (status = 409, description = "The issuer has no domain or no challenge, or they have just changed", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many attempts for this issuer", body = ErrorBody),
))]
async fn verify(
    caller: Caller<IssuersWrite>,
    State(app): State<App>,
    Path(id): Path<String>,
    Body(asked): Body<Verification>,
) -> ApiResult<Json<Verified>> {
    let row: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT domain, domain_challenge FROM issuers WHERE issuer_id = $1 AND deleted_at IS NULL",
    )
    .bind(&id)
    .fetch_optional(app.db.pool())
    .await?;
    let (domain, token) = row.ok_or_else(|| ApiError::not_found("issuer", &id))?;
    let domain = checked(domain)?;
    let token = token.ok_or_else(|| ApiError::conflict("there is no challenge: ask for one first"))?;
    app.limits.check_domain(&id)?;
    let found = match asked.method {
        Method::DnsTxt => in_dns(&app, &domain, &token).await,
        Method::HttpFile => in_file(&app, &domain, &token).await,
    };
    let detail = match found {
        Ok(detail) => detail,
        Err(detail) => return Ok(Json(Verified { verified: false, detail })),
    };
    let mut tx = app.db.write().await?;
    let updated = sqlx::query(
        "UPDATE issuers SET domain_verified_at = $1, domain_challenge = NULL \
         WHERE issuer_id = $2 AND domain = $3 AND domain_challenge = $4 AND deleted_at IS NULL",
    )
    .bind(now_ms())
    .bind(&id)
    .bind(&domain)
    .bind(&token)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(ApiError::conflict("the issuer or its challenge has changed meanwhile"));
    }
    let recorded = json!({"domain": domain, "method": asked.method});
    audit::record(&mut tx, &caller.key_id, "issuer.domain_verify", &id, recorded).await?;
    let number = changes::renew_all_gates(&mut tx).await?;
    tx.commit().await?;
    app.trust.wake(number);
    Ok(Json(Verified { verified: true, detail }))
}

async fn in_dns(app: &App, domain: &str, token: &str) -> Result<String, String> {
    let name = txt_name(domain);
    let texts = app.outside.texts(&name).await.map_err(|error| error.to_string())?;
    if texts.iter().any(|text| is_same(text, &txt_value(token))) {
        Ok(format!("{name} has the record"))
    } else {
        Err(format!("{name} has {} TXT records, none of them with this challenge's token", texts.len()))
    }
}

async fn in_file(app: &App, domain: &str, token: &str) -> Result<String, String> {
    let url = file_url(domain);
    let body = app.outside.get(&url, MAX_FILE).await.map_err(|error| error.to_string())?;
    // Editors end a file with a line's end.
    if is_same(String::from_utf8_lossy(&body).trim(), token) {
        Ok(format!("{url} holds the token"))
    } else {
        Err(format!("{url} does not hold this challenge's token"))
    }
}

fn is_same(found: &str, expected: &str) -> bool {
    found.as_bytes().ct_eq(expected.as_bytes()).into()
}

fn txt_name(domain: &str) -> String {
    format!("_portcullis-challenge.{domain}")
}

fn txt_value(token: &str) -> String {
    format!("portcullis-domain={token}")
}

fn file_url(domain: &str) -> String {
    format!("https://{domain}/.well-known/portcullis-domain.txt")
}

/// What is no name must not become a part of a URL, whatever the database has.
fn checked(domain: Option<String>) -> ApiResult<String> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    domain
        .filter(|domain| (1..=253).contains(&domain.len()) && domain.bytes().all(is_name_byte))
        .ok_or_else(no_domain)
}

fn no_domain() -> ApiError {
    ApiError::conflict("the issuer has no domain that is a host's name: give it one first")
}
