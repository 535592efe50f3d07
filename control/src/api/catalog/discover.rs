//! Discovery: what gates offer, for everyone, with all that is needed to check the terms.

use super::record::PublishedCatalog;
use crate::App;
use crate::anyone::Anyone;
use crate::catalog;
use crate::catalog::discover::{Capability, Service, Sort, Wanted};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Query;
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use portcullis_core::catalog::{MAX_CENTS, PricingModel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(discover_services))
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DiscoverQuery {
    /// The name of a permission, or all of a namespace as `flights:*`.
    #[param(required, min_length = 1, max_length = 256, pattern = "^[!-)+-~]+(:\\*)?$")]
    capability: Option<String>,
    /// The highest price, in cents, whatever it is for.
    #[param(minimum = 0, maximum = 100_000_000_000_i64)]
    max_price_cents: Option<i64>,
    /// The least promised uptime, in basis points.
    #[param(minimum = 0, maximum = 10_000)]
    min_uptime_bp: Option<i64>,
    /// The longest promised response time, in milliseconds.
    #[param(minimum = 1, maximum = 86_400_000)]
    max_response_time_ms: Option<i64>,
    /// What the price is for: `per_call`, `per_minute`, `subscription` or `usage`.
    pricing_model: Option<String>,
    /// What comes first: `price_asc` (left out), `price_desc`, `uptime_desc` or
    /// `response_asc`.
    sort: Option<String>,
    /// How many, at most; left out: 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0, maximum = 1_000_000)]
    offset: Option<i64>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
struct Discovered {
    /// What is offered, a page of it.
    services: Vec<DiscoveredService>,
    /// The catalogs of all services on this page, each once, to check their terms by:
    /// `portcullis catalog verify` does.
    catalogs: Vec<PublishedCatalog>,
    /// How many there are on all pages.
    total: i64,
    /// How many a page has at most.
    limit: i64,
    /// How many come before this page.
    offset: i64,
}

/// Something that a gate offers, in words of the catalog with the same hash.
#[derive(Debug, Serialize, ToSchema)]
struct DiscoveredService {
    /// The gate.
    gate_id: String,
    /// Its name.
    gate_name: String,
    /// The action.
    permission_key: String,
    /// What the price is for.
    pricing_model: String,
    /// The price, in whole cents.
    price_cents: i64,
    /// Always `USD`.
    currency: &'static str,
    /// The promised uptime, in basis points.
    uptime_basis_points: Option<i64>,
    /// The promised response time, in milliseconds.
    response_time_ms: Option<i64>,
    /// The platform's part of the price, in basis points.
    platform_fee_basis_points: Option<i64>,
    /// The version of the catalog that is in force.
    catalog_version: i64,
    /// Its hash.
    catalog_content_hash: String,
    /// The gate's signature over that.
    catalog_signature: String,
    /// The key that it is by.
    signing_key_id: String,
    /// That key, in standard base64.
    public_key: String,
    /// How strictly the gate checks.
    security_profile: String,
}

/// Finds what gates offer, of those that are to be found (`is_discoverable`), in the version of
/// their catalog that is in force, with a price. Nobody needs an API key, and nobody needs to
/// trust this service: the catalogs are signed by the gates.
#[utoipa::path(get, path = "/api/discover", tag = "catalogs", params(DiscoverQuery), responses(
    (status = 200, description = "What was found; good for 60 s", body = Discovered),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn discover_services(
    _: Anyone,
    State(app): State<App>,
    Query(asked): Query<DiscoverQuery>,
) -> ApiResult<impl IntoResponse> {
    let wanted = asked.wanted()?;
    let mut tx = app.db.read().await?;
    let (found, total) = wanted.find(&mut tx).await?;
    let mut catalogs = BTreeMap::new();
    for service in &found {
        if !catalogs.contains_key(&service.gate_id) {
            let stored = catalog::find(&mut tx, &service.gate_id, service.version).await?;
            let stored = stored.context("a catalog is listed, and is not there")?;
            let mut published = PublishedCatalog::of(&mut tx, &app, stored).await?;
            // A hundred snapshots are 6 MiB, and what changed in them might be as much again.
            published.changes = None;
            catalogs.insert(service.gate_id.clone(), published);
        }
    }
    let services: Option<Vec<_>> = found
        .into_iter()
        .map(|service| {
            let published = catalogs.get(&service.gate_id)?;
            Some(DiscoveredService::of(service, published))
        })
        .collect();
    let discovered = Discovered {
        services: services.context("a service has no catalog")?,
        catalogs: catalogs.into_values().collect(),
        total,
        limit: wanted.limit,
        offset: wanted.offset,
    };
    Ok(([(CACHE_CONTROL, "public, max-age=60")], Json(discovered)))
}

impl DiscoverQuery {
    fn wanted(self) -> ApiResult<Wanted> {
        let within = |field: &str, value: Option<i64>, min: i64, max: i64| match value {
            Some(value) if !(min..=max).contains(&value) => {
                Err(ApiError::invalid(field, format!("must be {min} to {max}")))
            }
            value => Ok(value),
        };
        let model = self.pricing_model.as_deref().map(|name| {
            PricingModel::named(name).ok_or_else(|| {
                ApiError::invalid("pricing_model", "must be per_call, per_minute, subscription or usage")
            })
        });
        Ok(Wanted {
            capability: Capability::read(self.capability.as_deref().unwrap_or_default())?,
            max_price_cents: within("max_price_cents", self.max_price_cents, 0, MAX_CENTS.cast_signed())?,
            min_uptime_bp: within("min_uptime_bp", self.min_uptime_bp, 0, 10_000)?,
            max_response_time_ms: within("max_response_time_ms", self.max_response_time_ms, 1, 86_400_000)?,
            pricing_model: model.transpose()?,
            sort: self.sort.as_deref().map_or(Ok(Sort::default()), Sort::read)?,
            limit: within("limit", self.limit, 1, 100)?.unwrap_or(20),
            offset: within("offset", self.offset, 0, 1_000_000)?.unwrap_or(0),
        })
    }
}

impl DiscoveredService {
    fn of(service: Service, published: &PublishedCatalog) -> Self {
        DiscoveredService {
            gate_id: service.gate_id,
            gate_name: service.gate_name,
            permission_key: service.permission_key,
            pricing_model: service.pricing_model,
            price_cents: service.price_cents,
            currency: "USD",
            uptime_basis_points: service.uptime_basis_points,
            response_time_ms: service.response_time_ms,
            platform_fee_basis_points: service.fee_basis_points,
            catalog_version: service.version,
            catalog_content_hash: published.content_hash.clone(),
            catalog_signature: published.signature.clone(),
            signing_key_id: published.signing_key_id.clone(),
            public_key: published.public_key.clone(),
            security_profile: service.profile,
        }
    }
}
