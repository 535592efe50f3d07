//! Changes of what gates see. Each takes the next number, in the transaction that makes
//! it; once that is committed, [`TrustFeed::wake`](super::TrustFeed::wake) tells of it.

use super::TrustFeed;
use crate::db::Tx;
use crate::time::now_ms;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// What is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A passport, by its id.
    Passport,
    /// A Trust Badge, by its `jti`.
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

/// Revokes. Answers the change's number, or `None` if it was revoked already.
/// `moot_at` says from when it matters no more, in milliseconds since 1970.
///
/// # Errors
/// No database.
pub async fn revoke(
    tx: &mut Tx,
    feed: &TrustFeed,
    what: Revocation<'_>,
    reason: Option<&str>,
    moot_at: Option<i64>,
) -> Result<Option<i64>, sqlx::Error> {
    // First, as it makes others wait: whether it is revoked already is then certain.
    let number = next_number(tx).await?;
    let fingerprint = what.fingerprint(feed);
    let inserted = sqlx::query(
        "INSERT INTO revocations (kind, issuer, id, fingerprint, reason, revoked_at, moot_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(what.kind.name())
    .bind(what.issuer)
    .bind(what.id)
    .bind(ordered(fingerprint))
    .bind(reason)
    .bind(now_ms())
    .bind(moot_at)
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(None);
    }
    change(tx, number, fingerprint, true).await?;
    Ok(Some(number))
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
    change(tx, number, what.fingerprint(feed), false).await?;
    Ok(Some(number))
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

async fn change(tx: &mut Tx, number: i64, fingerprint: u64, revoked: bool) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO revocation_changes (number, fingerprint, revoked, changed_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(number)
    .bind(ordered(fingerprint))
    .bind(i64::from(revoked))
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    let (digest,): (i64,) =
        sqlx::query_as("SELECT revoked_digest FROM trust_clock WHERE id = 1").fetch_one(&mut **tx).await?;
    sqlx::query(
        "UPDATE trust_clock SET revocations_number = $1, revoked_count = revoked_count + $2, \
         revoked_digest = $3 WHERE id = 1",
    )
    .bind(number)
    .bind(if revoked { 1_i64 } else { -1 })
    .bind(digest ^ fingerprint.cast_signed())
    .execute(&mut **tx)
    .await?;
    Ok(())
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
        let mut hasher = SipHasher24::new_with_key(&feed.fingerprint_key());
        hasher
            .write(&[self.kind.name().as_bytes(), self.issuer.as_bytes(), &[0], self.id.as_bytes()].concat());
        hasher.finish()
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
