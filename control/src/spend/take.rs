//! What actions cost that the service itself decides on: it counts at once, on the accounts
//! of which gates are granted leases, and so under the same caps.

use super::Spend;
use super::book::{Amount, Book, Sums, first_day};
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now;
use portcullis_core::base64;
use portcullis_core::guardrails::{Cap, SpendAccount, Taken, Window};
use portcullis_core::live::SpendAsk;
use portcullis_core::spend::{Rolling, SpendCaps, SpendNames, SpendWindow, day_of};
use sqlx::Row;

/// What became of an amount.
#[derive(Clone, Debug)]
pub enum Paid {
    /// All accounts have it. Each cap that is nearest to being reached, with this amount.
    Taken(Vec<Taken>),
    /// One cap would be passed, and nothing is taken. Those that had room, and that one as
    /// it is.
    Over(Vec<Taken>, Taken),
    /// The service has as many accounts of the gate as it keeps, or as high a sum.
    Full,
}

impl Spend {
    /// Takes an amount from all of these accounts or from none, in a transaction that holds
    /// their rows from then on. An account without caps counts as well.
    ///
    /// # Errors
    /// No database.
    pub async fn take(
        &self,
        tx: &mut Tx,
        gate: &str,
        accounts: &[SpendAccount],
        cents: u64,
    ) -> ApiResult<Paid> {
        let day = day_of(now());
        let asks: Vec<SpendAsk> = accounts.iter().map(ask).collect();
        // One order for all, so that no two wait for each other.
        let mut order: Vec<&SpendAsk> = asks.iter().collect();
        order.sort_by_key(|ask| ask.account);
        let mut books = Vec::with_capacity(order.len());
        for ask in order {
            let is_made_up = ask.names().is_made_up();
            let book = match Book::open(tx, gate, ask, day).await? {
                Some(book) => book,
                None if self.has_room(gate, is_made_up) => {
                    self.created(gate, &[is_made_up]);
                    Book::create(tx, gate, ask, day).await?
                }
                None if ask.caps.is_empty() => continue,
                None => return Ok(Paid::Full),
            };
            books.push(book);
        }
        let mut all = Vec::new();
        for book in &books {
            if !fits(&book.sums, cents) {
                return Ok(Paid::Full);
            }
            match judge(&book.sums, book.caps(), day, cents) {
                Some((taken, false)) => all.push(taken),
                Some((over, true)) => return Ok(Paid::Over(all, over)),
                None => {}
            }
        }
        for book in &books {
            book.pay(tx, cents).await?;
        }
        Ok(Paid::Taken(all))
    }

    /// What would become of an amount. Nothing is taken or held.
    ///
    /// # Errors
    /// No database.
    pub async fn look(&self, tx: &mut Tx, accounts: &[SpendAccount], cents: u64) -> ApiResult<Paid> {
        let day = day_of(now());
        let mut all = Vec::new();
        for ask in accounts.iter().map(ask).filter(|ask| !ask.caps.is_empty()) {
            let sums = read(tx, &ask, day).await?;
            match judge(&sums, &ask.caps, day, cents) {
                Some((taken, false)) => all.push(taken),
                Some((over, true)) => return Ok(Paid::Over(all, over)),
                None => {}
            }
        }
        Ok(Paid::Taken(all))
    }
}

/// Whether a sum stays one that JSON and both databases have exactly, of whoever has no cap too.
fn fits(sums: &Sums, cents: u64) -> bool {
    const MOST: i64 = (1 << 53) - 1;
    i64::try_from(cents).is_ok_and(|cents| sums.total.all().saturating_add(cents) <= MOST)
}

/// What an amount leaves of the tightest cap, and whether it is too much for it. `None`
/// where there is no cap.
fn judge(sums: &Sums, caps: &SpendCaps, day: u64, cents: u64) -> Option<(Taken, bool)> {
    let days = caps.rolling.map(|rolling| rolling.days);
    let today = i64::try_from(day).unwrap_or(i64::MAX);
    let used = sums.used(today, days, Amount::all);
    let (room, window) = caps.room(&used)?;
    let (_, cap) = caps.each().find(|(of, _)| *of == window)?;
    let is_over = cents > room;
    let spent = used.of(window).saturating_add(if is_over { 0 } else { cents });
    let window = match window {
        SpendWindow::Daily => Window::Daily,
        SpendWindow::Rolling => Window::Rolling(days.unwrap_or(1)),
        SpendWindow::Total => Window::Total,
    };
    Some((Taken { spent, cap: Cap { cents: cap, window } }, is_over))
}

/// An account as gates name it, of which no lease is wanted.
fn ask(account: &SpendAccount) -> SpendAsk {
    let SpendAccount { issuer, passport_id, permission, caps } = account;
    SpendAsk {
        account: SpendNames { issuer, passport_id, permission }.id(),
        issuer: issuer.clone(),
        passport_id: passport_id.clone(),
        permission: permission.clone(),
        caps: SpendCaps {
            daily_cents: caps.daily,
            rolling: caps.rolling.map(|(days, cents)| Rolling { days, cents }),
            total_cents: caps.total,
        },
        lease: None,
        want_cents: 0,
        spent: Vec::new(),
    }
}

async fn read(tx: &mut Tx, ask: &SpendAsk, day: u64) -> ApiResult<Sums> {
    let account = base64::encode_url(&ask.account);
    let row = sqlx::query(
        "SELECT spent_cents, held_cents, daily_reset_day, daily_reset_cents, rolling_reset_day, \
         rolling_reset_cents, total_reset_cents FROM spend_accounts WHERE account = $1",
    )
    .bind(&account)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(Sums::default()) };
    let mut sums = Sums::read(&row)?;
    let today = i64::try_from(day).unwrap_or(i64::MAX);
    let days = ask.caps.rolling.map_or(1, |rolling| rolling.days);
    sums.read_days(tx, &account, first_day(today, days)).await?;
    Ok(sums)
}

/// What a passport has spent today over all permissions, in cents.
///
/// # Errors
/// No database.
pub async fn spent_today(tx: &mut Tx, passport_id: &str, issuer_id: &str) -> ApiResult<u64> {
    let today = i64::try_from(day_of(now())).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT spend_days.spent_cents AS spent, daily_reset_day, daily_reset_cents FROM spend_accounts \
         JOIN spend_days ON spend_days.account = spend_accounts.account AND day = $1 \
         WHERE passport_id = $2 AND issuer_id = $3",
    )
    .bind(today)
    .bind(passport_id)
    .bind(issuer_id)
    .fetch_all(&mut **tx)
    .await?;
    let mut sum = 0_i64;
    for row in rows {
        let (spent, reset): (i64, i64) = (row.try_get("spent")?, row.try_get("daily_reset_cents")?);
        let counts_anew = row.try_get::<i64, _>("daily_reset_day")? == today;
        sum = sum.saturating_add(if counts_anew { spent.saturating_sub(reset).max(0) } else { spent });
    }
    Ok(super::book::cents(sum))
}
