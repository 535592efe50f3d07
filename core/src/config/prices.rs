//! What a gate's catalogs ask for each action, which the control service alone sets.

use super::read::Place;
use crate::catalog::{MAX_CENTS, PricingModel};
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// `catalog_prices`: by action, its prices in the order of the versions from which on they hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CatalogPricesConfig(pub Vec<(String, Vec<PriceSince>)>);

/// The price of an action from a version of the catalog on, until that of the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct PriceSince {
    /// The version, 1 or more.
    pub since: u64,
    /// What it costs; `None` where the version states no price, or does not offer it.
    #[serde(flatten)]
    pub price: Option<MeteredPrice>,
}

/// A price, and the platform's part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct MeteredPrice {
    /// What it is for.
    pub model: PricingModel,
    /// How much, in whole cents of US dollars.
    pub cents: u64,
    /// The platform's part of what is charged, in basis points, at most 10,000.
    pub fee_basis_points: u64,
}

pub(super) fn catalog_prices(place: &Place<'_>) -> CatalogPricesConfig {
    let entries = place.entries().into_iter();
    CatalogPricesConfig(entries.map(|(action, prices)| (String::from(action), prices.list(price))).collect())
}

fn price(place: Place<'_>) -> PriceSince {
    let members = place.members(&["cents", "fee_basis_points", "model", "since"]);
    let amount = |name: &str, most: u64| {
        let place = members.optional(name)?;
        Some(place.number_within(0, most, "must be a whole number, and is too large or negative"))
    };
    let model = members.optional("model").and_then(|place| place.one_of(&PricingModel::ALL));
    let (cents, fee) = (amount("cents", MAX_CENTS), amount("fee_basis_points", 10_000));
    let price = model.zip(cents).map(|(model, cents)| MeteredPrice {
        model,
        cents,
        fee_basis_points: fee.unwrap_or_default(),
    });
    if price.is_none() && (model.is_some() || cents.is_some() || fee.is_some()) {
        members.wrong("model", "and cents stand together, or neither and no fee");
    }
    let since = members.required("since").number_within(1, u64::MAX, "must be a version, 1 or more");
    PriceSince { since, price }
}

impl CatalogPricesConfig {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As the JSON that it was read from.
impl Serialize for CatalogPricesConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(action, prices)| map.serialize_entry(action, prices))?;
        map.end()
    }
}
