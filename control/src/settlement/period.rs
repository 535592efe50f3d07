//! Periods of settlements: whole days, weeks and months of UTC, from a first day to a last.

use crate::error::{ApiError, ApiResult};
use portcullis_core::UnixTime;
use serde::Deserialize;
use utoipa::ToSchema;

/// How long a period is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeriodType {
    /// One day.
    Daily,
    /// Seven days from a Monday (ISO 8601).
    Weekly,
    /// A calendar month.
    Monthly,
}

/// A period: the first day, and the last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Period {
    /// How long it is.
    pub of: PeriodType,
    /// The first day, `YYYY-MM-DD`.
    pub start: String,
    /// The last day, `YYYY-MM-DD`.
    pub end: String,
    /// The first moment, in milliseconds since 1970.
    pub begins_at: i64,
    /// The first moment that is no part of it.
    pub ends_at: i64,
}

pub(crate) const DAY_MS: i64 = 86_400_000;

impl PeriodType {
    /// All of them, with their names.
    const ALL: [(&'static str, PeriodType); 3] =
        [("daily", PeriodType::Daily), ("weekly", PeriodType::Weekly), ("monthly", PeriodType::Monthly)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PeriodType::Daily => "daily",
            PeriodType::Weekly => "weekly",
            PeriodType::Monthly => "monthly",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, one)| *one)
    }
}

impl Period {
    /// The period of these days.
    ///
    /// # Errors
    /// 422 for what is no date, and for days that make no such period.
    pub fn new(of: PeriodType, start: &str, end: &str) -> ApiResult<Self> {
        let begins_at = day("period_start", start)?;
        let last = day("period_end", end)?;
        let wrong = |field, problem: String| Err(ApiError::invalid(field, problem));
        let last_wanted = match of {
            PeriodType::Daily => begins_at,
            PeriodType::Weekly => {
                // 1970 began on a Thursday.
                if begins_at.div_euclid(DAY_MS).saturating_add(3).rem_euclid(7) != 0 {
                    return wrong("period_start", format!("{start} is no Monday: weeks begin with one"));
                }
                begins_at.saturating_add(DAY_MS.saturating_mul(6))
            }
            PeriodType::Monthly => {
                if !start.ends_with("-01") {
                    return wrong("period_start", format!("{start} is not the first day of a month"));
                }
                next_month(begins_at).saturating_sub(DAY_MS)
            }
        };
        if last != last_wanted {
            let name = of.name();
            let wanted = date(last_wanted);
            return wrong(
                "period_end",
                format!("must be {wanted}, the last day of the {name} period from {start} on"),
            );
        }
        Ok(Period {
            of,
            start: start.to_owned(),
            end: end.to_owned(),
            begins_at,
            ends_at: last.saturating_add(DAY_MS),
        })
    }

    /// That it is over at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// 422 naming `period_end`.
    pub fn must_be_over(&self, now: i64) -> ApiResult<()> {
        if self.ends_at <= now {
            return Ok(());
        }
        let (end, over) = (&self.end, date(self.ends_at));
        let problem = format!("{end} is not over: it can be settled from {over} on, at 00:00 UTC");
        Err(ApiError::invalid("period_end", problem))
    }
}

/// The first moment of a day, in milliseconds since 1970.
///
/// # Errors
/// 422 for what is no date as `2026-01-31`.
pub fn day(field: &str, text: &str) -> ApiResult<i64> {
    let time = (text.len() == 10).then(|| UnixTime::from_rfc3339(&format!("{text}T00:00:00Z"))).flatten();
    Ok(time.ok_or_else(|| ApiError::invalid(field, "must be a date as 2026-01-31"))?.as_millis())
}

/// The day of a time, `YYYY-MM-DD`.
pub(crate) fn date(at: i64) -> String {
    UnixTime::from_millis(at).to_iso().chars().take(10).collect()
}

/// The first moment of the month of a time.
fn month_of(at: i64) -> i64 {
    let month: String = UnixTime::from_millis(at).to_iso().chars().take(7).collect();
    // INVARIANT: any month that is written so begins.
    UnixTime::from_rfc3339(&format!("{month}-01T00:00:00Z")).map_or(at, UnixTime::as_millis)
}

/// The first moment of the month after that of a time.
fn next_month(at: i64) -> i64 {
    // From the first of a month it is 28 to 31 days to the next.
    month_of(month_of(at).saturating_add(DAY_MS.saturating_mul(31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(of: PeriodType, start: &str, end: &str) -> Option<String> {
        Period::new(of, start, end).err().and_then(|error| error.field)
    }

    #[test]
    fn a_period_is_a_whole_day_week_or_month() {
        for (of, start, end, days) in [
            (PeriodType::Daily, "2026-02-28", "2026-02-28", 1),
            (PeriodType::Weekly, "2026-02-23", "2026-03-01", 7),
            (PeriodType::Monthly, "2026-02-01", "2026-02-28", 28),
            (PeriodType::Monthly, "2028-02-01", "2028-02-29", 29),
            (PeriodType::Monthly, "2026-12-01", "2026-12-31", 31),
        ] {
            let period = Period::new(of, start, end).unwrap();
            assert_eq!((period.ends_at - period.begins_at) / DAY_MS, days, "{start}");
            assert!(period.must_be_over(period.ends_at).is_ok());
            assert_eq!(
                period.must_be_over(period.ends_at - 1).unwrap_err().field.as_deref(),
                Some("period_end")
            );
        }
        for (of, start, end, wrong) in [
            (PeriodType::Daily, "2026-02-28", "2026-03-01", "period_end"),
            (PeriodType::Weekly, "2026-02-24", "2026-03-02", "period_start"),
            (PeriodType::Weekly, "2026-02-23", "2026-03-02", "period_end"),
            (PeriodType::Monthly, "2026-02-02", "2026-02-28", "period_start"),
            (PeriodType::Monthly, "2026-02-01", "2026-03-01", "period_end"),
            (PeriodType::Monthly, "2026-02-01", "2026-03-31", "period_end"),
            (PeriodType::Daily, "2026-02-30", "2026-02-30", "period_start"),
            (PeriodType::Daily, "2026-02-28", "28.2.2026", "period_end"),
            (PeriodType::Daily, "2026-02-28T", "2026-02-28", "period_start"),
        ] {
            assert_eq!(field(of, start, end).as_deref(), Some(wrong), "{start} to {end}");
        }
    }
}
