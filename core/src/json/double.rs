//! The double that is nearest to a decimal.
//!
//! `core` knows it too, with a table of 10 KB that makes hard cases fast. They are rare
//! here, so they are done with long division, and the plugin's file goes without the table.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The double nearest to a number's text, which follows the grammar of RFC 8259 section 6:
/// of two that are equally near the even one (IEEE 754 section 4.3.1), an infinity where
/// the text is beyond all doubles.
pub(super) fn nearest(text: &str) -> f64 {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, power(exponent)),
        None => (text, 0),
    };
    let after_point = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exponent = exponent.saturating_sub(i64::try_from(after_point).unwrap_or(i64::MAX));
    let magnitude = in_one_step(digits, exponent).unwrap_or_else(|| in_full(digits, exponent));
    if text.starts_with('-') { -magnitude } else { magnitude }
}

/// An exponent's value, within what 64 bits hold: no text is long enough to make up for more.
fn power(text: &str) -> i64 {
    let magnitude =
        decimals(text).fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(digit.into()));
    if text.starts_with('-') { magnitude.saturating_neg() } else { magnitude }
}

/// The digits in a text, each as its value.
fn decimals(text: &str) -> impl Iterator<Item = u8> + Clone {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte & 0xf)
}

/// The digits from the first one on that is not zero.
fn significant(text: &str) -> impl Iterator<Item = u8> + Clone {
    decimals(text).skip_while(|digit| *digit == 0)
}

/// `digits` × 10^`exponent` where both factors are doubles, so that only the product, or the
/// quotient, is rounded. All but a few texts that people write are of that kind.
fn in_one_step(digits: &str, exponent: i64) -> Option<f64> {
    // 5^22 is the last power of five below 2^53.
    const EXACT: u64 = 22;
    let steps = exponent.unsigned_abs();
    let mantissa = significant(digits)
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(digit.into()))
        .filter(|value| *value <= 1 << f64::MANTISSA_DIGITS && steps <= EXACT)?;
    let power = (0..steps).fold(1.0, |power, _| power * 10.0);
    #[expect(clippy::cast_precision_loss, reason = "within 2^53, so exact")]
    let mantissa = mantissa as f64;
    Some(if exponent < 0 { mantissa / power } else { mantissa * power })
}

/// `digits` × 10^`exponent`, whatever they are, as a quotient of two natural numbers of at
/// most 4,000 bits.
fn in_full(digits: &str, exponent: i64) -> f64 {
    // Halfway between two doubles lie decimals of up to 768 digits. What follows more than
    // that many says only whether it is more than nothing, which one more digit says too.
    const TELLING: usize = 800;
    let significant = significant(digits);
    let count = significant.clone().count();
    let size = exponent.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    // Below 10^`size`, and at least a tenth of it: the largest double is below 10^309, half
    // of the smallest above 10^-324.
    if count == 0 || size < -323 {
        return 0.0;
    }
    if size > 309 {
        return f64::INFINITY;
    }
    let more = significant.clone().skip(TELLING).any(|digit| digit > 0);
    let last = (count > TELLING).then_some(u8::from(more));
    let kept = count.min(TELLING.saturating_add(1));
    let exponent = size.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));

    let mut dividend = Natural(Vec::new());
    for digit in significant.take(TELLING).chain(last) {
        dividend.scale(10, digit.into());
    }
    let mut divisor = Natural(vec![1]);
    // 10^n is 5^n × 2^n, and powers of two are the double's own.
    let scaled = if exponent < 0 { &mut divisor } else { &mut dividend };
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        // 5^13 is the last power of five below 2^32.
        let step = left.min(13);
        scaled.scale((0..step).fold(1, |power: u32, _| power.wrapping_mul(5)), 0);
        left = left.saturating_sub(step);
    }
    dividend.divided_by(divisor, exponent)
}

/// A natural number in base 2^32, the lowest digit first.
struct Natural(Vec<u32>);

impl Natural {
    /// Multiplies by `factor` and adds `more`.
    fn scale(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for digit in &mut self.0 {
            // At most (2^32 - 1)^2 + 2^32 - 1.
            let wide = u64::from(*digit).wrapping_mul(factor.into()).wrapping_add(carry);
            *digit = low(wide);
            carry = wide >> 32;
        }
        if carry > 0 {
            self.0.push(low(carry));
        }
    }

    /// How many bits it takes to write the number.
    fn bits(&self) -> u32 {
        let below = self.0.len().saturating_sub(1).saturating_mul(32);
        let highest = self.0.last().map_or(0, |digit| digit.ilog2().saturating_add(1));
        u32::try_from(below).unwrap_or(u32::MAX).saturating_add(highest)
    }

    /// The number times the power of two that makes it `bits` long, which must be no fewer
    /// than it has.
    fn raised_to(mut self, bits: u32) -> Vec<u32> {
        let shift = bits.saturating_sub(self.bits());
        self.scale(1 << (shift % 32), 0);
        let mut raised = vec![0; usize::try_from(shift / 32).unwrap_or_default()];
        raised.append(&mut self.0);
        raised
    }

    /// The double nearest to this number, divided by `divisor`, times 2^`exponent`.
    fn divided_by(self, divisor: Self, exponent: i64) -> f64 {
        let own = self.bits();
        let others = divisor.bits();
        // Of equal length, the one is at least half of the other and less than twice as much.
        let length = own.max(others).next_multiple_of(32);
        let mut remainder = self.raised_to(length);
        let divisor = divisor.raised_to(length);
        let mut exponent = exponent.saturating_add(own.into()).saturating_sub(others.into());
        let below_one = remainder.iter().rev().cmp(divisor.iter().rev()) == Ordering::Less;
        if !below_one {
            subtract(&mut remainder, &divisor, 1);
        }
        let high = next_digit(&mut remainder, &divisor);
        let low = next_digit(&mut remainder, &divisor);
        let fraction = u64::from(high) << 32 | u64::from(low);
        let mut inexact = remainder.iter().any(|digit| *digit > 0);
        // The quotient's first 64 bits, of which the first is set.
        let quotient = if below_one {
            exponent = exponent.saturating_sub(1);
            fraction
        } else {
            inexact |= fraction & 1 > 0;
            1 << 63 | fraction >> 1
        };
        rounded(quotient, inexact, exponent)
    }
}

/// The next digit of a quotient: of `remainder` × 2^32 by `divisor`, which is larger than
/// `remainder`, as long, and has its highest bit set (Knuth, TAOCP 4.3.1, algorithm D).
fn next_digit(remainder: &mut Vec<u32>, divisor: &[u32]) -> u32 {
    remainder.insert(0, 0);
    let mut highest = remainder.iter().rev().copied().map(u64::from);
    let two = highest.next().unwrap_or_default() << 32 | highest.next().unwrap_or_default();
    let estimate = two.checked_div(divisor.last().copied().unwrap_or_default().into());
    // Never too small, and too large by two at most.
    let mut digit = u32::try_from(estimate.unwrap_or_default()).unwrap_or(u32::MAX);
    let mut below_zero = subtract(remainder, divisor, digit);
    while below_zero {
        digit = digit.wrapping_sub(1);
        below_zero = !add(remainder, divisor);
    }
    // Less than the divisor again, so zero.
    remainder.pop();
    digit
}

/// Takes `factor` × `other` off `from`, which may be a digit longer; whether that went below
/// zero, and so around.
fn subtract(from: &mut [u32], other: &[u32], factor: u32) -> bool {
    let mut borrow = 0_u64;
    for (digit, other) in from.iter_mut().zip(other.iter().chain(&[0])) {
        let wide = u64::from(*other).wrapping_mul(factor.into()).wrapping_add(borrow);
        let (difference, below) = digit.overflowing_sub(low(wide));
        *digit = difference;
        borrow = (wide >> 32).wrapping_add(below.into());
    }
    borrow > 0
}

/// Adds `other` to `to`, which is a digit longer; whether that went around.
fn add(to: &mut [u32], other: &[u32]) -> bool {
    let mut carry = 0_u64;
    for (digit, other) in to.iter_mut().zip(other.iter().chain(&[0])) {
        let wide = u64::from(*digit).wrapping_add((*other).into()).wrapping_add(carry);
        *digit = low(wide);
        carry = wide >> 32;
    }
    carry > 0
}

/// The double nearest to `quotient` × 2^(`exponent` - 63), or to a little more where that is
/// `inexact`. The highest bit of `quotient` is set.
fn rounded(quotient: u64, inexact: bool, exponent: i64) -> f64 {
    // IEEE 754 section 3.4: exponents of normal doubles, and what their field adds to them.
    const LEAST: i64 = -1022;
    const BIAS: i64 = 1023;
    if exponent > BIAS {
        return f64::INFINITY;
    }
    // Below the least exponent each step takes a bit of precision.
    let lost = LEAST.saturating_sub(exponent).max(0);
    let Some(precision) = u32::try_from(lost).ok().and_then(|lost| f64::MANTISSA_DIGITS.checked_sub(lost))
    else {
        return 0.0;
    };
    let kept = quotient.checked_shr(u64::BITS.saturating_sub(precision)).unwrap_or(0);
    let up = match (quotient << precision).cmp(&(1 << 63)) {
        Ordering::Less => false,
        Ordering::Equal => inexact || kept & 1 > 0,
        Ordering::Greater => true,
    };
    // A normal double's first bit is not written: it adds one to the field of the exponent,
    // as a carry out of the mantissa does.
    let field = u64::try_from(exponent.saturating_add(BIAS).saturating_sub(1)).unwrap_or(0);
    f64::from_bits((field << 52).wrapping_add(kept).wrapping_add(up.into()))
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "what it is for")]
fn low(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that cannot go on fails")]
mod tests {
    use super::nearest;
    use alloc::format;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    /// Compares with `core`'s own reading, bit by bit.
    fn check(text: &str) {
        let expected: f64 = text.parse().expect(text);
        assert_eq!(nearest(text).to_bits(), expected.to_bits(), "{text}");
        let negative = format!("-{text}");
        assert_eq!(nearest(&negative).to_bits(), (-expected).to_bits(), "{negative}");
    }

    /// The decimal that is exactly halfway between a double and the next one up.
    fn halfway(below: f64) -> String {
        // Added digit by digit, as the sum of both is no double.
        let digits = |value: f64| format!("{value:.1074}");
        let (low, high) = (digits(below), digits(below.next_up()));
        let mut carry = 0;
        let mut sum: alloc::vec::Vec<u8> = low
            .bytes()
            .rev()
            .zip(high.bytes().rev().chain(core::iter::repeat(b'0')))
            .map(|(left, right)| {
                if left == b'.' {
                    return left;
                }
                let digit = (left & 0xf) + (right & 0xf) + carry;
                carry = digit / 10;
                b'0' + digit % 10
            })
            .collect();
        sum.push(b'0' + carry);
        sum.reverse();
        // Half of it, digit by digit.
        let mut rest = 0;
        let mut half: String = sum
            .iter()
            .map(|digit| {
                if *digit == b'.' {
                    return '.';
                }
                let whole = rest * 10 + (digit & 0xf);
                rest = whole % 2;
                char::from(b'0' + whole / 2)
            })
            .collect();
        if rest > 0 {
            half.push('5');
        }
        half
    }

    #[test]
    fn decimals_at_the_ends_of_the_doubles_are_read_to_the_last_bit() {
        for text in [
            "0",
            "0.000",
            "0e999999999999999999999999",
            "1e-999999999999999999999999",
            "1e999999999999999999999999",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880e0",
            "9e309",
            "1e310",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "2.225073858507201136057409796709131975934819546351645648e-308",
            "4.9406564584124654e-324",
            "2.4703282292062327208e-324",
            "2.4703282292062328e-324",
            "2.5e-324",
            "1e-324",
            "9e-324",
            "9007199254740993",
            "9007199254740992.5",
            "9007199254740993.0000000000000000000000000000001",
            "1e22",
            "1e23",
            "8.5e-22",
            "123456789012345678901234567890",
            "18446744073709551616",
        ] {
            check(text);
        }
        // More zeros than any exponent of a double, made up for by the text's own.
        check(&format!("0.{}1e1001", "0".repeat(1000)));
        check(&format!("1{}e-1000", "0".repeat(1000)));
    }

    #[test]
    fn what_lies_halfway_goes_to_the_even_double_and_a_digit_further_on_decides() {
        let largest_subnormal = f64::MIN_POSITIVE.next_down();
        for below in [0.0, 5e-324, largest_subnormal, f64::MIN_POSITIVE, 0.1, 1.0, 1e15, 1e22, 1e300] {
            let half = halfway(below);
            check(&half);
            check(&format!("{half}{}1", "0".repeat(500)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn decimals_are_read_as_core_reads_them(text in r"(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?(e[-+]?[0-9]{1,3})?") {
            check(&text);
        }

        #[test]
        fn doubles_come_back_from_their_shortest_text_and_from_all_their_digits(bits in any::<u64>()) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite());
            check(&value.to_string());
            check(&format!("{value:e}"));
            check(&format!("{value:.17e}"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn halves_between_doubles_are_read_as_core_reads_them(bits in any::<u64>(), last in "[0-9]{0,3}") {
            let below = f64::from_bits(bits & !(1 << 63));
            prop_assume!(below.is_finite() && below.next_up().is_finite());
            check(&format!("{}{last}", halfway(below)));
        }

        #[test]
        fn long_decimals_are_read_as_core_reads_them(text in r"[1-9][0-9]{700,900}", power in -1300_i64..=10) {
            check(&format!("{text}e{power}"));
        }
    }
}
