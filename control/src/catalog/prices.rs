//! What a gate's catalogs ask for each action: what the gate charges by, and refuses by.

use crate::db::Tx;
use crate::error::ApiResult;
use anyhow::anyhow;
use futures_util::TryStreamExt;
use portcullis_core::catalog::{Catalog, Terms};
use portcullis_core::receipt::Rate;
use portcullis_core::{CatalogPricesConfig, PriceSince};
use sqlx::Row;
use std::collections::BTreeMap;

/// The prices of all published versions, whether in force or not: of each action that ever had
/// one, those versions that changed it.
///
/// # Errors
/// No database, or a damaged row.
pub async fn prices(tx: &mut Tx, gate: &str) -> ApiResult<CatalogPricesConfig> {
    let mut known: BTreeMap<String, Vec<PriceSince>> = BTreeMap::new();
    // One at a time: a thousand of 64 KiB each would be in memory together otherwise.
    let mut rows = sqlx::query("SELECT version, snapshot FROM catalogs WHERE gate_id = $1 ORDER BY version")
        .bind(gate)
        .fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        let (version, snapshot): (i64, String) = (row.try_get("version")?, row.try_get("snapshot")?);
        let catalog = Catalog::from_json(snapshot.as_bytes());
        let catalog = catalog.map_err(|error| anyhow!("a stored catalog is unreadable: {error}"))?;
        let since = version.cast_unsigned();
        for permission in &catalog.permissions {
            let rate = rate(&permission.terms);
            let listed = known.get(&permission.key).and_then(|prices| prices.last());
            if listed.is_some_and(|last| last.rate != rate) || (listed.is_none() && rate.is_some()) {
                known.entry(permission.key.clone()).or_default().push(PriceSince { since, rate });
            }
        }
        for (action, prices) in &mut known {
            let is_priced = prices.last().is_some_and(|last| last.rate.is_some());
            if is_priced && catalog.permission(action).is_none() {
                prices.push(PriceSince { since, rate: None });
            }
        }
    }
    Ok(CatalogPricesConfig(known.into_iter().collect()))
}

fn rate(terms: &Terms) -> Option<Rate> {
    let fee_basis_points = terms.fee_basis_points.unwrap_or_default();
    terms.price.map(|price| Rate { price, fee_basis_points })
}
