//! A new master key: what was sealed under the former is sealed under it.

use crate::app::{self, VAULT_CHECK};
use crate::db::{Db, Tx};
use crate::settings::ResealArgs;
use crate::vault::Vault;
use anyhow::{Context, Result, ensure};

/// Seals everything under the key of another file, which is made if it does not exist. The
/// service must not run meanwhile: it would go on with the former key.
///
/// # Errors
/// The former key is not this database's, or the new one cannot be had.
pub async fn reseal(args: &ResealArgs) -> Result<()> {
    let db = Db::open(&args.storage.database).await?;
    let former = app::open_vault(&args.storage, &db).await?;
    let file = &args.new_master_key_file;
    let new = if file.exists() { Vault::from_file(file)? } else { Vault::create_file(file)? };
    let mut tx = db.write_alone().await?;
    let count = all(&mut tx, &former, &new).await?;
    tx.commit().await?;
    db.close().await;
    println!("{count} keys are sealed under {}: start the service with it", file.display());
    Ok(())
}

async fn all(tx: &mut Tx, former: &Vault, new: &Vault) -> Result<u64> {
    let keys: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT purpose, owner, key_id, sealed_seed FROM signing_keys")
            .fetch_all(&mut **tx)
            .await?;
    let mut count = 0_u64;
    for (purpose, owner, key_id, sealed) in keys {
        let about = crate::keys::about(&purpose, &owner, &key_id);
        let sealed = new.seal(&about, &former.open(&about, &sealed)?)?;
        let updated = sqlx::query(
            "UPDATE signing_keys SET sealed_seed = $1 WHERE purpose = $2 AND owner = $3 AND key_id = $4",
        )
        .bind(sealed)
        .bind(purpose)
        .bind(owner)
        .bind(key_id)
        .execute(&mut **tx)
        .await?;
        ensure!(updated.rows_affected() == 1, "the key of {about} is no longer there");
        count = count.saturating_add(1);
    }
    let (check,): (String,) = sqlx::query_as("SELECT value FROM service WHERE name = 'vault_check'")
        .fetch_one(&mut **tx)
        .await
        .context("the database was never used")?;
    let check = new.seal(VAULT_CHECK, &former.open(VAULT_CHECK, &check)?)?;
    sqlx::query("UPDATE service SET value = $1 WHERE name = 'vault_check'")
        .bind(check)
        .execute(&mut **tx)
        .await?;
    Ok(count)
}
