//! Backups: all tables as they were at one moment, in one file of JSON lines that either
//! kind of database can be restored from. Signing keys in it are sealed; the master key
//! is not in it.

use crate::db::{Backend, Db, Tx};
use crate::settings::{BackupArgs, RestoreArgs};
use crate::time::{iso, now_ms};
use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{AssertSqlSafe, Column, Row, TypeInfo, ValueRef};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// All tables, each after those that it refers to.
const TABLES: &[&str] = &[
    "service",
    "trust_clock",
    "api_keys",
    "signing_keys",
    "issuers",
    "gates",
    "catalogs",
    "catalog_services",
    "gate_keys",
    "attestation_keys",
    "record_logs",
    "record_lanes",
    "records",
    "record_tiles",
    "checkpoints",
    "enrolment_tokens",
    "passports",
    "receipts",
    "settlements",
    "settled_receipts",
    "settlement_changes",
    "used_assertions",
    "revocations",
    "revocation_changes",
    "agents",
    "badges",
    "badge_challenges",
    "followed_issuers",
    "followed_agents",
    "did_documents",
    "spend_accounts",
    "spend_days",
    "spend_leases",
    "approvals",
    "enforced_counts",
    "passport_constraints",
    "constraint_templates",
    "audit",
];

/// Tables that no backup has. What was used once at a gate, or what its proxies have taken up,
/// matters for minutes, changes with every request, and would be old by the time that anybody
/// restores it: after a restore there are minutes in which it is not known, with or without
/// these rows. Whoever was signed in at the console signs in again.
const LEFT_OUT: &[&str] =
    &["gate_nonces", "consumption_nonces", "gate_proxies", "console_links", "console_sessions", "heartbeats"];

/// The numbers of changes go on from this far behind the backup's last. Gates take no
/// number that is lower than one they have seen, and what was changed after the backup had
/// numbers too; four thousand million are more than a service makes between two backups,
/// and there is room for two million restores below 2^53.
const NUMBERS_LEFT_OUT: i64 = 1 << 32;

const FORMAT: u32 = 1;

/// A line of the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// The first.
    PortcullisBackup {
        /// Of what the lines mean.
        format: u32,
        /// When it was made.
        made_at: String,
        /// The version of the tables.
        tables_version: i64,
    },
    /// One row.
    Row {
        /// Whose.
        table: String,
        /// Its columns; those that are null are left out.
        values: Map<String, Value>,
    },
    /// The last: so many rows went before.
    End(u64),
}

/// Writes a backup, and says to standard output what is in it.
///
/// # Errors
/// The database cannot be read, or the file exists or cannot be written.
pub async fn backup(args: &BackupArgs) -> Result<()> {
    let db = Db::open(&args.storage.database).await?;
    let mut tx = db.read().await?;
    let file = create(&args.to)?;
    let written = write(&mut tx, db.backend(), file).await;
    if written.is_err() {
        // Half a backup must not pass for one.
        let _ = std::fs::remove_file(&args.to);
    }
    let rows = written?;
    tx.rollback().await?;
    db.close().await;
    println!("{rows} rows; the master key is not among them: keep a copy of it, apart from this file");
    Ok(())
}

/// Restores a backup into an empty database, and says to standard output what is needed.
///
/// # Errors
/// The database is not empty, or the file is no whole backup of this version or an older.
pub async fn restore(args: &RestoreArgs) -> Result<()> {
    let file = File::open(&args.from).with_context(|| format!("cannot read {}", args.from.display()))?;
    let db = Db::open(&args.storage.database).await?;
    let mut tx = db.write_alone().await?;
    must_be_empty(&mut tx, db.backend()).await?;
    let rows = read(&mut tx, BufReader::new(file)).await.with_context(|| args.from.display().to_string())?;
    leave_numbers_out(&mut tx).await?;
    tx.commit().await?;
    db.close().await;
    println!(
        "{rows} rows; start the service with the master key of the database that was backed up: \
         --master-key-file, PORTCULLIS_MASTER_KEY, or for SQLite the database's file name with .key"
    );
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| format!("cannot make {}", path.display()))
}

async fn write(tx: &mut Tx, backend: Backend, file: File) -> Result<u64> {
    let is_known = |table: &String| [TABLES, LEFT_OUT].concat().contains(&table.as_str());
    let unknown: Vec<String> =
        tables(tx, backend).await?.into_iter().filter(|table| !is_known(table)).collect();
    ensure!(unknown.is_empty(), "the database has tables that would be missing: {}", unknown.join(", "));
    let mut out = BufWriter::new(file);
    let made_at = iso(now_ms());
    write_line(
        &mut out,
        &Line::PortcullisBackup { format: FORMAT, made_at, tables_version: version(tx).await? },
    )?;
    let mut count = 0_u64;
    for table in TABLES {
        let query = format!("SELECT * FROM {table}");
        let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            let values = values(&row).with_context(|| format!("the table {table}"))?;
            write_line(&mut out, &Line::Row { table: (*table).to_owned(), values })?;
            count = count.saturating_add(1);
        }
    }
    write_line(&mut out, &Line::End(count))?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}

fn write_line(out: &mut impl Write, line: &Line) -> Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    Ok(out.write_all(b"\n")?)
}

fn values(row: &AnyRow) -> Result<Map<String, Value>> {
    let mut values = Map::new();
    for column in row.columns() {
        let (name, raw) = (column.name().to_owned(), row.try_get_raw(column.ordinal())?);
        if raw.is_null() {
            continue;
        }
        let value = match raw.type_info().kind() {
            AnyTypeInfoKind::Text => Value::from(row.try_get::<String, _>(column.ordinal())?),
            AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                Value::from(row.try_get::<i64, _>(column.ordinal())?)
            }
            _ => bail!("{name} is of the type {}, which a backup has not", raw.type_info().name()),
        };
        values.insert(name, value);
    }
    Ok(values)
}

async fn read(tx: &mut Tx, file: impl BufRead) -> Result<u64> {
    let mut lines = file.lines();
    let first = lines.next().context("the file is empty")??;
    match serde_json::from_str(&first) {
        Ok(Line::PortcullisBackup { format: FORMAT, tables_version, .. }) => {
            let ours = version(tx).await?;
            ensure!(
                tables_version == ours,
                "the backup's tables are of version {tables_version}, this program's of {ours}: \
                 restore it with the program that made it"
            );
        }
        Ok(Line::PortcullisBackup { format, .. }) => bail!("the backup's format {format} is unknown"),
        _ => bail!("the file is no backup"),
    }
    sqlx::query("DELETE FROM trust_clock").execute(&mut **tx).await?;
    let mut count = 0_u64;
    let mut is_whole = false;
    for (index, line) in lines.enumerate() {
        let number = index.saturating_add(2);
        ensure!(!is_whole, "line {number}: something follows the end");
        let line = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
        match line {
            Line::Row { table, values } => {
                insert(tx, &table, &values).await.with_context(|| format!("line {number}"))?;
                count = count.saturating_add(1);
            }
            Line::End(rows) => {
                ensure!(rows == count, "{rows} rows were written, {count} are here");
                is_whole = true;
            }
            Line::PortcullisBackup { .. } => bail!("line {number}: a second beginning"),
        }
    }
    ensure!(is_whole, "the backup has no end: it is not whole");
    Ok(count)
}

/// What goes into a statement's text is a name and nothing else.
fn is_column(name: &str) -> bool {
    let is_letter = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(is_letter)
}

async fn insert(tx: &mut Tx, table: &str, values: &Map<String, Value>) -> Result<()> {
    ensure!(TABLES.contains(&table), "there is no table {table:.100}");
    ensure!(!values.is_empty() && values.keys().all(|name| is_column(name)), "a column's name is none");
    let columns = values.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let places = (1..=values.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let mut query = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} ({columns}) VALUES ({places})")));
    for (name, value) in values {
        query = match value {
            Value::String(text) => query.bind(text.clone()),
            Value::Number(number) => {
                query.bind(number.as_i64().with_context(|| format!("{name} is no integer"))?)
            }
            _ => bail!("{name} is neither text nor an integer"),
        };
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

async fn must_be_empty(tx: &mut Tx, backend: Backend) -> Result<()> {
    for table in tables(tx, backend).await? {
        let condition = if table == "trust_clock" { " WHERE number > 0" } else { "" };
        let query = format!("SELECT COUNT(*) FROM {table}{condition}");
        let (rows,): (i64,) = sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut **tx).await?;
        ensure!(rows == 0, "the database is not empty: there are {rows} rows in {table}");
    }
    Ok(())
}

/// Gives everything that gates see a number that none of them has seen.
async fn leave_numbers_out(tx: &mut Tx) -> Result<()> {
    let (number,): (i64,) = sqlx::query_as(
        "UPDATE trust_clock SET number = number + $1, revocations_number = number + $1 WHERE id = 1 RETURNING number",
    )
    .bind(NUMBERS_LEFT_OUT)
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query("UPDATE gates SET snapshot_number = $1, snapshot_at = $2")
        .bind(number)
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    // No delta may be made of changes from before.
    sqlx::query("DELETE FROM revocation_changes").execute(&mut **tx).await?;
    Ok(())
}

async fn version(tx: &mut Tx) -> Result<i64> {
    let (version,): (i64,) =
        sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut **tx).await?;
    Ok(version)
}

/// The tables of this database, but for what sqlx and SQLite keep for themselves.
async fn tables(tx: &mut Tx, backend: Backend) -> Result<BTreeSet<String>> {
    let query = match backend {
        Backend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        Backend::Postgres => {
            "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()"
        }
    };
    let rows: Vec<(String,)> = sqlx::query_as(query).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(|(name,)| name).filter(|name| name != "_sqlx_migrations").collect())
}

#[cfg(test)]
mod tests {
    /// What a backup writes it must take again: the names of all columns that tables are made with.
    #[test]
    fn a_column_with_a_digit_is_restored() {
        assert!(super::is_column("base_sha256") && super::is_column("gate_id"));
        assert!(!super::is_column("") && !super::is_column("a) VALUES (1); --"));
    }
}
