//! Medians and spread of a few measurements.

/// What one variant's rounds came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle value.
    pub(crate) median: f64,
    /// The lower quartile.
    pub(crate) low: f64,
    /// The upper quartile.
    pub(crate) high: f64,
}

impl Spread {
    /// Quartiles by nearest rank; of no values, NaN, which holds no bar.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let quarter = |quarters: usize| {
            let last = sorted.len().saturating_sub(1);
            let rank = last.saturating_mul(quarters).saturating_add(2) / 4;
            sorted.get(rank).copied().unwrap_or(f64::NAN)
        };
        Self { median: quarter(2), low: quarter(1), high: quarter(3) }
    }

    /// The spread of `values` divided by `base`, round by round: what disturbs
    /// a round disturbs both alike.
    pub(crate) fn of_ratios(values: &[f64], base: &[f64]) -> Self {
        Self::of(values.iter().zip(base).map(|(value, base)| value / base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_values_that_were_measured() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 3.0, 4.0));
        assert_eq!(Spread::of([7.0]).median, 7.0);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let spread = Spread::of_ratios(&[2.0, 20.0, 200.0], &[1.0, 10.0, 100.0]);
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn nothing_measured_is_no_number() {
        assert!(Spread::of([]).median.is_nan());
    }
}
