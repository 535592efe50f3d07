//! What one catalog has changed of another, and what of that is worse for whoever uses it.

use super::permission::Permission;
use super::terms::{PricingModel, Terms};
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// One difference between two catalogs. What does not apply to its kind is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    /// What has changed.
    #[serde(rename = "type")]
    pub kind: ChangeKind,
    /// Of which permission.
    pub permission_key: String,
    /// Whether it is worse for whoever uses it.
    pub breaking: bool,
    /// The price before, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_price_cents: Option<u64>,
    /// The price now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_price_cents: Option<u64>,
    /// What the price was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_pricing_model: Option<PricingModel>,
    /// What it is for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_pricing_model: Option<PricingModel>,
    /// Which term, of those that are numbers and no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<&'static str>,
    /// The term before; left out where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_value: Option<u64>,
    /// The term now; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_value: Option<u64>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Something new is offered.
    PermissionAdded,
    /// Something is offered no more. Breaking.
    PermissionRemoved,
    /// It costs more. Breaking.
    PriceIncrease,
    /// It costs less.
    PriceDecrease,
    /// The price is for something else, and so cannot be compared. Breaking.
    PricingModelChanged,
    /// Another term of the price is worse: fewer free calls, a higher fee. Breaking.
    PricingDegraded,
    /// Another term of the price is better.
    PricingImproved,
    /// Less is promised. Breaking.
    SlaDegraded,
    /// More is promised.
    SlaImproved,
    /// More is asked of passports. Breaking.
    TrustLevelRaised,
    /// Less is asked of passports.
    TrustLevelLowered,
    /// What people are told is another text.
    #[default]
    DescriptionChanged,
}

/// What `new` has changed of `old`, in the order of `old`; what is added comes last.
pub fn changes(old: &[Permission], new: &[Permission]) -> Vec<Change> {
    let mut found = Vec::new();
    for before in old {
        let mut note = |change: Change| found.push(Change { permission_key: before.key.clone(), ..change });
        match new.iter().find(|after| after.key == before.key) {
            None => note(Change::of(ChangeKind::PermissionRemoved)),
            Some(after) => compare(before, after, &mut note),
        }
    }
    let is_new = |after: &&Permission| old.iter().all(|before| before.key != after.key);
    found.extend(new.iter().filter(is_new).map(|after| Change {
        permission_key: after.key.clone(),
        ..Change::of(ChangeKind::PermissionAdded)
    }));
    found
}

fn compare(before: &Permission, after: &Permission, note: &mut impl FnMut(Change)) {
    compare_prices(&before.terms, &after.terms, note);
    for (term, more_is_better, promise) in TERMS {
        let (old, new) = (promise(&before.terms), promise(&after.terms));
        let is_price = matches!(term, FREE_TIER_CALLS | FEE_BASIS_POINTS);
        // What is not stated is the worst that can be: no promise, no free call; but no fee.
        let rank = |value: Option<u64>| match (value, more_is_better) {
            (Some(value), true) => value.saturating_add(1),
            (None, true) => 0,
            (Some(value), false) => value,
            (None, false) if term == FEE_BASIS_POINTS => 0,
            (None, false) => u64::MAX,
        };
        let is_better = (rank(new) > rank(old)) == more_is_better;
        if rank(old) == rank(new) {
            continue;
        }
        let kind = match (is_price, is_better) {
            (true, true) => ChangeKind::PricingImproved,
            (true, false) => ChangeKind::PricingDegraded,
            (false, true) => ChangeKind::SlaImproved,
            (false, false) => ChangeKind::SlaDegraded,
        };
        note(Change { term: Some(term), old_value: old, new_value: new, ..Change::of(kind) });
    }
    if before.min_trust_level != after.min_trust_level {
        let kind = if after.min_trust_level > before.min_trust_level {
            ChangeKind::TrustLevelRaised
        } else {
            ChangeKind::TrustLevelLowered
        };
        let (old, new) = (before.min_trust_level.into(), after.min_trust_level.into());
        note(Change { old_value: Some(old), new_value: Some(new), ..Change::of(kind) });
    }
    let told = |permission: &Permission| {
        (
            permission.display_name.clone(),
            permission.description.clone(),
            permission.risk_level,
            permission.terms.fee_recipient.clone(),
        )
    };
    if told(before) != told(after) {
        note(Change::of(ChangeKind::DescriptionChanged));
    }
}

fn compare_prices(before: &Terms, after: &Terms, note: &mut impl FnMut(Change)) {
    let (old, new) = (before.price, after.price);
    let cents = |price: Option<super::Price>| price.map_or(0, |price| price.cents);
    let (old_cents, new_cents) = (cents(old), cents(new));
    let change =
        Change { old_price_cents: Some(old_cents), new_price_cents: Some(new_cents), ..Change::default() };
    if let (Some(old), Some(new)) = (old, new)
        && old.model != new.model
    {
        note(Change {
            kind: ChangeKind::PricingModelChanged,
            breaking: true,
            old_pricing_model: Some(old.model),
            new_pricing_model: Some(new.model),
            ..change
        });
    } else if new_cents > old_cents {
        note(Change { kind: ChangeKind::PriceIncrease, breaking: true, ..change });
    } else if new_cents < old_cents {
        note(Change { kind: ChangeKind::PriceDecrease, ..change });
    }
}

const FREE_TIER_CALLS: &str = "free_tier_calls";
const FEE_BASIS_POINTS: &str = "fee_basis_points";

/// A number of the terms.
type Promise = fn(&Terms) -> Option<u64>;

/// The terms that are numbers and no price, and whether more of them is better.
const TERMS: [(&str, bool, Promise); 6] = [
    (FREE_TIER_CALLS, true, |terms| terms.free_tier_calls),
    (FEE_BASIS_POINTS, false, |terms| terms.fee_basis_points),
    ("uptime_basis_points", true, |terms| terms.uptime_basis_points),
    ("response_time_ms", false, |terms| terms.response_time_ms),
    ("p99_response_ms", false, |terms| terms.p99_response_ms),
    ("guaranteed_response_ms", false, |terms| terms.guaranteed_response_ms),
];

impl Change {
    fn of(kind: ChangeKind) -> Self {
        Change { kind, breaking: kind.is_breaking(), ..Change::default() }
    }
}

impl ChangeKind {
    fn is_breaking(self) -> bool {
        match self {
            ChangeKind::PermissionRemoved
            | ChangeKind::PriceIncrease
            | ChangeKind::PricingModelChanged
            | ChangeKind::PricingDegraded
            | ChangeKind::SlaDegraded
            | ChangeKind::TrustLevelRaised => true,
            ChangeKind::PermissionAdded
            | ChangeKind::PriceDecrease
            | ChangeKind::PricingImproved
            | ChangeKind::SlaImproved
            | ChangeKind::TrustLevelLowered
            | ChangeKind::DescriptionChanged => false,
        }
    }
}
