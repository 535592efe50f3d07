//! One account in one question: what is reported, what is left, what is granted.

use super::{REPORTS_DAYS, TOTAL_DAYS};
use crate::db::Tx;
use crate::error::ApiResult;
use portcullis_core::base64;
use portcullis_core::live::{SpendAsk, SpendGrant};
use portcullis_core::spend::{SpendCaps, SpendUsed, end_of_day};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// An account whose row is held until the transaction ends.
pub(super) struct Book<'q> {
    gate: &'q str,
    ask: &'q SpendAsk,
    account: String,
    day: i64,
    pub(super) sums: Sums,
}

/// What an account has spent and holds.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) total: Amount,
    /// By day; those that matter for what is asked.
    pub(super) days: BTreeMap<i64, Amount>,
    pub(super) resets: Resets,
}

/// Cents.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amount {
    pub(super) spent: i64,
    pub(super) held: i64,
}

/// From where on windows count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resets {
    pub(super) daily: (i64, i64),
    pub(super) rolling: (i64, i64),
    pub(super) total: i64,
}

/// A lease as it is stored.
struct Lease {
    id: String,
    day: i64,
    granted: i64,
    spent: i64,
    is_done: bool,
}

impl Amount {
    pub(super) fn all(self) -> i64 {
        self.spent.saturating_add(self.held)
    }

    fn add(&mut self, change: Amount) {
        self.spent = self.spent.saturating_add(change.spent);
        self.held = self.held.saturating_add(change.held);
    }
}

impl Sums {
    pub(super) fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Sums {
            total: Amount { spent: row.try_get("spent_cents")?, held: row.try_get("held_cents")? },
            days: BTreeMap::new(),
            resets: Resets {
                daily: (row.try_get("daily_reset_day")?, row.try_get("daily_reset_cents")?),
                rolling: (row.try_get("rolling_reset_day")?, row.try_get("rolling_reset_cents")?),
                total: row.try_get("total_reset_cents")?,
            },
        })
    }

    /// Reads what was spent since the day `first`.
    pub(super) async fn read_days(
        &mut self,
        tx: &mut Tx,
        account: &str,
        first: i64,
    ) -> Result<(), sqlx::Error> {
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT day, spent_cents, held_cents FROM spend_days WHERE account = $1 AND day >= $2",
        )
        .bind(account)
        .bind(first)
        .fetch_all(&mut **tx)
        .await?;
        self.days = rows.into_iter().map(|(day, spent, held)| (day, Amount { spent, held })).collect();
        Ok(())
    }

    /// What counts in each window on a day. `of` says what of an amount.
    pub(super) fn used(&self, today: i64, days: Option<u16>, of: impl Fn(Amount) -> i64) -> SpendUsed {
        let since = |first: i64, (from, left_out): (i64, i64)| {
            let counted = self.days.range(first.max(from)..);
            let sum = counted.map(|(_, amount)| of(*amount)).fold(0_i64, i64::saturating_add);
            cents(if first <= from { sum.saturating_sub(left_out) } else { sum })
        };
        SpendUsed {
            daily: since(today, self.resets.daily),
            rolling: days.map_or(0, |days| since(first_day(today, days), self.resets.rolling)),
            total: cents(of(self.total).saturating_sub(self.resets.total)),
        }
    }
}

/// The first day of a window of so many days that ends today.
pub(super) fn first_day(today: i64, days: u16) -> i64 {
    today.saturating_sub(i64::from(days)).saturating_add(1)
}

impl<'q> Book<'q> {
    /// Takes the row of an account, if there is one.
    pub(super) async fn open(
        tx: &mut Tx,
        gate: &'q str,
        ask: &'q SpendAsk,
        day: u64,
    ) -> ApiResult<Option<Self>> {
        let (account, day) = (base64::encode_url(&ask.account), whole(day));
        let row = sqlx::query(
            "UPDATE spend_accounts SET caps = $2, used_day = CASE WHEN used_day < $3 THEN $4 ELSE used_day END, \
             keep_days = CASE WHEN keep_days < $5 THEN $6 ELSE keep_days END WHERE account = $1 \
             RETURNING spent_cents, held_cents, daily_reset_day, daily_reset_cents, rolling_reset_day, \
             rolling_reset_cents, total_reset_cents",
        )
        .bind(&account)
        .bind(caps_text(&ask.caps))
        .bind(day)
        .bind(day)
        .bind(keep_days(&ask.caps))
        .bind(keep_days(&ask.caps))
        .fetch_optional(&mut **tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut sums = Sums::read(&row)?;
        // What is reported may be of days before.
        let oldest = ask.caps.rolling.map_or(REPORTS_DAYS, |rolling| REPORTS_DAYS.max(rolling.days.into()));
        sums.read_days(tx, &account, day.saturating_sub(oldest)).await?;
        Ok(Some(Book { gate, ask, account, day, sums }))
    }

    /// Makes an account, or takes its row where another was first.
    pub(super) async fn create(tx: &mut Tx, gate: &'q str, ask: &'q SpendAsk, day: u64) -> ApiResult<Self> {
        sqlx::query(
            "INSERT INTO spend_accounts (account, issuer_id, passport_id, permission, gate_id, spent_cents, \
             held_cents, caps, used_day, keep_days, daily_reset_day, daily_reset_cents, rolling_reset_day, \
             rolling_reset_cents, total_reset_cents) \
             VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        )
        .bind(base64::encode_url(&ask.account))
        .bind(&ask.issuer)
        .bind(ask.passport_id.rsplit(' ').next().unwrap_or_default())
        .bind(&ask.permission)
        .bind(gate)
        .bind(caps_text(&ask.caps))
        .bind(whole(day))
        .bind(keep_days(&ask.caps))
        .execute(&mut **tx)
        .await?;
        let made = Book::open(tx, gate, ask, day).await?;
        Ok(made.ok_or_else(|| anyhow::anyhow!("an account of spending was made and is not there"))?)
    }

    /// The caps that it is asked under.
    pub(super) fn caps(&self) -> &SpendCaps {
        &self.ask.caps
    }

    /// Spends an amount at once.
    pub(super) async fn pay(&self, tx: &mut Tx, cents: u64) -> Result<(), sqlx::Error> {
        let amount = Amount { spent: whole(cents), held: 0 };
        self.write(tx, &BTreeMap::from([(self.day, amount)])).await
    }

    /// Takes up the reports, and grants what is asked for and left.
    pub(super) async fn settle(&mut self, tx: &mut Tx, lane: &[u8; 16]) -> ApiResult<SpendGrant> {
        let mut stored = self.leases(tx).await?;
        let mut changes: BTreeMap<i64, Amount> = BTreeMap::new();
        // What the gate has and tells of itself; the rest counts as used to it.
        let mut own: Vec<(i64, i64)> = Vec::new();
        for report in &self.ask.spent {
            let id = base64::encode_url(&report.lease);
            let Some(lease) = stored.iter_mut().find(|lease| lease.id == id && !lease.is_done) else {
                continue;
            };
            // A gate cannot spend more of a lease than it was granted, nor less than it did.
            let spent = whole(report.spent_cents).clamp(lease.spent, lease.granted);
            let more = spent.saturating_sub(lease.spent);
            let given_back = if report.is_done { lease.granted.saturating_sub(spent) } else { 0 };
            if more > 0 || report.is_done {
                let held = more.saturating_add(given_back).saturating_neg();
                changes.entry(lease.day).or_default().add(Amount { spent: more, held });
                self.update_lease(tx, &id, spent, report.is_done).await?;
            }
            // So that nothing that a question tells twice counts twice.
            (lease.spent, lease.is_done) = (spent, report.is_done);
            if !report.is_done {
                own.push((lease.day, lease.granted));
            }
        }
        for (day, change) in &changes {
            self.sums.days.entry(*day).or_default().add(*change);
            self.sums.total.add(*change);
        }
        let days = self.ask.caps.rolling.map(|rolling| rolling.days);
        let used = self.sums.used(self.day, days, Amount::all);
        let mut grant = SpendGrant {
            granted_cents: 0,
            expires_at: end_of_day(self.day.cast_unsigned()),
            exhausted: None,
            used,
        };
        if let Some(lease) = self.ask.lease.map(|lease| base64::encode_url(&lease)) {
            if let Some(known) = stored.iter().find(|stored| stored.id == lease) {
                // Its answer was lost: the same again.
                if !known.is_done {
                    grant.granted_cents = cents(known.granted).min(self.ask.want_cents);
                    grant.expires_at = end_of_day(known.day.cast_unsigned());
                    own.push((known.day, known.granted));
                }
            } else {
                let room = self.ask.caps.room(&used);
                grant.granted_cents = self.ask.want_cents.min(room.map_or(u64::MAX, |(room, _)| room));
                if grant.granted_cents < self.ask.want_cents {
                    grant.exhausted = room.map(|(_, window)| window);
                }
                if grant.granted_cents > 0 {
                    let held = whole(grant.granted_cents);
                    changes.entry(self.day).or_default().add(Amount { spent: 0, held });
                    self.insert_lease(tx, &lease, lane, held).await?;
                }
            }
        }
        self.write(tx, &changes).await?;
        for (day, granted) in own {
            let counts = |first: i64| if day >= first { cents(granted) } else { 0 };
            grant.used.daily = grant.used.daily.saturating_sub(counts(self.day));
            let first = days.map_or(i64::MAX, |days| first_day(self.day, days));
            grant.used.rolling = grant.used.rolling.saturating_sub(counts(first));
            grant.used.total = grant.used.total.saturating_sub(cents(granted));
        }
        Ok(grant)
    }

    /// The leases that the question names.
    async fn leases(&self, tx: &mut Tx) -> Result<Vec<Lease>, sqlx::Error> {
        let named = self.ask.spent.iter().map(|spent| spent.lease).chain(self.ask.lease);
        let named: Vec<String> = named.map(|lease| base64::encode_url(&lease)).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (3..).take(named.len()).map(|number| format!("${number}")).collect();
        let sql = format!(
            "SELECT lease, day, granted_cents, spent_cents, done FROM spend_leases \
             WHERE gate_id = $1 AND account = $2 AND lease IN ({})",
            places.join(", ")
        );
        let mut select = sqlx::query_as(AssertSqlSafe(sql)).bind(self.gate).bind(&self.account);
        for lease in named {
            select = select.bind(lease);
        }
        let rows: Vec<(String, i64, i64, i64, i64)> = select.fetch_all(&mut **tx).await?;
        let lease = |(id, day, granted, spent, done)| Lease { id, day, granted, spent, is_done: done != 0 };
        Ok(rows.into_iter().map(lease).collect())
    }

    async fn update_lease(
        &self,
        tx: &mut Tx,
        id: &str,
        spent: i64,
        is_done: bool,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE spend_leases SET spent_cents = $1, done = $2 WHERE gate_id = $3 AND lease = $4")
            .bind(spent)
            .bind(i64::from(is_done))
            .bind(self.gate)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn insert_lease(
        &self,
        tx: &mut Tx,
        id: &str,
        lane: &[u8; 16],
        granted: i64,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO spend_leases (gate_id, lease, account, lane, day, granted_cents, spent_cents, done) \
             VALUES ($1, $2, $3, $4, $5, $6, 0, 0)",
        )
        .bind(self.gate)
        .bind(id)
        .bind(&self.account)
        .bind(base64::encode_url(lane))
        .bind(self.day)
        .bind(granted)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn write(&self, tx: &mut Tx, changes: &BTreeMap<i64, Amount>) -> Result<(), sqlx::Error> {
        let mut all = Amount::default();
        for (day, change) in changes {
            all.add(*change);
            sqlx::query(
                "INSERT INTO spend_days (account, day, spent_cents, held_cents) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (account, day) DO UPDATE SET \
                 spent_cents = spend_days.spent_cents + excluded.spent_cents, \
                 held_cents = spend_days.held_cents + excluded.held_cents",
            )
            .bind(&self.account)
            .bind(*day)
            .bind(change.spent)
            .bind(change.held)
            .execute(&mut **tx)
            .await?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE spend_accounts SET spent_cents = spent_cents + $1, held_cents = held_cents + $2 \
             WHERE account = $3",
        )
        .bind(all.spent)
        .bind(all.held)
        .bind(&self.account)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// For how many days after its last use an account matters.
fn keep_days(caps: &SpendCaps) -> i64 {
    let rolling = caps.rolling.map_or(1, |rolling| i64::from(rolling.days));
    if caps.total_cents.is_some() { TOTAL_DAYS.max(rolling) } else { rolling }
}

fn caps_text(caps: &SpendCaps) -> String {
    let rolling = caps.rolling.map(|rolling| json!({"cents": rolling.cents, "days": rolling.days}));
    json!({"daily_cents": caps.daily_cents, "rolling": rolling, "total_cents": caps.total_cents}).to_string()
}

/// Cents and days, 2^53 at most, as the database has them.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Cents of the database. What is below nothing is nothing.
pub(super) fn cents(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
