//! What handlers work with.

use crate::db::{Backend, Db};
use crate::keys::{self, Purpose};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outside::Fetcher;
use crate::records::stream::Followers;
use crate::settings::{Settings, Storage};
use crate::spend::Spend;
use crate::time::now_ms;
use crate::trust::TrustFeed;
use crate::trust::nonces::Nonces;
use crate::vault::Vault;
use anyhow::{Context, Result, bail};
use portcullis_core::capiscio::is_https_origin;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

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
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What running gates wait for.
    pub trust: Arc<TrustFeed>,
    /// What was used once at gates.
    pub nonces: Arc<Nonces>,
    /// What passports spend at gates.
    pub spend: Arc<Spend>,
    /// Who follows decisions as they are recorded.
    pub followers: Arc<Followers>,
    /// Leave to settle: each run takes all cores and some hundred megabytes.
    pub settling: Arc<Semaphore>,
    /// What reaches hosts of others.
    pub outside: Fetcher,
}

/// Settlements that are worked on at once.
const MOST_SETTLING: usize = 2;

impl App {
    /// Opens everything, and makes the service's own keys if it has none.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub async fn open(settings: Settings) -> Result<Self> {
        if !is_https_origin(&settings.public_url) {
            bail!("--public-url must be an HTTPS origin, such as https://control.example, without a path");
        }
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
        let nonces = Arc::new(Nonces::open(&db, settings.most_nonces).await?);
        let spend = Arc::new(Spend::open(&db, settings.most_spend_accounts).await?);
        let limits =
            Limits::new(settings.rate, settings.nonce_rate, settings.record_rate, settings.failed_rate);
        let metrics = Arc::new(Metrics::new());
        let outside = Fetcher::new(&settings.outside)?;
        Ok(App {
            db,
            vault,
            settings: Arc::new(settings),
            limits: Arc::new(limits),
            metrics,
            trust,
            nonces,
            spend,
            followers: Arc::default(),
            settling: Arc::new(Semaphore::new(MOST_SETTLING)),
            outside,
        })
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
            } else if is_sealed(db).await? {
                bail!("the database's master key is missing: it was {}", file.display());
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

async fn is_sealed(db: &Db) -> Result<bool> {
    let stored: Option<(String,)> = sqlx::query_as("SELECT value FROM service WHERE name = 'vault_check'")
        .fetch_optional(db.pool())
        .await?;
    Ok(stored.is_some())
}

fn key_file_beside(url: &str, db: &Db) -> Option<PathBuf> {
    if db.backend() != Backend::Sqlite {
        return None;
    }
    let file = url.strip_prefix("sqlite:")?.trim_start_matches("//").split('?').next()?;
    Some(PathBuf::from(format!("{file}.key")))
}

/// What the sealed text is about that tells a wrong master key.
pub(crate) const VAULT_CHECK: &str = "service/check";

/// Tries the vault on what the database was first used with, so that a wrong master key
/// is told at the start.
async fn check_vault(vault: &Vault, db: &Db) -> Result<()> {
    let mut tx = db.write_alone().await?;
    let stored: Option<(String,)> = sqlx::query_as("SELECT value FROM service WHERE name = 'vault_check'")
        .fetch_optional(&mut *tx)
        .await?;
    if let Some((sealed,)) = stored {
        vault.open(VAULT_CHECK, &sealed).context("the master key is not this database's")?;
    } else {
        sqlx::query("INSERT INTO service (name, value) VALUES ('vault_check', $1)")
            .bind(vault.seal(VAULT_CHECK, b"portcullis")?)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
