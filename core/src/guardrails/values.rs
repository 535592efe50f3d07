//! Reading the values of guardrails.

use super::spend::Window;
use crate::json::{Object, Value, canonical_text};
use crate::reason::Reason;
use crate::time::UnixTime;
use crate::trust::is_action;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is wrong with a value: whether it cannot be read or cannot be judged, and why.
pub(super) type Problem = (Reason, &'static str);

/// A span of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Span {
    /// From a moment until before another.
    Once { from: UnixTime, until: UnixTime },
    /// From a time of day until before another, in milliseconds, of days that are bits from
    /// Monday on; past midnight where the end is not later. All in a clock that is `ahead`
    /// of UTC by so many milliseconds.
    Daily { from: i64, until: i64, days: u8, ahead: i64 },
}

/// More than anybody writes by hand; each is compared with each request.
const MOST_ENTRIES: usize = 1000;

#[cold]
pub(super) fn unreadable<T>(problem: &'static str) -> Result<T, Problem> {
    Err((Reason::ConstraintUnknown, problem))
}

pub(super) fn whole(value: &Value<'_>) -> Result<u64, Problem> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.map_or_else(|| unreadable("must be a whole number, not negative"), Ok)
}

/// Cents from dollars as they are written: digits, and at most two behind a point. Numbers
/// are read by their canonical text, so that no arithmetic rounds them.
pub(super) fn cents_of_usd(value: &Value<'_>) -> Result<u64, Problem> {
    let written;
    let text = match value {
        Value::String(text) => text.strip_prefix('$').unwrap_or(text),
        Value::Number(_) => {
            written = canonical_text(value);
            &written
        }
        _ => "",
    };
    let (dollars, cents) = text.split_once('.').unwrap_or((text, "00"));
    let pad = if cents.len() == 1 { "0" } else { "" };
    // 15 digits are less than 2^53.
    let is_amount = (1..=13).contains(&dollars.len())
        && (1..=2).contains(&cents.len())
        && [dollars, cents].concat().bytes().all(|byte| byte.is_ascii_digit());
    let amount = if is_amount { [dollars, cents, pad].concat().parse().ok() } else { None };
    amount.map_or_else(|| unreadable("must be dollars with at most two decimals"), Ok)
}

/// `daily`, or `30d` for so many days back.
pub(super) fn window(value: &Value<'_>) -> Result<Window, Problem> {
    let text = value.as_str().unwrap_or_default();
    let days = text.strip_suffix('d').filter(|days| days.bytes().all(|byte| byte.is_ascii_digit()));
    match days.and_then(|days| u16::try_from(days.parse::<u64>().ok()?).ok()) {
        _ if text == "daily" => Ok(Window::Daily),
        Some(days @ 1..=Window::MOST_DAYS) => Ok(Window::Rolling(days)),
        _ => unreadable("must be daily, or a number of days such as 30d, 366d at most"),
    }
}

/// Texts that all pass `is_good`; one text may hold several with commas between.
fn texts(value: &Value<'_>, is_good: fn(&str) -> bool, form: &'static str) -> Result<Vec<String>, Problem> {
    let mut listed = Vec::new();
    match value {
        Value::String(text) => listed.extend(text.split(',').map(str::trim)),
        Value::Array(entries) => {
            for entry in entries {
                listed.push(entry.as_str().unwrap_or_default());
            }
        }
        _ => return unreadable("must be a list of texts"),
    }
    if listed.len() > MOST_ENTRIES || !listed.iter().all(|text| is_good(text)) {
        return unreadable(form);
    }
    Ok(listed.into_iter().map(ToString::to_string).collect())
}

/// Names of hosts; they are compared in lower case.
pub(super) fn domains(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    let is_host = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    let mut hosts = texts(value, is_host, "must list at most 1000 hosts, each by its whole name")?;
    for host in &mut hosts {
        host.make_ascii_lowercase();
    }
    Ok(hosts)
}

/// Whether `text` is an action, `ns:*`, or `*`.
pub(super) fn is_action_pattern(text: &str) -> bool {
    match text.strip_suffix('*') {
        Some(namespace) => namespace.is_empty() || (namespace.ends_with(':') && is_action(namespace)),
        None => is_action(text),
    }
}

pub(super) fn actions(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    texts(value, is_action_pattern, "must list at most 1000 actions, or namespaces as ns:*")
}

pub(super) fn paths(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    let is_path = |text: &str| {
        let path = text.strip_suffix("/*").map_or(text, |above| if above.is_empty() { "/" } else { above });
        path.starts_with('/') && !path.contains(['*', '%', ';', '?', '#', '\\'])
    };
    texts(value, is_path, "must list at most 1000 decoded paths, or all below one as /ns/*")
}

pub(super) fn names(value: &Value<'_>) -> Result<Vec<String>, Problem> {
    texts(value, |text| !text.is_empty(), "must list at most 1000 names")
}

/// One span, or a list of them.
pub(super) fn spans(value: &Value<'_>) -> Result<Vec<Span>, Problem> {
    let alone = [value];
    let mut listed = Vec::new();
    match value {
        Value::Array(entries) => listed.extend(entries.iter()),
        _ => listed.extend(alone),
    }
    if listed.len() > MOST_ENTRIES {
        return unreadable("must have at most 1000 spans");
    }
    let mut spans = Vec::with_capacity(listed.len());
    for value in listed {
        let known = |(name, _): (&str, _)| ["days", "end", "start", "timezone"].contains(&name);
        match value.as_object().filter(|object| object.iter().all(known)) {
            Some(object) => spans.push(span(object)?),
            None => return unreadable("must be objects of start, end, timezone and days"),
        }
    }
    Ok(spans)
}

fn span(object: &Object<'_>) -> Result<Span, Problem> {
    let text = |name| object.get(name).and_then(Value::as_str);
    let (start, end) = (text("start").unwrap_or_default(), text("end").unwrap_or_default());
    if let (Some(from), Some(until)) = (UnixTime::from_rfc3339(start), UnixTime::from_rfc3339(end)) {
        return if from < until && object.len() == 2 {
            Ok(Span::Once { from, until })
        } else {
            unreadable("must end after it begins, and moments have neither timezone nor days")
        };
    }
    let (Some(from), Some(until)) = (time_of_day(start), time_of_day(end)) else {
        return unreadable("must have start and end as HH:MM, or as moments in UTC");
    };
    if from == until {
        return unreadable("must not end when it begins");
    }
    let ahead = match object.get("timezone") {
        None => 0,
        Some(zone) => match offset(zone.as_str().unwrap_or_default()) {
            Some(ahead) => ahead,
            None => {
                let problem = "names a time zone that this gate does not know: give it as UTC or +hh:mm";
                return Err((Reason::ConstraintNotEnforceable, problem));
            }
        },
    };
    let mut days = 0;
    match object.get("days") {
        None => days = 0x7f,
        Some(listed) => {
            for day in listed.as_array().unwrap_or_default() {
                let known = DAYS.iter().position(|known| day.as_str() == Some(known));
                days |= known.map_or(0x80, |at| 1_u8 << at);
            }
            if days == 0 || days & 0x80 != 0 {
                return unreadable("must list days of mon, tue, wed, thu, fri, sat and sun");
            }
        }
    }
    Ok(Span::Daily { from, until, days, ahead })
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DAY_MS: i64 = 86_400_000;

/// `HH:MM`, up to `24:00`.
fn time_of_day(text: &str) -> Option<i64> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte.wrapping_sub(b'0')));
    let number = |one: u8, two: u8| Some(digit(one)?.saturating_mul(10).saturating_add(digit(two)?));
    let (hour, minute) = (number(h1, h2)?, number(m1, m2)?);
    let time = hour.saturating_mul(60).saturating_add(minute).saturating_mul(60_000);
    (minute < 60 && time <= DAY_MS).then_some(time)
}

/// How far a clock of this name is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, time) = zone.split_at_checked(1)?;
    let time = time_of_day(time).filter(|time| *time < DAY_MS)?;
    match sign {
        "+" => Some(time),
        "-" => Some(time.saturating_neg()),
        _ => None,
    }
}

impl Span {
    pub(super) fn contains(&self, now: UnixTime) -> bool {
        match *self {
            Span::Once { from, until } => from <= now && now < until,
            Span::Daily { from, until, days, ahead } => {
                let local = now.plus_millis(ahead).as_millis();
                let (day, time) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS));
                // 1970 began on a Thursday. A span belongs to the day that it begins on.
                let on = |day: i64| {
                    let weekday = u32::try_from(day.saturating_add(3).rem_euclid(7)).unwrap_or_default();
                    days.checked_shr(weekday).is_some_and(|days| days & 1 == 1)
                };
                if from < until {
                    from <= time && time < until && on(day)
                } else {
                    (from <= time && on(day)) || (time < until && on(day.saturating_sub(1)))
                }
            }
        }
    }
}
