//! The file, and its versions.

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::columns::Id;
use crate::generator::catalog::CatalogError;

const VERSIONS: [&str; 3] =
    [include_str!("../schema/1.sql"), include_str!("../schema/2.sql"), include_str!("../schema/3.sql")];

/// Has a connection sync what it writes.
pub(super) fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)
}

/// Brings the file to the version of now; a new one gets `identity`.
pub(super) fn migrate(db: &mut Connection, identity: Uuid) -> Result<(), CatalogError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(CatalogError::Newer { found, known });
    }
    for version in VERSIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(version)?;
    }
    transaction.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", [Id(identity)])?;
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}
