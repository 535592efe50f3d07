//! What something costs, and what its provider promises: the recorded terms of the
//! vocabulary `core:<category>:<name>`.

use super::permission::text;
use crate::config::Place;
use crate::json::{Object, Value};
use crate::live::{owned, whole};
use alloc::format;
use alloc::string::String;
use serde::Serialize;

/// Prices and service levels. What is left out is not promised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// What it costs. Left out: no price is stated, and nobody finds it by a price.
    pub price: Option<Price>,
    /// How many calls are free.
    pub free_tier_calls: Option<u64>,
    /// The part of the time in which it is there, in basis points: 9990 is 99.9 %.
    pub uptime_basis_points: Option<u64>,
    /// How long an answer takes at most as a rule, in milliseconds.
    pub response_time_ms: Option<u64>,
    /// How long 99 of 100 answers take at most, in milliseconds.
    pub p99_response_ms: Option<u64>,
    /// How long every answer takes at most, in milliseconds.
    pub guaranteed_response_ms: Option<u64>,
    /// The platform's part of the price, in basis points.
    pub fee_basis_points: Option<u64>,
    /// Who gets that.
    pub fee_recipient: Option<String>,
}

/// A price.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Price {
    /// What it is for.
    pub model: PricingModel,
    /// How much, in whole cents of US dollars, at most [`MAX_CENTS`].
    pub cents: u64,
}

/// What a price is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingModel {
    /// A call.
    PerCall,
    /// A minute that has begun.
    PerMinute,
    /// A month, however much is used.
    Subscription,
    /// A unit of what was used, as the provider counts it.
    Usage,
}

/// The highest price, a thousand million dollars: ninety thousand times that is a sum that
/// JSON holds (2^53), and any higher price is a slip of the pen.
pub const MAX_CENTS: u64 = 100_000_000_000;

/// A day. What takes longer is promised by nobody in milliseconds.
const MAX_MILLIS: u64 = 86_400_000;

/// 100 %.
const ALL: u64 = 10_000;

const PER_CALL: &str = "core:pricing:per_call_cents";
const PER_MINUTE: &str = "core:pricing:per_minute_cents";
const SUBSCRIPTION: &str = "core:pricing:subscription_cents";
const MODEL: &str = "core:pricing:model";
const CURRENCY: &str = "core:pricing:currency";
const FREE_TIER: &str = "core:pricing:free_tier_calls";
const UPTIME: &str = "core:sla:uptime_basis_points";
const RESPONSE_TIME: &str = "core:sla:response_time_ms";
const P99: &str = "core:sla:p99_response_ms";
const GUARANTEED: &str = "core:sla:guaranteed_response_ms";
const FEE: &str = "core:platform_fee:basis_points";
const RECIPIENT: &str = "core:platform_fee:recipient";

const KNOWN: [&str; 12] = [
    FEE,
    RECIPIENT,
    CURRENCY,
    FREE_TIER,
    MODEL,
    PER_CALL,
    PER_MINUTE,
    SUBSCRIPTION,
    GUARANTEED,
    P99,
    RESPONSE_TIME,
    UPTIME,
];

impl PricingModel {
    /// All of them, with their names.
    pub const ALL: [(&'static str, PricingModel); 4] = [
        ("per_call", PricingModel::PerCall),
        ("per_minute", PricingModel::PerMinute),
        ("subscription", PricingModel::Subscription),
        ("usage", PricingModel::Usage),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PricingModel::PerCall => "per_call",
            PricingModel::PerMinute => "per_minute",
            PricingModel::Subscription => "subscription",
            PricingModel::Usage => "usage",
        }
    }

    /// The model of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, model)| *model)
    }

    /// The member that has its price.
    fn member(self) -> &'static str {
        match self {
            PricingModel::PerCall | PricingModel::Usage => PER_CALL,
            PricingModel::PerMinute => PER_MINUTE,
            PricingModel::Subscription => SUBSCRIPTION,
        }
    }
}

impl Terms {
    /// Reads them. There is one price at most, that of the model; with a price and no model,
    /// the model is the price's. Amounts are whole numbers, and in US dollars.
    pub(super) fn read(place: Place<'_>) -> Self {
        let members = place.members(&KNOWN);
        let amount = |name: &str, min: u64, max: u64| {
            let problem = format!("must be a whole number from {min} to {max}");
            members.optional(name).map(|place| place.number_within(min, max, &problem))
        };
        if let Some(place) = members.optional(CURRENCY) {
            place.read_text(|text| (text == "USD").then_some(()), "must be USD: all amounts are cents of it");
        }
        let model = members.optional(MODEL).and_then(|place| place.one_of(&PricingModel::ALL));
        let mut price = None;
        for by_itself in [PricingModel::PerCall, PricingModel::PerMinute, PricingModel::Subscription] {
            let Some(cents) = amount(by_itself.member(), 0, MAX_CENTS) else { continue };
            let model = model.unwrap_or(by_itself);
            if price.is_some() || model.member() != by_itself.member() {
                let problem = "is a price of another model: state the one price of the model";
                members.wrong(by_itself.member(), problem);
            }
            price = Some(Price { model, cents });
        }
        if let (Some(model), None) = (model, price) {
            members.wrong(model.member(), &format!("is missing: the model is {}", model.name()));
        }
        Terms {
            price,
            free_tier_calls: amount(FREE_TIER, 0, MAX_CENTS),
            uptime_basis_points: amount(UPTIME, 0, ALL),
            response_time_ms: amount(RESPONSE_TIME, 1, MAX_MILLIS),
            p99_response_ms: amount(P99, 1, MAX_MILLIS),
            guaranteed_response_ms: amount(GUARANTEED, 1, MAX_MILLIS),
            fee_basis_points: amount(FEE, 0, ALL),
            fee_recipient: members.optional(RECIPIENT).map(|place| text(&place, 1, 256)),
        }
    }

    pub(super) fn to_value(&self) -> Value<'static> {
        let mut object = Object::default();
        if let Some(price) = self.price {
            object.set(MODEL, owned(price.model.name()));
            object.set(price.model.member(), whole(price.cents));
            object.set(CURRENCY, owned("USD"));
        }
        for (name, number) in [
            (FREE_TIER, self.free_tier_calls),
            (UPTIME, self.uptime_basis_points),
            (RESPONSE_TIME, self.response_time_ms),
            (P99, self.p99_response_ms),
            (GUARANTEED, self.guaranteed_response_ms),
            (FEE, self.fee_basis_points),
        ] {
            if let Some(number) = number {
                object.set(name, whole(number));
            }
        }
        if let Some(recipient) = &self.fee_recipient {
            object.set(RECIPIENT, owned(recipient));
        }
        object.into()
    }
}
