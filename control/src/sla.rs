//! Whether gates keep what their catalogs promise: how many of the uses that were metered
//! came to something.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::receipts::Terms;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What became of the uses of one permission, under one version of the catalog or all.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    /// All of them.
    pub total_requests: i64,
    /// Done.
    pub success_count: i64,
    /// Failed.
    pub error_count: i64,
    /// Not answered in time.
    pub timeout_count: i64,
    /// Done in part.
    pub partial_count: i64,
}

/// Compliance under one version of the catalog.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OfVersion {
    /// The version that the receipts were made under.
    pub catalog_version: i64,
    /// What became of them.
    #[serde(flatten)]
    pub counts: Counts,
    /// The part that came to something, in basis points, rounded down.
    pub uptime_basis_points: i64,
    /// What the version promises; null for nothing.
    pub sla_uptime_bp: Option<i64>,
    /// Whether that was kept.
    pub compliant: bool,
}

/// Compliance of one permission.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Metric {
    /// The permission.
    pub permission_key: String,
    /// What became of its uses.
    #[serde(flatten)]
    pub counts: Counts,
    /// The part that came to something, in basis points, rounded down; 10000 where nothing was
    /// asked for.
    pub uptime_basis_points: i64,
    /// The most that any version promises; null for nothing.
    pub sla_uptime_bp: Option<i64>,
    /// Whether each version's promise was kept to those who have it.
    pub compliant: bool,
    /// The same by version, as passports keep the terms of theirs.
    pub versions: Vec<OfVersion>,
}

/// All of it.
const ALL: i64 = 10_000;

impl Counts {
    /// What came to something, in basis points, rounded down.
    pub fn uptime(&self) -> i64 {
        let good = self.success_count.saturating_add(self.partial_count);
        good.saturating_mul(ALL).checked_div(self.total_requests).unwrap_or(ALL)
    }

    fn add(&mut self, outcome: &str, count: i64) {
        let of_outcome = match outcome {
            "success" => &mut self.success_count,
            "partial" => &mut self.partial_count,
            "timeout" => &mut self.timeout_count,
            _ => &mut self.error_count,
        };
        *of_outcome = of_outcome.saturating_add(count);
        self.total_requests = self.total_requests.saturating_add(count);
    }
}

/// The metrics of a gate's permissions, by receipts that were made from `from` on and before `to`,
/// in milliseconds since 1970; and what became of all of them.
///
/// # Errors
/// No database.
pub async fn metrics(
    tx: &mut Tx,
    gate: &str,
    from: i64,
    to: i64,
    permission: Option<&str>,
) -> ApiResult<(Vec<Metric>, Counts)> {
    let rows: Vec<(String, i64, String, i64)> = sqlx::query_as(
        "SELECT action, catalog_version, outcome, COUNT(*) FROM receipts \
         WHERE gate_id = $1 AND issued_at >= $2 AND issued_at < $3 AND ($4 = '' OR action = $5) \
         GROUP BY action, catalog_version, outcome ORDER BY action, catalog_version",
    )
    .bind(gate)
    .bind(from)
    .bind(to)
    .bind(permission.unwrap_or_default())
    .bind(permission.unwrap_or_default())
    .fetch_all(&mut **tx)
    .await?;
    let mut terms = Terms::new(gate);
    let mut all = Counts::default();
    let mut permissions: BTreeMap<String, BTreeMap<i64, Counts>> = BTreeMap::new();
    for (action, version, outcome, count) in rows {
        terms.load(tx, version).await?;
        all.add(&outcome, count);
        permissions.entry(action).or_default().entry(version).or_default().add(&outcome, count);
    }
    let metrics = permissions.into_iter().map(|(key, versions)| metric(key, versions, &terms));
    Ok((metrics.collect(), all))
}

fn metric(permission_key: String, versions: BTreeMap<i64, Counts>, terms: &Terms) -> Metric {
    let mut counts = Counts::default();
    let versions: Vec<_> = versions
        .into_iter()
        .map(|(catalog_version, of_version)| {
            counts.total_requests = counts.total_requests.saturating_add(of_version.total_requests);
            counts.success_count = counts.success_count.saturating_add(of_version.success_count);
            counts.error_count = counts.error_count.saturating_add(of_version.error_count);
            counts.timeout_count = counts.timeout_count.saturating_add(of_version.timeout_count);
            counts.partial_count = counts.partial_count.saturating_add(of_version.partial_count);
            let promised = terms.promised_uptime(catalog_version, &permission_key);
            let uptime = of_version.uptime();
            OfVersion {
                catalog_version,
                counts: of_version,
                uptime_basis_points: uptime,
                sla_uptime_bp: promised,
                compliant: promised.is_none_or(|promised| uptime >= promised),
            }
        })
        .collect();
    Metric {
        permission_key,
        uptime_basis_points: counts.uptime(),
        counts,
        sla_uptime_bp: versions.iter().filter_map(|version| version.sla_uptime_bp).max(),
        compliant: versions.iter().all(|version| version.compliant),
        versions,
    }
}
