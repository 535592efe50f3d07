//! Points in time, as milliseconds since 1970-01-01T00:00:00Z.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// Milliseconds since the Unix epoch, leap seconds not counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(i64);

/// How far apart the clocks of an issuer and of a gate may be.
pub const CLOCK_SKEW_MS: i64 = 60_000;

const DAY_MS: i64 = 86_400_000;

impl UnixTime {
    /// A time from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        UnixTime(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved by `millis`, which may be negative.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        UnixTime(self.0.saturating_add(millis))
    }

    /// Reads the one form in which passports carry times: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
    /// As all have the same length, their order as text is their order in time.
    pub fn from_iso(text: &str) -> Option<Self> {
        let &[
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T',
            h1,
            h2,
            b':',
            n1,
            n2,
            b':',
            s1,
            s2,
            b'.',
            f1,
            f2,
            f3,
            b'Z',
        ] = text.as_bytes()
        else {
            return None;
        };
        let (year, month, day) = (decimal(&[y1, y2, y3, y4])?, decimal(&[m1, m2])?, decimal(&[d1, d2])?);
        let (hour, minute, second) = (decimal(&[h1, h2])?, decimal(&[n1, n2])?, decimal(&[s1, s2])?);
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let millis = in_range.then(|| {
            // INVARIANT: every factor is bounded above, so no step can overflow.
            let seconds =
                hour.saturating_mul(3600).saturating_add(minute.saturating_mul(60)).saturating_add(second);
            days_from_civil(year, month, day)
                .saturating_mul(DAY_MS)
                .saturating_add(seconds.saturating_mul(1000))
        })?;
        Some(UnixTime(millis.saturating_add(decimal(&[f1, f2, f3])?)))
    }

    /// Reads an RFC 3339 time in UTC (`Z`), with or without a fraction of up to three
    /// digits, as people write them in configurations and on command lines.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let body = text.strip_suffix('Z')?;
        let (seconds, fraction) = body.split_once('.').unwrap_or((body, "000"));
        let is_short = (1..=3).contains(&fraction.len());
        if is_short { Self::from_iso(&format!("{seconds}.{fraction:0<3}Z")) } else { None }
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`, for years 0000 to 9999.
    pub fn to_iso(self) -> String {
        format!("{self}")
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let millis = self.0.rem_euclid(DAY_MS);
        let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
        let (hour, minute, second) =
            (seconds.div_euclid(3600), seconds.div_euclid(60).rem_euclid(60), seconds.rem_euclid(60));
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(i64::from(digit))
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from
/// March, so that a leap day is a year's last.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a year of four digits keeps every step far within 64 bits"
)]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = if month > 2 { month - 3 } else { month + 9 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
#[expect(
    clippy::arithmetic_side_effects,
    reason = "days come from milliseconds in 64 bits, so they leave 26 bits of room"
)]
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
