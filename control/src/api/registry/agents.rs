//! Registering agents: `/v1/sdk/agents`, and disabling them.

use super::{input, status::AgentStatus};
use crate::App;
use crate::audit;
use crate::auth::{Caller, Registry};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::registry::agents::{self, Agent, Status};
use crate::registry::{own_did, public_key, served_did};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::base64;
use portcullis_core::capiscio::{Level, key_of_did};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// A registered agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentView {
    /// The registry's own id of it.
    id: String,
    /// Its DID.
    did: String,
    /// For people.
    name: String,
    /// The domain that its badges name.
    domain: Option<String>,
    /// `"1"` to `"4"`.
    trust_level: &'static str,
    /// Its key as a JWK.
    #[schema(value_type = Option<Object>)]
    public_key: Option<Value>,
    /// `active`, `disabled` or `suspended`.
    status: &'static str,
    /// Since when it is not active.
    disabled_at: Option<String>,
    /// Why it is not.
    reason: Option<String>,
    /// When it was registered.
    created_at: String,
}

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentAnswer {
    /// Always true.
    success: bool,
    /// The agent.
    data: AgentView,
}

/// Agents, by their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentList {
    /// Always true.
    success: bool,
    /// The agents.
    data: Vec<AgentView>,
    /// What to give as `after` to go on; null at the end.
    #[serde(rename = "nextCursor")]
    next_cursor: Option<String>,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// Always true.
    success: bool,
}

/// From where, and how many.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Paging {
    /// An agent's id.
    after: Option<String>,
    /// 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
}

/// An agent to be registered. Members that are not known are ignored: the clients send more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewAgent {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// A `did:key`, or a `did:web`. Left out: a `did:web` of this registry.
    #[schema(max_length = 256)]
    did: Option<String>,
    /// Its Ed25519 key: a JWK, multibase, or base64 of 32 bytes.
    #[serde(alias = "public_key")]
    #[schema(value_type = Option<Object>)]
    public_key: Option<Value>,
    /// Its domain; needed from level 2 on.
    #[schema(max_length = 253)]
    domain: Option<String>,
    /// `"1"` to `"4"`; left out: `"1"`.
    #[serde(alias = "trust_level")]
    trust_level: Option<String>,
}

/// What is to change about an agent; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentChange {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Its domain.
    #[schema(max_length = 253)]
    domain: Option<String>,
    /// `"1"` to `"4"`.
    #[serde(alias = "trust_level")]
    trust_level: Option<String>,
    /// `active`, `disabled` or `suspended`.
    status: Option<String>,
    /// Why it is not active.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// An agent's new identity; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    /// A `did:key`, or a `did:web`.
    #[schema(max_length = 256)]
    did: Option<String>,
    /// Its Ed25519 key: a JWK, multibase, or base64 of 32 bytes.
    #[serde(alias = "public_key")]
    #[schema(value_type = Option<Object>)]
    public_key: Option<Value>,
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Reason {
    /// For people; anyone may read it.
    #[schema(min_length = 1, max_length = 500)]
    pub(super) reason: Option<String>,
}

/// The registered agents.
#[utoipa::path(get, path = "/v1/sdk/agents", tag = "badge registry", security(("api_key" = ["registry"])), params(Paging), responses(
    (status = 200, description = "The agents", body = AgentList),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
))]
pub(super) async fn list(
    _: Caller<Registry>,
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> ApiResult<Json<AgentList>> {
    let limit = paging.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::invalid("limit", "must be 1 to 1000"));
    }
    let agents = agents::list(&app, paging.after.as_deref().unwrap_or_default(), limit).await?;
    let is_full = i64::try_from(agents.len()).is_ok_and(|count| count == limit);
    let next_cursor = agents.last().filter(|_| is_full).map(|agent| agent.id.clone());
    Ok(Json(AgentList { success: true, data: agents.into_iter().map(AgentView::of).collect(), next_cursor }))
}

/// Registers an agent.
#[utoipa::path(post, path = "/v1/sdk/agents", tag = "badge registry", security(("api_key" = ["registry"])), request_body = NewAgent, responses(
    (status = 201, description = "The agent", body = AgentAnswer),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 409, description = "The DID is registered", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
pub(super) async fn create(
    caller: Caller<Registry>,
    State(app): State<App>,
    Body(asked): Body<NewAgent>,
) -> ApiResult<(StatusCode, Json<AgentAnswer>)> {
    let id = match &asked.did {
        Some(did) => id_in(&app, did)?,
        None => None,
    };
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let did = asked.did.unwrap_or_else(|| served_did(&app, &id));
    let level =
        asked.trust_level.map_or(Ok(Level::Registered), |level| input::level("trustLevel", &level))?;
    let agent = Agent {
        name: input::text("name", asked.name, 200)?,
        domain: asked.domain.map(|domain| input::domain("domain", &domain)).transpose()?,
        level,
        key: asked.public_key.as_ref().map(key).transpose()?.or_else(|| key_of_did(&did)),
        status: Status::Active,
        disabled_at: None,
        reason: None,
        created_at: now_ms(),
        id,
        did,
    };
    let mut tx = app.db.write().await?;
    agents::create(&mut tx, &app, &agent).await?;
    let detail = json!({"did": agent.did, "domain": agent.domain, "level": agent.level.text()});
    audit::record(&mut tx, &caller.key_id, "agent.create", &agent.id, detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(AgentAnswer::of(agent))))
}

/// A registered agent.
#[utoipa::path(get, path = "/v1/sdk/agents/{agent}", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's id or DID")), responses(
    (status = 200, description = "The agent", body = AgentAnswer),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
))]
pub(super) async fn get(
    _: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
) -> ApiResult<Json<AgentAnswer>> {
    Ok(Json(AgentAnswer::of(agents::find(app.db.pool(), &agent).await?)))
}

/// Changes what the operator decides about an agent. Badges that say more than is left are
/// revoked.
#[utoipa::path(patch, path = "/v1/sdk/agents/{agent}", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's id or DID")), request_body = AgentChange, responses(
    (status = 200, description = "The agent", body = AgentAnswer),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
pub(super) async fn update(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
    Body(asked): Body<AgentChange>,
) -> ApiResult<Json<AgentAnswer>> {
    let name = asked.name.map(|name| input::text("name", name, 200)).transpose()?;
    let domain = asked.domain.map(|domain| input::domain("domain", &domain)).transpose()?;
    let level = asked.trust_level.map(|level| input::level("trustLevel", &level)).transpose()?;
    let reason = input::reason(asked.reason)?;
    let status = asked.status.map(|status| {
        Status::named(&status)
            .ok_or_else(|| ApiError::invalid("status", "must be active, disabled or suspended"))
    });
    let status = status.transpose()?;
    let agent = change(&app, &caller.key_id, "agent.update", &agent, |before| {
        let mut after = before.clone();
        after.name = name.unwrap_or(after.name);
        after.domain = domain.or(after.domain);
        after.level = level.unwrap_or(after.level);
        let reason = reason.or_else(|| after.reason.clone());
        Ok(after.with_status(status.unwrap_or(after.status), reason))
    });
    Ok(Json(AgentAnswer::of(agent.await?)))
}

/// Gives an agent another DID or key. The badges that it has are revoked.
#[utoipa::path(patch, path = "/v1/sdk/agents/{agent}/identity", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's id or DID")), request_body = Identity, responses(
    (status = 200, description = "The agent", body = AgentAnswer),
    (status = 400, description = "The DID in the path is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 409, description = "The DID is registered, or the agent not active", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
pub(super) async fn identify(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
    Body(asked): Body<Identity>,
) -> ApiResult<Json<AgentAnswer>> {
    let given = asked.public_key.as_ref().map(key).transpose()?;
    let agent = change(&app, &caller.key_id, "agent.identity", &agent, |before| {
        let mut after = before.clone();
        let kept = before.key.filter(|_| asked.did.as_ref().is_none_or(|did| *did == before.did));
        after.did = asked.did.unwrap_or(after.did);
        after.key = given.or(kept).or_else(|| key_of_did(&after.did));
        Ok(after)
    });
    Ok(Json(AgentAnswer::of(agent.await?)))
}

/// Forgets an agent. The badges that it has are revoked.
#[utoipa::path(delete, path = "/v1/sdk/agents/{agent}", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's id or DID")), responses(
    (status = 200, description = "It is forgotten", body = Deleted),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
))]
pub(super) async fn delete(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
) -> ApiResult<Json<Deleted>> {
    let mut tx = app.db.write().await?;
    let agent = agents::lock(&mut tx, &agent).await?;
    let number = agents::delete(&mut tx, &app, &agent).await?;
    audit::record(&mut tx, &caller.key_id, "agent.delete", &agent.id, json!({"did": agent.did})).await?;
    tx.commit().await?;
    wake(&app, number);
    Ok(Json(Deleted { success: true }))
}

/// Disables an agent: its badges are refused, and it gets no others.
#[utoipa::path(post, path = "/v1/agents/{agent}/disable", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = Reason, responses(
    (status = 200, description = "Its status", body = AgentStatus),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
pub(super) async fn disable(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
    Body(asked): Body<Reason>,
) -> ApiResult<Json<AgentStatus>> {
    let reason = input::reason(asked.reason)?;
    let agent = change(&app, &caller.key_id, "agent.disable", &agent, |before| {
        Ok(before.with_status(Status::Disabled, reason))
    });
    Ok(Json(AgentStatus::of(agent.await?)))
}

/// Enables an agent. Badges that it has are taken again, unless they were revoked.
#[utoipa::path(post, path = "/v1/agents/{agent}/enable", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's DID or id")), responses(
    (status = 200, description = "Its status", body = AgentStatus),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
))]
pub(super) async fn enable(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(agent): Path<String>,
) -> ApiResult<Json<AgentStatus>> {
    let agent = change(&app, &caller.key_id, "agent.enable", &agent, |before| {
        Ok(before.with_status(Status::Active, None))
    });
    Ok(Json(AgentStatus::of(agent.await?)))
}

/// Changes an agent, all in one transaction, and tells gates of it.
async fn change(
    app: &App,
    actor: &str,
    action: &str,
    name: &str,
    make: impl FnOnce(&Agent) -> ApiResult<Agent>,
) -> ApiResult<Agent> {
    let mut tx = app.db.write().await?;
    let before = agents::lock(&mut tx, name).await?;
    let after = make(&before)?;
    let number = agents::update(&mut tx, app, &before, &after).await?;
    let detail = json!({
        "did": after.did, "domain": after.domain, "level": after.level.text(), "status": after.status.name(),
        "reason": after.reason, "key_changed": before.key != after.key,
    });
    audit::record(&mut tx, actor, action, &after.id, detail).await?;
    tx.commit().await?;
    wake(app, number);
    Ok(after)
}

fn wake(app: &App, number: Option<i64>) {
    if let Some(number) = number {
        app.trust.wake(number);
    }
}

/// The id in a DID of this registry; `None` for every other DID.
fn id_in(app: &App, did: &str) -> ApiResult<Option<String>> {
    let Some(id) = did.strip_prefix(&format!("{}:agents:", own_did(app))) else { return Ok(None) };
    let is_plain = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_plain {
        let problem = "must end with 1 to 64 letters, digits, - or _ where it is of this registry";
        return Err(ApiError::invalid("did", problem));
    }
    Ok(Some(id.to_owned()))
}

fn key(value: &Value) -> ApiResult<[u8; 32]> {
    public_key::read(value).ok_or_else(|| {
        let problem = "must be an Ed25519 key: a public JWK, multibase (z6Mk…), or base64 of 32 bytes";
        ApiError::invalid("publicKey", problem)
    })
}

impl AgentAnswer {
    fn of(agent: Agent) -> Self {
        AgentAnswer { success: true, data: AgentView::of(agent) }
    }
}

impl AgentView {
    fn of(agent: Agent) -> Self {
        let jwk = |key: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": base64::encode_url(&key)});
        AgentView {
            id: agent.id,
            did: agent.did,
            name: agent.name,
            domain: agent.domain,
            trust_level: agent.level.text(),
            public_key: agent.key.map(jwk),
            status: agent.status.name(),
            disabled_at: agent.disabled_at.map(iso),
            reason: agent.reason,
            created_at: iso(agent.created_at),
        }
    }
}
