//! How far a change has come: what gates' proxies have, by what they last asked with.

use crate::App;
use crate::auth::{Caller, GatesRead};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Query;
use crate::time::{iso, now_ms};
use crate::trust::proxies::{self, CONNECTED_MS, Proxy};
use crate::trust::state::State as TrustState;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(propagation))
}

/// Which change is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The number of a change; left out: the newest.
    #[param(minimum = 0, maximum = 9007199254740992_u64)]
    number: Option<i64>,
}

/// How far a change has come.
#[derive(Debug, Serialize, ToSchema)]
struct Propagation {
    /// The change that this is about.
    number: i64,
    /// The newest change.
    newest: i64,
    /// When this was so.
    at: String,
    /// Whether every proxy that is connected has it, and each gate with a configuration has one.
    everywhere: bool,
    /// The gates, by id.
    gates: Vec<GateReach>,
}

/// How far it has come at a gate.
#[derive(Debug, Serialize, ToSchema)]
struct GateReach {
    /// The gate.
    gate_id: String,
    /// Its name.
    name: String,
    /// How strictly it checks.
    profile: String,
    /// Whether it has a configuration; without one there is nothing for it to ask for.
    is_configured: bool,
    /// The number of its newest snapshot.
    snapshot_number: i64,
    /// When that was made.
    snapshot_at: String,
    /// `reached`: each proxy that is connected has the change; `under_way`: one has not;
    /// `silent`: none is connected; `not_configured`.
    state: &'static str,
    /// Decisions that its proxies said they could not record.
    dropped_records: i64,
    /// Its proxies that have asked within a day.
    proxies: Vec<ProxyReach>,
}

/// What a proxy has. Those that share a key and an address are shown as one.
#[derive(Debug, Serialize, ToSchema)]
struct ProxyReach {
    /// The address that it calls from.
    address: String,
    /// The id of the key that it signs its calls with.
    key_id: String,
    /// The number of its snapshot.
    snapshot_number: i64,
    /// The number of its revocations.
    revocations_number: i64,
    /// Whether it has the change.
    reached: bool,
    /// Whether it asked within the last minute.
    connected: bool,
    /// When it last asked, to 15 s.
    seen_at: String,
    /// How old its trust material is, in seconds, to 15 s; null where it was not answered yet.
    material_age_seconds: Option<i64>,
}

/// How far a change has come: which proxies of which gates have it. A proxy counts as having
/// what it says that it has when it asks for more; its workers read that within 0.2 s. Where
/// something else was changed since, it counts once it has that too.
#[utoipa::path(get, path = "/api/v1/propagation", tag = "gates", security(("api_key" = ["gates:read"])),
    params(Asked), responses(
    (status = 200, description = "How far it has come", body = Propagation),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn propagation(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> ApiResult<Json<Propagation>> {
    if asked.number.is_some_and(|number| number < 0) {
        return Err(ApiError::invalid("number", "must not be negative"));
    }
    // What was changed a moment ago, and what was told here a moment ago, is there too.
    app.trust.look(&app.db, &app.vault).await?;
    app.trust.proxies.write(&app.db).await?;
    let state = app.trust.state();
    let number = asked.number.unwrap_or(state.number);
    let mut tx = app.db.read().await?;
    let mut by_gate: HashMap<String, Vec<Proxy>> = HashMap::new();
    for proxy in proxies::all(&mut tx).await? {
        by_gate.entry(proxy.gate_id.clone()).or_default().push(proxy);
    }
    // As many as GET /api/gates answers.
    let rows = sqlx::query(
        "SELECT gates.gate_id AS gate_id, name, profile, snapshot_number, snapshot_at, \
         CASE WHEN config IS NULL THEN 0 ELSE 1 END AS configured, \
         CAST((SELECT COALESCE(SUM(dropped), 0) FROM record_lanes \
         WHERE record_lanes.gate_id = gates.gate_id) AS BIGINT) AS dropped \
         FROM gates WHERE deleted_at IS NULL ORDER BY gates.gate_id LIMIT 1000",
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut gates = Vec::with_capacity(rows.len());
    for row in rows {
        let gate_id: String = row.try_get("gate_id")?;
        let snapshot_number: i64 = row.try_get("snapshot_number")?;
        let is_configured = row.try_get::<i64, _>("configured")? != 0;
        let proxies: Vec<ProxyReach> = by_gate
            .remove(&gate_id)
            .into_iter()
            .flatten()
            .map(|proxy| reach(proxy, number, snapshot_number, &state))
            .collect();
        gates.push(GateReach {
            state: state_of(is_configured, &proxies),
            gate_id,
            name: row.try_get("name")?,
            profile: row.try_get("profile")?,
            is_configured,
            snapshot_number,
            snapshot_at: iso(row.try_get("snapshot_at")?),
            dropped_records: row.try_get("dropped")?,
            proxies,
        });
    }
    let everywhere = gates.iter().all(|gate| matches!(gate.state, "reached" | "not_configured"));
    Ok(Json(Propagation { number, newest: state.number, at: iso(now_ms()), everywhere, gates }))
}

fn state_of(is_configured: bool, proxies: &[ProxyReach]) -> &'static str {
    if !is_configured {
        return "not_configured";
    }
    let connected: Vec<&ProxyReach> = proxies.iter().filter(|proxy| proxy.connected).collect();
    match connected.iter().all(|proxy| proxy.reached) {
        _ if connected.is_empty() => "silent",
        true => "reached",
        false => "under_way",
    }
}

fn reach(proxy: Proxy, number: i64, snapshot: i64, state: &TrustState) -> ProxyReach {
    let now = now_ms();
    let age = now.saturating_sub(proxy.head_at).checked_div(1000).unwrap_or_default();
    ProxyReach {
        reached: proxy.has.reach(number, snapshot, state),
        connected: now.saturating_sub(proxy.seen_at) < CONNECTED_MS,
        address: proxy.address,
        key_id: proxy.key_id,
        snapshot_number: proxy.has.snapshot,
        revocations_number: proxy.has.revocations,
        seen_at: iso(proxy.seen_at),
        material_age_seconds: (proxy.head_at > 0).then_some(age),
    }
}
