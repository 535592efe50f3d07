//! The service's signing keys, each for one purpose and of one owner. They are made,
//! sealed and used here, and their private halves go nowhere else.

use crate::db::Tx;
use crate::time::now_ms;
use crate::vault::Vault;
use anyhow::{Context, Result, anyhow};
use portcullis_core::{SecretKey, base64, sha256};
use sqlx::Row;
use std::fmt;

/// What a key signs. Nothing signed for one purpose verifies for another: passports,
/// badges and trust material have `typ`s or shapes of their own, and gates know the keys
/// of each apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Passports of an issuer or of a gate, and catalogs of a gate: those are signed as hashes
    /// of 32 bytes, which no passport is.
    Passports,
    /// Trust Badges of the registry.
    Badges,
    /// Heads, snapshots, revocations, and checkpoints of logs.
    Trust,
    /// Records that the service makes itself, of a gate.
    Attestations,
}

/// The owner of keys that are the service's own.
pub const SERVICE: &str = "service";

/// A key as others may see it.
#[derive(Clone, Debug)]
pub struct PublicHalf {
    /// Its id, unique within purpose and owner.
    pub key_id: String,
    /// Standard base64 of its 32 bytes.
    pub public_key: String,
    /// When it was made.
    pub created_at: i64,
    /// From when it signs.
    pub signs_from: i64,
    /// Until when what it signed is taken.
    pub not_after: Option<i64>,
}

/// A key that signs now.
pub struct Signer {
    /// Its id.
    pub key_id: String,
    /// The key.
    pub key: SecretKey,
}

impl Purpose {
    /// Its name in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Passports => "passports",
            Purpose::Badges => "badges",
            Purpose::Trust => "trust",
            Purpose::Attestations => "attestations",
        }
    }

    /// The purpose of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Purpose::Passports, Purpose::Badges, Purpose::Trust, Purpose::Attestations]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// Makes a key that signs from `signs_from` on, in milliseconds since 1970.
///
/// # Errors
/// No randomness, or no database.
pub async fn create(
    tx: &mut Tx,
    vault: &Vault,
    purpose: Purpose,
    owner: &str,
    signs_from: i64,
) -> Result<PublicHalf> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("no randomness: {error}"))?;
    let public_key = SecretKey::from_seed(seed).public_key();
    let key_id = thumbprint(&public_key);
    let sealed = vault.seal(&about(purpose.name(), owner, &key_id), &seed)?;
    let half = PublicHalf {
        public_key: base64::encode(&public_key),
        created_at: now_ms(),
        not_after: None,
        key_id,
        signs_from,
    };
    sqlx::query(
        "INSERT INTO signing_keys (purpose, owner, key_id, public_key, sealed_seed, created_at, signs_from) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(purpose.name())
    .bind(owner)
    .bind(&half.key_id)
    .bind(&half.public_key)
    .bind(sealed)
    .bind(half.created_at)
    .bind(signs_from)
    .execute(&mut **tx)
    .await?;
    Ok(half)
}

/// All keys of a purpose and an owner whose signatures are still taken, or will be;
/// newest first.
///
/// # Errors
/// No database.
pub async fn published(tx: &mut Tx, purpose: Purpose, owner: &str) -> Result<Vec<PublicHalf>> {
    published_at(tx, purpose, owner, now_ms()).await
}

/// As [`published`], by another time: what is made of it is the same whenever it is made.
///
/// # Errors
/// No database.
pub async fn published_at(tx: &mut Tx, purpose: Purpose, owner: &str, at: i64) -> Result<Vec<PublicHalf>> {
    let rows = sqlx::query(
        "SELECT key_id, public_key, created_at, signs_from, not_after FROM signing_keys \
         WHERE purpose = $1 AND owner = $2 AND (not_after IS NULL OR not_after > $3) \
         ORDER BY signs_from DESC, key_id",
    )
    .bind(purpose.name())
    .bind(owner)
    .bind(at)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(PublicHalf {
                key_id: row.try_get("key_id")?,
                public_key: row.try_get("public_key")?,
                created_at: row.try_get("created_at")?,
                signs_from: row.try_get("signs_from")?,
                not_after: row.try_get("not_after")?,
            })
        })
        .collect()
}

/// The key that signs now: the newest whose time has come.
///
/// # Errors
/// There is none, it cannot be opened, or no database.
pub async fn signer(tx: &mut Tx, vault: &Vault, purpose: Purpose, owner: &str) -> Result<Signer> {
    let now = now_ms();
    let row = sqlx::query(
        "SELECT key_id, sealed_seed FROM signing_keys WHERE purpose = $1 AND owner = $2 \
         AND signs_from <= $3 AND (not_after IS NULL OR not_after > $4) \
         ORDER BY signs_from DESC, key_id LIMIT 1",
    )
    .bind(purpose.name())
    .bind(owner)
    .bind(now)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await?
    .with_context(|| format!("{owner} has no key for {}", purpose.name()))?;
    let key_id: String = row.try_get("key_id")?;
    let key = unsealed(vault, purpose, owner, &key_id, &row.try_get::<String, _>("sealed_seed")?)?;
    Ok(Signer { key_id, key })
}

/// The key of this id.
///
/// # Errors
/// There is none, it cannot be opened, or no database.
pub async fn open(
    tx: &mut Tx,
    vault: &Vault,
    purpose: Purpose,
    owner: &str,
    key_id: &str,
) -> Result<SecretKey> {
    let (sealed,): (String,) = sqlx::query_as(
        "SELECT sealed_seed FROM signing_keys WHERE purpose = $1 AND owner = $2 AND key_id = $3",
    )
    .bind(purpose.name())
    .bind(owner)
    .bind(key_id)
    .fetch_one(&mut **tx)
    .await?;
    unsealed(vault, purpose, owner, key_id, &sealed)
}

fn unsealed(vault: &Vault, purpose: Purpose, owner: &str, key_id: &str, sealed: &str) -> Result<SecretKey> {
    let seed = vault.open(&about(purpose.name(), owner, key_id), sealed)?;
    let seed = <[u8; 32]>::try_from(seed).map_err(|_| anyhow!("a key's seed is not 32 bytes"))?;
    Ok(SecretKey::from_seed(seed))
}

/// Makes a key that takes over at `takes_over_at`. What the others signed is taken until
/// `others_until`, both in milliseconds since 1970.
///
/// # Errors
/// As [`create`].
pub async fn rotate(
    tx: &mut Tx,
    vault: &Vault,
    purpose: Purpose,
    owner: &str,
    takes_over_at: i64,
    others_until: i64,
) -> Result<PublicHalf> {
    sqlx::query(
        "UPDATE signing_keys SET not_after = $1 \
         WHERE purpose = $2 AND owner = $3 AND (not_after IS NULL OR not_after > $4)",
    )
    .bind(others_until)
    .bind(purpose.name())
    .bind(owner)
    .bind(others_until)
    .execute(&mut **tx)
    .await?;
    create(tx, vault, purpose, owner, takes_over_at).await
}

/// Ends all keys of an owner: nothing that they have signed is taken any more.
///
/// # Errors
/// No database.
pub async fn end(tx: &mut Tx, purpose: Purpose, owner: &str) -> Result<()> {
    let now = now_ms();
    sqlx::query(
        "UPDATE signing_keys SET not_after = $1 \
         WHERE purpose = $2 AND owner = $3 AND (not_after IS NULL OR not_after > $4)",
    )
    .bind(now)
    .bind(purpose.name())
    .bind(owner)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a key at `now`: it signs no more, and what it signed is not taken. The key that
/// follows it signs from then on. Answers whether there is such a one; else nothing changes.
///
/// # Errors
/// No database.
pub async fn retire(tx: &mut Tx, purpose: Purpose, owner: &str, key_id: &str, now: i64) -> Result<bool> {
    // Only a key without an end follows: one with an end would leave nobody to sign.
    let next: Option<(String,)> = sqlx::query_as(
        "SELECT key_id FROM signing_keys WHERE purpose = $1 AND owner = $2 AND key_id <> $3 \
         AND not_after IS NULL ORDER BY signs_from LIMIT 1",
    )
    .bind(purpose.name())
    .bind(owner)
    .bind(key_id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((next,)) = next else { return Ok(false) };
    sqlx::query("UPDATE signing_keys SET not_after = $1 WHERE purpose = $2 AND owner = $3 AND key_id = $4")
        .bind(now)
        .bind(purpose.name())
        .bind(owner)
        .bind(key_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "UPDATE signing_keys SET signs_from = $1 \
         WHERE purpose = $2 AND owner = $3 AND key_id = $4 AND signs_from > $1",
    )
    .bind(now)
    .bind(purpose.name())
    .bind(owner)
    .bind(next)
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// The id of a key: base64url of the SHA-256 of its 32 bytes.
pub fn thumbprint(public_key: &[u8; 32]) -> String {
    base64::encode_url(&sha256(public_key))
}

/// What a sealed seed is about.
pub(crate) fn about(purpose: &str, owner: &str, key_id: &str) -> String {
    format!("{purpose}/{owner}/{key_id}")
}

/// Nothing of the key is shown.
impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.key_id)
    }
}
