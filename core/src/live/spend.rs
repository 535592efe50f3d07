//! Leases of spending: what a gate asks its control service for, ahead of need.

use super::document::{Kind, Members, ServiceKeys, owned, whole};
use super::error::LiveError;
use crate::base64;
use crate::ed25519::SecretKey;
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::spend::{Rolling, SpendCaps, SpendNames, SpendUsed, SpendWindow};
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// What a gate asks for, and what it spent. The same may be asked again: a lease has its
/// name from the gate, and is granted once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpendQuestion {
    /// [`MAX_ACCOUNTS`] at most. One account may be there more than once, under different
    /// caps.
    pub accounts: Vec<SpendAsk>,
    /// The lane of the gate's process.
    pub lane: [u8; 16],
    /// Random, and repeated by the answer: one to an earlier question must not serve again.
    pub random: [u8; 16],
}

/// What is asked for one account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpendAsk {
    /// The id of the account; see [`SpendNames::id`].
    pub account: [u8; 32],
    /// The issuer at the root of the passport.
    pub issuer: String,
    /// The ids of the passports from the root to the one that set the caps, with spaces
    /// between.
    pub passport_id: String,
    /// The permission.
    pub permission: String,
    /// What holds for what is asked for.
    pub caps: SpendCaps,
    /// The name of the lease that is asked for, random; `None` where only reports are
    /// brought.
    pub lease: Option<[u8; 16]>,
    /// How much would do, in cents.
    pub want_cents: u64,
    /// Every lease of this account, under these caps, that the gate has, [`MAX_LEASES`] at
    /// most.
    pub spent: Vec<LeaseSpent>,
}

/// What was spent of a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseSpent {
    /// The lease.
    pub lease: [u8; 16],
    /// How much, in cents, since it was granted.
    pub spent_cents: u64,
    /// Whether nothing more will be spent of it.
    pub is_done: bool,
}

/// What the service answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpendAnswer {
    /// The day of UTC, counted from 1970-01-01, in which what is granted counts.
    pub day: u64,
    /// One for each account of the question, in its order.
    pub accounts: Vec<SpendGrant>,
}

/// What is granted to one account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpendGrant {
    /// How much may be spent of the lease, in cents; it counts as spent from now on.
    pub granted_cents: u64,
    /// From when it may not: the end of the day.
    pub expires_at: UnixTime,
    /// The cap that left less than was asked for.
    pub exhausted: Option<SpendWindow>,
    /// What counts in each window beside the leases that the question names as not done,
    /// and beside the one granted.
    pub used: SpendUsed,
}

/// Accounts of a question.
pub const MAX_ACCOUNTS: usize = 64;

/// Leases of an account of a question.
pub const MAX_LEASES: usize = 8;

/// Names of a KiB for each account, which may be all escapes, and 35 values.
const QUESTION: Limits = Limits { bytes: 512 * 1024, depth: 5, values: MAX_ACCOUNTS * 64 };

const ANSWER: Kind = Kind {
    typ: "portcullis-spend+jws",
    members: &["accounts", "day", "echo", "gate", "time"],
    // A gate's id has 256 characters at most, an account some 300.
    limits: Limits { bytes: 32 * 1024, depth: 4, values: MAX_ACCOUNTS * 16 },
};

impl SpendQuestion {
    /// The question as JSON, the body of the gate's call.
    pub fn to_json(&self) -> String {
        let question = Object::from([
            ("accounts", Value::Array(self.accounts.iter().map(SpendAsk::to_value).collect())),
            ("lane", owned(&base64::encode_url(&self.lane))),
            ("random", owned(&base64::encode_url(&self.random))),
        ]);
        canonical_text(&question.into())
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`LiveError::Unreadable`], [`LiveError::Member`]; so for an account that is not the
    /// hash of its names.
    pub fn read(body: &[u8]) -> Result<Self, LiveError> {
        let value = json::parse(body, QUESTION)
            .map_err(|_| LiveError::Unreadable("the question is not strict JSON"))?;
        let members = Members::of(&value, &["accounts", "lane", "random"])?;
        Ok(SpendQuestion {
            accounts: list(members, "accounts", MAX_ACCOUNTS, SpendAsk::read)?,
            lane: members.base64url("lane")?,
            random: members.base64url("random")?,
        })
    }

    /// The service's answer to this question of `gate`, signed with the key of this id.
    pub fn answer(
        &self,
        gate: &str,
        answer: &SpendAnswer,
        now: UnixTime,
        key: &SecretKey,
        key_id: &str,
    ) -> String {
        let accounts = self.accounts.iter().zip(&answer.accounts);
        let payload = Object::from([
            ("accounts", Value::Array(accounts.map(|(ask, grant)| grant.to_value(ask)).collect())),
            ("day", whole(answer.day)),
            ("echo", owned(&base64::encode_url(&self.random))),
            ("gate", owned(gate)),
            ("time", owned(&now.to_iso())),
        ]);
        ANSWER.sign(&canonical_text(&payload.into()), key, key_id)
    }

    /// Reads the answer to this question of `gate`.
    ///
    /// # Errors
    /// What is wrong with the document; [`LiveError::WrongEcho`] for one to another
    /// question; [`LiveError::Mismatch`] where more is granted than was asked for, or the
    /// clocks are more than 60 s apart, as the days would then differ for long.
    pub fn read_answer(
        &self,
        token: &[u8],
        gate: &str,
        keys: &ServiceKeys,
        now: UnixTime,
    ) -> Result<SpendAnswer, LiveError> {
        let payload = ANSWER.open(token, keys, now)?;
        ANSWER.read(&payload, gate, |members| {
            if members.base64url("echo")? != self.random {
                return Err(LiveError::WrongEcho);
            }
            let time = members.time("time")?;
            if time > now.plus_millis(CLOCK_SKEW_MS) || time.plus_millis(CLOCK_SKEW_MS) < now {
                return Err(LiveError::Mismatch(
                    "the answer's time is more than 60 s away: compare the clocks",
                ));
            }
            let told = members.required("accounts")?.as_array().ok_or(LiveError::Member("accounts"))?;
            if told.len() != self.accounts.len() {
                return Err(LiveError::WrongEcho);
            }
            let accounts = self.accounts.iter().zip(told);
            let accounts = accounts.map(|(ask, told)| SpendGrant::read(ask, told));
            Ok(SpendAnswer {
                day: members.number("day")?,
                accounts: accounts.collect::<Result<_, LiveError>>()?,
            })
        })
    }
}

impl SpendAsk {
    fn to_value(&self) -> Value<'static> {
        let optional = |cents: Option<u64>| cents.map_or(Value::Null, whole);
        let rolling = self.caps.rolling.map(|rolling| {
            Object::from([("cents", whole(rolling.cents)), ("days", whole(rolling.days.into()))])
        });
        let caps = Object::from([
            ("daily_cents", optional(self.caps.daily_cents)),
            ("rolling", rolling.map_or(Value::Null, Value::from)),
            ("total_cents", optional(self.caps.total_cents)),
        ]);
        let spent = self.spent.iter().map(|spent| {
            let spent = Object::from([
                ("done", Value::Bool(spent.is_done)),
                ("lease", owned(&base64::encode_url(&spent.lease))),
                ("spent_cents", whole(spent.spent_cents)),
            ]);
            Value::from(spent)
        });
        let ask = Object::from([
            ("account", owned(&base64::encode_url(&self.account))),
            ("caps", caps.into()),
            ("issuer", owned(&self.issuer)),
            ("lease", lease_value(self.lease)),
            ("passport_id", owned(&self.passport_id)),
            ("permission", owned(&self.permission)),
            ("spent", Value::Array(spent.collect())),
            ("want_cents", whole(self.want_cents)),
        ]);
        ask.into()
    }

    fn read(value: &Value<'_>) -> Result<Self, LiveError> {
        let known =
            ["account", "caps", "issuer", "lease", "passport_id", "permission", "spent", "want_cents"];
        let members = Members::of(value, &known)?;
        let caps = Members::of(members.required("caps")?, &["daily_cents", "rolling", "total_cents"])?;
        let optional = |name| match caps.required(name)? {
            Value::Null => Ok(None),
            _ => caps.number(name).map(Some),
        };
        let rolling = match caps.required("rolling")? {
            Value::Null => None,
            some => Some(read_rolling(some)?),
        };
        let ask = SpendAsk {
            account: members.base64url("account")?,
            issuer: members.text("issuer")?.to_owned(),
            passport_id: members.text("passport_id")?.to_owned(),
            permission: members.text("permission")?.to_owned(),
            caps: SpendCaps {
                daily_cents: optional("daily_cents")?,
                rolling,
                total_cents: optional("total_cents")?,
            },
            lease: read_lease(members)?,
            want_cents: members.number("want_cents")?,
            spent: list(members, "spent", MAX_LEASES, LeaseSpent::read)?,
        };
        if ask.names().id() != ask.account {
            return Err(LiveError::Member("account"));
        }
        // Each lease is told of once.
        if ask.spent.iter().map(|spent| spent.lease).collect::<BTreeSet<_>>().len() < ask.spent.len() {
            return Err(LiveError::Member("spent"));
        }
        Ok(ask)
    }

    /// Whose spending it is.
    pub fn names(&self) -> SpendNames<'_> {
        SpendNames { issuer: &self.issuer, passport_id: &self.passport_id, permission: &self.permission }
    }
}

impl LeaseSpent {
    fn read(value: &Value<'_>) -> Result<Self, LiveError> {
        let members = Members::of(value, &["done", "lease", "spent_cents"])?;
        Ok(LeaseSpent {
            lease: members.base64url("lease")?,
            spent_cents: members.number("spent_cents")?,
            is_done: members.required("done")?.as_bool().ok_or(LiveError::Member("done"))?,
        })
    }
}

impl SpendGrant {
    fn to_value(self, ask: &SpendAsk) -> Value<'static> {
        let used = Object::from([
            ("daily", whole(self.used.daily)),
            ("rolling", whole(self.used.rolling)),
            ("total", whole(self.used.total)),
        ]);
        let grant = Object::from([
            ("account", owned(&base64::encode_url(&ask.account))),
            ("exhausted", self.exhausted.map_or(Value::Null, |window| owned(window.name()))),
            ("expires_at", owned(&self.expires_at.to_iso())),
            ("granted_cents", whole(self.granted_cents)),
            ("lease", lease_value(ask.lease)),
            ("used", used.into()),
        ]);
        grant.into()
    }

    fn read(ask: &SpendAsk, told: &Value<'_>) -> Result<Self, LiveError> {
        let known = ["account", "exhausted", "expires_at", "granted_cents", "lease", "used"];
        let members = Members::of(told, &known)?;
        if members.base64url("account")? != ask.account || read_lease(members)? != ask.lease {
            return Err(LiveError::WrongEcho);
        }
        let granted_cents = members.number("granted_cents")?;
        if granted_cents > ask.want_cents || (ask.lease.is_none() && granted_cents > 0) {
            return Err(LiveError::Mismatch("more is granted than was asked for"));
        }
        let exhausted = match members.required("exhausted")? {
            Value::Null => None,
            Value::String(name) => Some(SpendWindow::named(name).ok_or(LiveError::Member("exhausted"))?),
            _ => return Err(LiveError::Member("exhausted")),
        };
        let used = Members::of(members.required("used")?, &["daily", "rolling", "total"])?;
        Ok(SpendGrant {
            granted_cents,
            expires_at: members.time("expires_at")?,
            exhausted,
            used: SpendUsed {
                daily: used.number("daily")?,
                rolling: used.number("rolling")?,
                total: used.number("total")?,
            },
        })
    }
}

fn read_rolling(value: &Value<'_>) -> Result<Rolling, LiveError> {
    let members = Members::of(value, &["cents", "days"])?;
    let days = u16::try_from(members.number("days")?).ok();
    let days = days.filter(|days| (1..=Rolling::MOST_DAYS).contains(days));
    Ok(Rolling { days: days.ok_or(LiveError::Member("days"))?, cents: members.number("cents")? })
}

fn lease_value(lease: Option<[u8; 16]>) -> Value<'static> {
    lease.map_or(Value::Null, |lease| owned(&base64::encode_url(&lease)))
}

fn read_lease(members: Members<'_>) -> Result<Option<[u8; 16]>, LiveError> {
    match members.required("lease")? {
        Value::Null => Ok(None),
        _ => members.base64url("lease").map(Some),
    }
}

/// The elements of a list of at most so many.
fn list<T>(
    members: Members<'_>,
    name: &'static str,
    most: usize,
    read: impl Fn(&Value<'_>) -> Result<T, LiveError>,
) -> Result<Vec<T>, LiveError> {
    let values = members.required(name)?.as_array().filter(|values| values.len() <= most);
    values.ok_or(LiveError::Member(name))?.iter().map(read).collect()
}
