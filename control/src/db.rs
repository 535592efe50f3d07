//! The database: SQLite in one file, or PostgreSQL. One text of SQL serves both.

use anyhow::{Context, Result, bail};
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Transaction};
use std::time::Duration;

/// A pool of connections to a database whose tables are this version's.
#[derive(Clone, Debug)]
pub struct Db {
    pool: AnyPool,
    backend: Backend,
}

/// Which database it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backend {
    /// SQLite, in one file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// What belongs together, done or undone as one.
pub type Tx = Transaction<'static, Any>;

impl Db {
    /// Opens the database at `url` (`sqlite:FILE` or `postgres://…`), makes it if it is a
    /// file that does not exist, and brings its tables up to this version.
    ///
    /// # Errors
    /// It cannot be reached, or was last used by a newer version.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let backend = Backend::of(url)?;
        let url = match backend {
            Backend::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            _ => url.to_owned(),
        };
        let pool = AnyPoolOptions::new()
            // SQLite has one writer at a time, and readers that it does not hold up; a
            // PostgreSQL takes 100 connections unless told otherwise, for several of us.
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if backend == Backend::Sqlite {
                        // FULL: what was acknowledged is on the disk, and not only with
                        // the operating system.
                        for pragma in [
                            "PRAGMA busy_timeout = 10000",
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            sqlx::query(pragma).execute(&mut *connection).await?;
                        }
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .context("the database cannot be reached")?;
        sqlx::migrate!().run(&pool).await.context("the database's tables cannot be brought up to date")?;
        Ok(Db { pool, backend })
    }

    /// Which database it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The connections, for single statements.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins to read: all statements see one state.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn read(&self) -> Result<Tx, sqlx::Error> {
        match self.backend {
            Backend::Sqlite => self.pool.begin().await,
            Backend::Postgres => {
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
            }
        }
    }

    /// Begins to write. In SQLite nobody else writes until this ends; in PostgreSQL what
    /// must not be interleaved locks its rows (`UPDATE … RETURNING` is enough).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn write(&self) -> Result<Tx, sqlx::Error> {
        match self.backend {
            Backend::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Backend::Postgres => self.pool.begin().await,
        }
    }

    /// Begins to write, and waits until nobody else does who began so too.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn write_alone(&self) -> Result<Tx, sqlx::Error> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE trust_clock SET number = number WHERE id = 1").execute(&mut *tx).await?;
        Ok(tx)
    }

    /// Ends all connections, what is under way first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Backend {
    fn of(url: &str) -> Result<Self> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Backend::Sqlite),
            Some("postgres" | "postgresql") => Ok(Backend::Postgres),
            _ => bail!("the database must be sqlite:FILE or postgres://USER@HOST/NAME"),
        }
    }
}

/// Whether an error means that a row of this key exists already.
pub fn is_conflict(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
