//! The database's tables, and the migration of older databases.

use crate::receipts::store::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};
use std::path::Path;

/// Statements of each schema version; the version of a database is the number of steps it has taken.
const STEPS: &[&str] = &["
    -- When it was created: it has all receipts of every lease that began later.
    CREATE TABLE origin (created_ms INTEGER NOT NULL) STRICT;
    INSERT INTO origin VALUES (CAST(strftime('%s', 'now') AS INTEGER) * 1000);

    -- A machine in a lease: its counters.
    CREATE TABLE tabs (
        id INTEGER PRIMARY KEY,
        board BLOB NOT NULL,
        slot INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        address BLOB NOT NULL,
        first_round INTEGER NOT NULL,
        cluster BLOB NOT NULL,
        spender BLOB,
        seq INTEGER NOT NULL,
        units INTEGER NOT NULL,
        price INTEGER NOT NULL,
        sealed INTEGER NOT NULL CHECK (sealed <= seq),
        last_ms INTEGER NOT NULL,
        UNIQUE (board, slot, generation, lease)
    ) STRICT;
    CREATE INDEX tabs_address ON tabs (address, first_round);
    CREATE INDEX tabs_unsealed ON tabs (id) WHERE sealed < seq;

    -- signed: 328 bytes of receipt, 64 of signature.
    CREATE TABLE receipts (
        tab INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL UNIQUE,
        signed BLOB NOT NULL,
        PRIMARY KEY (tab, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER receipts_stay BEFORE UPDATE ON receipts
    BEGIN SELECT RAISE (ABORT, 'receipts never change'); END;

    CREATE TABLE batches (
        board BLOB NOT NULL,
        slot INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        number INTEGER NOT NULL,
        tab INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        count INTEGER NOT NULL,
        header BLOB NOT NULL,
        source TEXT NOT NULL,
        log_index INTEGER,
        PRIMARY KEY (board, slot, generation, number),
        UNIQUE (tab, first_seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX batches_sealed ON batches (board, slot, generation, number) WHERE log_index IS NULL;
    CREATE TRIGGER batches_stay BEFORE UPDATE OF
        board, slot, generation, number, tab, first_seq, count, header, source ON batches
    BEGIN SELECT RAISE (ABORT, 'sealed batches never change'); END;

    -- The voucher with the highest price of each lease; redeemed: what of it the chain has paid.
    CREATE TABLE vouchers (
        lease BLOB NOT NULL,
        first_round INTEGER NOT NULL,
        price INTEGER NOT NULL,
        signed BLOB NOT NULL,
        redeemed INTEGER NOT NULL,
        PRIMARY KEY (lease, first_round)
    ) STRICT, WITHOUT ROWID;
", "
    -- rest: millionths of a payment unit that are in no receipt yet. paid: what vouchers had paid before the first receipt.
    -- ended_ms: when the machine was seen to serve the lease no more.
    ALTER TABLE tabs ADD COLUMN rest INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tabs ADD COLUMN paid INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tabs ADD COLUMN ended_ms INTEGER;
    CREATE INDEX tabs_spender ON tabs (spender, last_ms) WHERE spender IS NOT NULL;
    CREATE INDEX tabs_running ON tabs (id) WHERE ended_ms IS NULL;
    -- pruned: receipts that were deleted, from the first on.
    ALTER TABLE batches ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX batches_kept ON batches (tab) WHERE log_index IS NOT NULL AND pruned < count;
"];

/// A receipt that was returned must survive a loss of power, so that each commit is flushed to the disk.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // One statement for each size of a group of inserted receipts, and the others.
        .statement_cache_capacity(128)
}

/// Takes the steps that the database has not taken yet.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT")
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query("SELECT max(version) FROM schema_version").fetch_one(&mut *transaction).await?;
    let found: i64 = row.try_get::<Option<i64>, _>(0)?.unwrap_or(0);
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let taken = usize::try_from(found).ok().filter(|taken| *taken <= STEPS.len());
    let left = taken.and_then(|taken| STEPS.get(taken..)).ok_or(StoreError::Newer { found, known })?;
    for step in left {
        sqlx::raw_sql(step).execute(&mut *transaction).await?;
    }
    if !left.is_empty() {
        sqlx::query("INSERT INTO schema_version VALUES (?)").bind(known).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// Writes what is there already.
pub(super) async fn touch(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE origin SET created_ms = created_ms").execute(connection).await?;
    Ok(())
}

/// When the database was created, in Unix milliseconds.
pub(super) async fn created_ms(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT created_ms FROM origin").fetch_one(connection).await?;
    super::rows::number(&row, "created_ms")
}
