//! What a use costs: whole cents, and nothing but integers on the way.

use super::reader::Reader;
use super::{Outcome, ReceiptError};
use crate::attestation::write::number;
use crate::catalog::{Price, PricingModel};
use alloc::string::String;

/// What is agreed for an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// The price.
    pub price: Price,
    /// The platform's part of it, in basis points, at most 10,000.
    pub fee_basis_points: u64,
}

/// What one use costs. It always adds up: [`Charge::of`] alone makes one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charge {
    rate: Rate,
    quantity: u64,
    total_cents: u64,
    fee_cents: u64,
}

/// The largest quantity of one use.
pub const MAX_QUANTITY: u64 = 1_000_000_000;

/// The largest sum, so that whatever reads JSON reads it: 2^53 − 1.
pub(super) const MAX_SUM: u64 = 9_007_199_254_740_991;

/// The largest number that is read: 2^53.
pub(super) const MAX_INTEGER: u64 = MAX_SUM + 1;

/// 100 %.
const ALL: u64 = 10_000;

/// The minutes that have begun in so many milliseconds, one at least: whatever is used has begun.
pub fn minutes(duration_ms: u64) -> u64 {
    duration_ms.div_ceil(60_000).max(1)
}

impl Charge {
    /// What `quantity` costs: calls, minutes, or units, as the price is for. What failed costs
    /// nothing, and neither does a use under a subscription, whose month is charged as a whole.
    /// The fee is rounded up to the next cent, for each use.
    ///
    /// `None` for a quantity above [`MAX_QUANTITY`], a part above the whole, or a sum beyond
    /// 2^53 − 1.
    pub fn of(rate: Rate, outcome: Outcome, quantity: u64) -> Option<Self> {
        if quantity > MAX_QUANTITY || rate.fee_basis_points > ALL {
            return None;
        }
        let is_free = !outcome.is_charged() || rate.price.model == PricingModel::Subscription;
        let total_cents = if is_free { 0 } else { rate.price.cents.checked_mul(quantity)? };
        if total_cents > MAX_SUM {
            return None;
        }
        Some(Charge { rate, quantity, total_cents, fee_cents: rate.fee_of(total_cents) })
    }

    /// The price, and the platform's part.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Calls, minutes or units.
    pub fn quantity(&self) -> u64 {
        self.quantity
    }

    /// The whole, in cents.
    pub fn total_cents(&self) -> u64 {
        self.total_cents
    }

    /// The platform's part of it, in cents.
    pub fn fee_cents(&self) -> u64 {
        self.fee_cents
    }

    /// Writes the member `charge`, with its comma.
    pub(super) fn write(self, out: &mut String) {
        number(out, ",\"charge\":{\"currency\":\"USD\",\"fee_basis_points\":", self.rate.fee_basis_points);
        out.push_str(",\"model\":\"");
        out.push_str(self.rate.price.model.name());
        number(out, "\",\"platform_fee_cents\":", self.fee_cents);
        number(out, ",\"quantity\":", self.quantity);
        number(out, ",\"total_cents\":", self.total_cents);
        number(out, ",\"unit_cents\":", self.rate.price.cents);
        out.push('}');
    }
}

/// What a text states of a charge.
pub(super) struct Stated {
    rate: Rate,
    quantity: u64,
    total_cents: u64,
    fee_cents: u64,
}

impl Stated {
    /// Reads the member `charge`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ReceiptError> {
        reader.member("charge.currency", ",\"charge\":{\"currency\":")?.past("\"USD\"")?;
        let number = |reader: &mut Reader<'_>, name, before| reader.member(name, before)?.number(MAX_INTEGER);
        let fee_basis_points = number(reader, "charge.fee_basis_points", ",\"fee_basis_points\":")?;
        let model = reader.member("charge.model", ",\"model\":")?.named(PricingModel::named)?;
        let fee_cents = number(reader, "charge.platform_fee_cents", ",\"platform_fee_cents\":")?;
        let quantity = number(reader, "charge.quantity", ",\"quantity\":")?;
        let total_cents = number(reader, "charge.total_cents", ",\"total_cents\":")?;
        let cents = number(reader, "charge.unit_cents", ",\"unit_cents\":")?;
        reader.past("}")?;
        let rate = Rate { price: Price { model, cents }, fee_basis_points };
        Ok(Stated { rate, quantity, total_cents, fee_cents })
    }

    /// Reckons it again.
    pub(super) fn hold(self, outcome: Outcome) -> Result<Charge, ReceiptError> {
        let charge = Charge::of(self.rate, outcome, self.quantity);
        charge
            .filter(|charge| charge.total_cents == self.total_cents && charge.fee_cents == self.fee_cents)
            .ok_or(ReceiptError::ChargeWrong)
    }
}

impl Rate {
    /// The platform's part of so many cents, a begun cent counted whole.
    pub fn fee_of(self, cents: u64) -> u64 {
        // In two parts, as the whole product may be more than 64 bits hold.
        let points = self.fee_basis_points.min(ALL);
        let (whole, rest) = (cents / ALL, cents % ALL);
        whole.saturating_mul(points).saturating_add(rest.saturating_mul(points).div_ceil(ALL))
    }
}
