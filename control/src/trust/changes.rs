//! Changes of what gates see. Each takes the next number, in the transaction that makes
//! it; once that is committed, [`TrustFeed::wake`](super::TrustFeed::wake) tells of it.

use super::TrustFeed;
use crate::db::Tx;
use crate::error::ApiError;
use crate::time::now_ms;
use axum::http::StatusCode;
use portcullis_core::live::{FingerprintKey, MAX_REVOCATIONS};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;
use thiserror::Error;

/// What is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A passport, by its id.
    Passport,
    /// A Trust Badge, by its `jti` in lower case.
    Badge,
    /// An agent, by its id or DID: it is disabled.
    Agent,
}

/// One revocation.
#[derive(Clone, Copy, Debug)]
pub struct Revocation<'r> {
    /// What kind of thing it is about.
    pub kind: Kind,
    /// The issuer that the id belongs to.
    pub issuer: &'r str,
    /// The id.
    pub id: &'r str,
}

/// Takes the next number. Others that change something wait until this is committed.
///
/// # Errors
/// No database.
pub async fn next_number(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    let (number,): (i64,) =
        sqlx::query_as("UPDATE trust_clock SET number = number + 1 WHERE id = 1 RETURNING number")
            .fetch_one(&mut **tx)
            .await?;
    Ok(number)
}

/// Why nothing is revoked.
#[derive(Debug, Error)]
pub enum RevokeError {
    /// Gates would refuse all that they are told if there were more.
    #[error("there are {MAX_REVOCATIONS} revocations, and gates hold no more: take some back")]
    Full,
    /// No database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<RevokeError> for ApiError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Full => ApiError::new(StatusCode::CONFLICT, "revocations_full", error.to_string()),
            RevokeError::Database(error) => error.into(),
        }
    }
}

/// How much of the room those without an API key may fill: the rest is for operators.
const OF_ANYONE: u64 = MAX_REVOCATIONS / 4;

/// That what was just revoked, by a caller without an API key, leaves operators room.
///
/// # Errors
/// It does not: the transaction must not be committed.
pub async fn leave_room(tx: &mut Tx) -> Result<(), RevokeError> {
    if revoked_count(tx).await? > OF_ANYONE { Err(RevokeError::Full) } else { Ok(()) }
}

async fn revoked_count(tx: &mut Tx) -> Result<u64, sqlx::Error> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT revoked_count FROM trust_clock WHERE id = 1").fetch_one(&mut **tx).await?;
    Ok(count.max(0).cast_unsigned())
}

/// Revokes. Answers the change's number, or `None` if it was revoked already.
/// `moot_at` says from when it matters no more, in milliseconds since 1970; of several, the last counts.
///
/// # Errors
/// [`RevokeError`].
pub async fn revoke(
    tx: &mut Tx,
    feed: &TrustFeed,
    what: Revocation<'_>,
    reason: Option<&str>,
    moot_at: Option<i64>,
) -> Result<Option<i64>, RevokeError> {
    revoke_all(tx, feed, &[what], reason, moot_at).await
}

/// Revokes any number of things as one change. Answers its number, or `None` if all of
/// them were revoked already.
///
/// # Errors
/// [`RevokeError`]; the transaction must then not be committed.
pub async fn revoke_all(
    tx: &mut Tx,
    feed: &TrustFeed,
    all: &[Revocation<'_>],
    reason: Option<&str>,
    moot_at: Option<i64>,
) -> Result<Option<i64>, RevokeError> {
    // First, as it makes others wait: whether it is revoked already is then certain.
    let number = next_number(tx).await?;
    let mut revoked = BTreeSet::new();
    for some in all.chunks(ROWS) {
        let before = fingerprints_among(tx, feed, some).await?;
        let sql = format!(
            "INSERT INTO revocations (kind, issuer, id, fingerprint, reason, revoked_at, moot_at) \
             VALUES {} ON CONFLICT DO NOTHING RETURNING fingerprint",
            placeholders(some.len(), 7)
        );
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for what in some {
            insert = insert
                .bind(what.kind.name())
                .bind(what.issuer)
                .bind(what.id)
                .bind(ordered(what.fingerprint(feed)))
                .bind(reason)
                .bind(now_ms())
                .bind(moot_at);
        }
        outlast(tx, &before, moot_at).await?;
        for row in insert.fetch_all(&mut **tx).await? {
            let fingerprint: i64 = row.try_get("fingerprint")?;
            // Two things of one fingerprint are one to gates.
            if !before.contains(&fingerprint) {
                revoked.insert(fingerprint);
            }
        }
    }
    let more = u64::try_from(revoked.len()).unwrap_or(u64::MAX);
    if more > 0 && revoked_count(tx).await?.saturating_add(more) > MAX_REVOCATIONS {
        return Err(RevokeError::Full);
    }
    Ok(change(tx, number, &revoked, true).await?)
}

/// Makes revocations that there are last as long as others of the same things.
async fn outlast(tx: &mut Tx, fingerprints: &BTreeSet<i64>, moot_at: Option<i64>) -> Result<(), sqlx::Error> {
    if fingerprints.is_empty() {
        return Ok(());
    }
    let places: Vec<_> = (3..fingerprints.len().saturating_add(3)).map(|place| format!("${place}")).collect();
    let text = format!(
        "UPDATE revocations SET moot_at = $1 WHERE moot_at < $2 AND fingerprint IN ({})",
        places.join(", ")
    );
    let mut update = sqlx::query(AssertSqlSafe(text)).bind(moot_at).bind(moot_at.unwrap_or(i64::MAX));
    for fingerprint in fingerprints {
        update = update.bind(*fingerprint);
    }
    update.execute(&mut **tx).await?;
    Ok(())
}

/// Takes a revocation back. Answers the change's number, or `None` if there was none.
///
/// # Errors
/// No database.
pub async fn restore(
    tx: &mut Tx,
    feed: &TrustFeed,
    what: Revocation<'_>,
) -> Result<Option<i64>, sqlx::Error> {
    let number = next_number(tx).await?;
    let deleted = sqlx::query("DELETE FROM revocations WHERE kind = $1 AND issuer = $2 AND id = $3")
        .bind(what.kind.name())
        .bind(what.issuer)
        .bind(what.id)
        .execute(&mut **tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Ok(None);
    }
    let left = fingerprints_among(tx, feed, &[what]).await?;
    let restored = BTreeSet::from([ordered(what.fingerprint(feed))]);
    change(tx, number, &restored.difference(&left).copied().collect(), false).await
}

/// Takes back, as one change, revocations of what has expired since: nobody could use it
/// anyhow. Answers the change's number, or `None` if there were none, and whether there
/// may be more.
///
/// # Errors
/// No database.
pub async fn drop_moot(tx: &mut Tx) -> Result<(Option<i64>, bool), sqlx::Error> {
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT kind, issuer, id, fingerprint FROM revocations WHERE moot_at < $1 LIMIT $2")
            .bind(now_ms())
            .bind(i64::try_from(ROWS).unwrap_or(i64::MAX))
            .fetch_all(&mut **tx)
            .await?;
    if rows.is_empty() {
        return Ok((None, false));
    }
    let number = next_number(tx).await?;
    let mut dropped = BTreeSet::new();
    for (kind, issuer, id, fingerprint) in &rows {
        let deleted = sqlx::query("DELETE FROM revocations WHERE kind = $1 AND issuer = $2 AND id = $3")
            .bind(kind)
            .bind(issuer)
            .bind(id)
            .execute(&mut **tx)
            .await?;
        // Another instance may have been first.
        if deleted.rows_affected() > 0 {
            dropped.insert(*fingerprint);
        }
    }
    let mut left = BTreeSet::new();
    for fingerprint in &dropped {
        let other: Option<(i64,)> =
            sqlx::query_as("SELECT fingerprint FROM revocations WHERE fingerprint = $1 LIMIT 1")
                .bind(*fingerprint)
                .fetch_optional(&mut **tx)
                .await?;
        left.extend(other.map(|(fingerprint,)| fingerprint));
    }
    let dropped = dropped.difference(&left).copied().collect();
    Ok((change(tx, number, &dropped, false).await?, rows.len() >= ROWS))
}

/// Gives a gate a new snapshot.
///
/// # Errors
/// No database.
pub async fn renew_gate(tx: &mut Tx, gate_id: &str) -> Result<i64, sqlx::Error> {
    let number = next_number(tx).await?;
    sqlx::query("UPDATE gates SET snapshot_number = $1, snapshot_at = $2 WHERE gate_id = $3")
        .bind(number)
        .bind(now_ms())
        .bind(gate_id)
        .execute(&mut **tx)
        .await?;
    Ok(number)
}

/// Gives every gate a new snapshot: an issuer has changed, and all may know it.
///
/// # Errors
/// No database.
pub async fn renew_all_gates(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    let number = next_number(tx).await?;
    sqlx::query("UPDATE gates SET snapshot_number = $1, snapshot_at = $2 WHERE deleted_at IS NULL")
        .bind(number)
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(number)
}

/// Rows in one statement: with seven values each, a tenth of what SQLite takes.
const ROWS: usize = 400;

async fn change(
    tx: &mut Tx,
    number: i64,
    fingerprints: &BTreeSet<i64>,
    revoked: bool,
) -> Result<Option<i64>, sqlx::Error> {
    if fingerprints.is_empty() {
        return Ok(None);
    }
    let all: Vec<i64> = fingerprints.iter().copied().collect();
    for some in all.chunks(ROWS) {
        let sql = format!(
            "INSERT INTO revocation_changes (number, fingerprint, revoked, changed_at) VALUES {}",
            placeholders(some.len(), 4)
        );
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for fingerprint in some {
            insert = insert.bind(number).bind(*fingerprint).bind(i64::from(revoked)).bind(now_ms());
        }
        insert.execute(&mut **tx).await?;
    }
    forget(tx, number).await?;
    let (digest,): (i64,) =
        sqlx::query_as("SELECT revoked_digest FROM trust_clock WHERE id = 1").fetch_one(&mut **tx).await?;
    let digest = all.iter().fold(digest, |digest, one| digest ^ fingerprint(*one).cast_signed());
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
    sqlx::query(
        "UPDATE trust_clock SET revocations_number = $1, revoked_count = revoked_count + $2, \
         revoked_digest = $3 WHERE id = 1",
    )
    .bind(number)
    .bind(if revoked { count } else { count.saturating_neg() })
    .bind(digest)
    .execute(&mut **tx)
    .await?;
    Ok(Some(number))
}

/// Forgets changes that are too old for any delta, now and then.
async fn forget(tx: &mut Tx, number: i64) -> Result<(), sqlx::Error> {
    /// Four times what the largest delta has.
    const KEPT: i64 = 32_768;
    if number.rem_euclid(64) == 0 {
        sqlx::query(
            "DELETE FROM revocation_changes WHERE number <= \
             (SELECT number FROM revocation_changes ORDER BY number DESC LIMIT 1 OFFSET $1)",
        )
        .bind(KEPT)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Those of these fingerprints that are in the table.
async fn fingerprints_among(
    tx: &mut Tx,
    feed: &TrustFeed,
    some: &[Revocation<'_>],
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let sql =
        format!("SELECT fingerprint FROM revocations WHERE fingerprint IN {}", placeholders(1, some.len()));
    let mut select = sqlx::query_as(AssertSqlSafe(sql));
    for what in some {
        select = select.bind(ordered(what.fingerprint(feed)));
    }
    let found: Vec<(i64,)> = select.fetch_all(&mut **tx).await?;
    Ok(found.into_iter().map(|(fingerprint,)| fingerprint).collect())
}

/// `($1, $2), ($3, $4)`
fn placeholders(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let from = row.saturating_mul(columns);
        let names: Vec<_> = (1..=columns).map(|column| format!("${}", from.saturating_add(column))).collect();
        format!("({})", names.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

impl Kind {
    /// The letter that stands for it in the database and under the fingerprint.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Passport => "p",
            Kind::Badge => "b",
            Kind::Agent => "a",
        }
    }
}

impl Revocation<'_> {
    fn fingerprint(&self, feed: &TrustFeed) -> u64 {
        let key: FingerprintKey = feed.fingerprint_key();
        match self.kind {
            Kind::Passport => key.passport(self.issuer, self.id),
            Kind::Badge => key.badge(self.issuer, self.id),
            Kind::Agent => key.agent(self.issuer, self.id),
        }
    }
}

/// A fingerprint as the database has it: its order is that of signed numbers.
pub fn ordered(fingerprint: u64) -> i64 {
    (fingerprint ^ (1 << 63)).cast_signed()
}

/// The fingerprint of such a number.
pub fn fingerprint(ordered: i64) -> u64 {
    ordered.cast_unsigned() ^ (1 << 63)
}
