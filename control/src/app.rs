//! What handlers work with.

use crate::db::{Backend, Db};
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::outside::Fetcher;
use crate::settings::{Settings, Storage};
use crate::time::now_ms;
use crate::trust::TrustFeed;
use crate::vault::Vault;
use anyhow::{Context, Result, bail};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

/// What handlers work with: one for the process, cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// What opens and seals signing keys.
    pub vault: Vault,
    /// How the service is run.
    pub settings: Arc<Settings>,
    /// Who calls too often.
    pub limits: Arc<Limits>,
    /// What running gates wait for.
    pub trust: Arc<TrustFeed>,
    /// What reaches hosts of others.
    pub outside: Fetcher,
}

impl App {
    /// Opens everything, and makes the service's own keys if it has none.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub async fn open(settings: Settings) -> Result<Self> {
        let db = Db::open(&settings.storage.database).await?;
        let vault = open_vault(&settings.storage, &db).await?;
        let mut tx = db.write_alone().await?;
        for purpose in [Purpose::Badges, Purpose::Trust] {
            if keys::published(&mut tx, purpose, keys::SERVICE).await?.is_empty() {
                keys::create(&mut tx, &vault, purpose, keys::SERVICE, now_ms()).await?;
            }
        }
        tx.commit().await?;
        let trust = Arc::new(TrustFeed::open(&db, &vault).await?);
        let outside = Fetcher::new(&settings.outside)?;
        let limits = Arc::new(Limits::new(settings.rate));
        Ok(App { db, vault, settings: Arc::new(settings), limits, trust, outside })
    }
}

/// The vault of a database: under the key of a file, of the environment, or of the file
/// beside a SQLite database, which is made at its first use.
///
/// # Errors
/// There is no key, or it is not this database's.
pub async fn open_vault(storage: &Storage, db: &Db) -> Result<Vault> {
    let vault = match (&storage.master_key_file, std::env::var("PORTCULLIS_MASTER_KEY")) {
        (Some(file), _) => Vault::from_file(file)?,
        (None, Ok(key)) => Vault::new(&key).context("PORTCULLIS_MASTER_KEY")?,
        (None, Err(_)) => {
            let Some(file) = key_file_beside(&storage.database, db) else {
                bail!("a PostgreSQL database needs --master-key-file or PORTCULLIS_MASTER_KEY");
            };
            if file.exists() {
                Vault::from_file(&file)?
            } else {
                let vault = Vault::create_file(&file)?;
                tracing::warn!(
                    file = %file.display(),
                    "made a master key; without it the signing keys in the database are lost: keep a copy, apart"
                );
                vault
            }
        }
    };
    check_vault(&vault, db).await?;
    Ok(vault)
}

fn key_file_beside(url: &str, db: &Db) -> Option<PathBuf> {
    if db.backend() != Backend::Sqlite {
        return None;
    }
    let file = url.strip_prefix("sqlite:")?.trim_start_matches("//").split('?').next()?;
    Some(PathBuf::from(format!("{file}.key")))
}

/// Tries the vault on what the database was first used with, so that a wrong master key
/// is told at the start.
async fn check_vault(vault: &Vault, db: &Db) -> Result<()> {
    const ABOUT: &str = "service/check";
    let mut tx = db.write_alone().await?;
    let stored: Option<(String,)> = sqlx::query_as("SELECT value FROM service WHERE name = 'vault_check'")
        .fetch_optional(&mut *tx)
        .await?;
    if let Some((sealed,)) = stored {
        vault.open(ABOUT, &sealed).context("the master key is not this database's")?;
    } else {
        sqlx::query("INSERT INTO service (name, value) VALUES ('vault_check', $1)")
            .bind(vault.seal(ABOUT, b"portcullis")?)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// How often each caller may call.
pub struct Limits {
    limiter: DefaultKeyedRateLimiter<String>,
    domains: DefaultKeyedRateLimiter<String>,
}

/// A caller may save up so many seconds' worth: a console that opens, a batch that starts.
const BURST_SECONDS: u32 = 5;

/// Looks for a domain's token, per issuer and minute: whoever sets a record tries a few
/// times, and hosts of others are not to be asked at will.
const DOMAIN_CHECKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Past so many callers, those who have not called lately are forgotten.
const KEPT_CALLERS: usize = 10_000;

impl Limits {
    fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
        Limits {
            limiter: RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)),
            domains: RateLimiter::keyed(Quota::per_minute(DOMAIN_CHECKS)),
        }
    }

    /// Counts a call of `caller`: an API key's id, a gate's, or an address.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check(&self, caller: &str) -> ApiResult<()> {
        check(&self.limiter, caller)
    }

    /// Counts a look for the token of the domain of `issuer`.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_domain(&self, issuer: &str) -> ApiResult<()> {
        check(&self.domains, issuer)
    }
}

fn check(limiter: &DefaultKeyedRateLimiter<String>, who: &str) -> ApiResult<()> {
    if limiter.len() > KEPT_CALLERS {
        limiter.retain_recent();
    }
    limiter.check_key(&who.to_owned()).map_err(|until| {
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        ApiError::too_many(wait.as_secs().saturating_add(1))
    })
}

impl fmt::Debug for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Limits({} callers)", self.limiter.len())
    }
}
