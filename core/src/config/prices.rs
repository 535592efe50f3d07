//! What a gate's catalogs ask for each action, which the control service alone sets.

use super::read::Place;
use crate::catalog::{MAX_CENTS, Price, PricingModel};
use crate::receipt::Rate;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// `catalog_prices`: by action, its prices in the order of the versions from which on they hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CatalogPricesConfig(pub Vec<(String, Vec<PriceSince>)>);

/// The price of an action from a version of the catalog on, until that of the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PriceSince {
    /// The version, 1 or more.
    pub since: u64,
    /// What it costs; `None` where the version states no price, or does not offer it.
    pub rate: Option<Rate>,
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
    let rate = model.zip(cents).map(|(model, cents)| Rate {
        price: Price { model, cents },
        fee_basis_points: fee.unwrap_or_default(),
    });
    if rate.is_none() && (model.is_some() || cents.is_some() || fee.is_some()) {
        members.wrong("model", "and cents stand together, or neither and no fee");
    }
    let since = members.required("since").number_within(1, u64::MAX, "must be a version, 1 or more");
    PriceSince { since, rate }
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

impl Serialize for PriceSince {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("since", &self.since)?;
        if let Some(rate) = self.rate {
            map.serialize_entry("model", rate.price.model.name())?;
            map.serialize_entry("cents", &rate.price.cents)?;
            map.serialize_entry("fee_basis_points", &rate.fee_basis_points)?;
        }
        map.end()
    }
}
