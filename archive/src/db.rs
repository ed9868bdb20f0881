//! The database: SQLite or Postgres, by its URL.

use solana_pubkey::Pubkey;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow, install_default_drivers};
use sqlx::{Any, AnyPool, Connection, Row, Transaction};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// Connections at a time.
const CONNECTIONS: u32 = 8;
/// How long a query waits for a connection. A database that is down keeps requests for as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Statements of each schema version; the version of a database is the number of steps it has taken. `BYTES` stands
/// for the database's own name of a byte string.
const STEPS: &[&[&str]] = &[
    &[
        // followed: the transaction after which to go on.
        "CREATE TABLE logs (
        id BIGINT NOT NULL PRIMARY KEY,
        address BYTES NOT NULL UNIQUE,
        followed TEXT,
        batches BIGINT NOT NULL
    )",
        // Complete nodes of the logs' ranges: the leaf `place` has height 0.
        "CREATE TABLE nodes (
        log BIGINT NOT NULL,
        height BIGINT NOT NULL,
        place BIGINT NOT NULL,
        hash BYTES NOT NULL,
        PRIMARY KEY (log, height, place)
    )",
        // state: 0 receipts missing, 1 stored, 2 the source gave others. trouble: why the last download failed.
        // next_try: Unix seconds.
        "CREATE TABLE batches (
        log BIGINT NOT NULL,
        place BIGINT NOT NULL,
        board BYTES NOT NULL,
        slot BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        number BIGINT NOT NULL,
        header BYTES NOT NULL,
        source TEXT NOT NULL,
        state BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        next_try BIGINT NOT NULL,
        trouble TEXT,
        PRIMARY KEY (log, place)
    )",
        "CREATE INDEX batches_key ON batches (board, slot, generation, number)",
        "CREATE INDEX batches_wanted ON batches (next_try) WHERE state <> 1",
        // signed: all receipts of a batch with their signatures, 392 bytes each.
        "CREATE TABLE leaves (
        log BIGINT NOT NULL,
        place BIGINT NOT NULL,
        signed BYTES NOT NULL,
        PRIMARY KEY (log, place)
    )",
        "CREATE TABLE receipts (
        id BYTES NOT NULL,
        log BIGINT NOT NULL,
        batch BIGINT NOT NULL,
        place BIGINT NOT NULL,
        PRIMARY KEY (id, log, batch)
    )",
        "CREATE INDEX receipts_batch ON receipts (log, batch)",
    ],
    &[
        // stored: bytes of the log's receipts.
        "ALTER TABLE logs ADD COLUMN stored BIGINT NOT NULL DEFAULT 0",
        "UPDATE logs SET stored = coalesce((SELECT sum(length(signed)) FROM leaves WHERE leaves.log = logs.id), 0)",
    ],
    // The cluster whose logs these are: one row.
    &["CREATE TABLE clusters (genesis BYTES NOT NULL)"],
    // Transactions down to which a log was listed: its older ones are read first. The last place is the oldest.
    &["CREATE TABLE marks (
        log BIGINT NOT NULL,
        place BIGINT NOT NULL,
        signature TEXT NOT NULL,
        PRIMARY KEY (log, place)
    )"],
];

/// Why the database failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database cannot be opened ({0}): give sqlite:PATH, or the URL of a Postgres database")]
    Open(sqlx::Error),
    #[error("the database has schema version {found}, this program knows {known}: use a newer program")]
    Newer { found: i64, known: i64 },
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
    #[error(
        "no connection to the database within {} s{}: check that it runs, is reached from here, and takes {CONNECTIONS} \
         connections",
        PATIENCE.as_secs(),
        _0.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default()
    )]
    NoConnection(Option<sqlx::Error>),
    #[error("the database is damaged ({0}): start with a new database; it is filled again from the chain")]
    Malformed(&'static str),
    #[error("batches {known} to {first} (exclusive) of log {log} are missing")]
    Gap { log: Pubkey, first: u64, known: u64 },
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::NoConnection(None),
            error => Self::Database(error),
        }
    }
}

impl DbError {
    /// True if the database can't be reached, and may be later.
    pub(crate) fn is_unavailable(&self) -> bool {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, WorkerCrashed};
        match self {
            Self::NoConnection(_) => true,
            Self::Database(Io(_) | PoolClosed | PoolTimedOut | WorkerCrashed) => true,
            // Postgres: it starts, or is shut down.
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P"))
            }
            _ => false,
        }
    }
}

/// Handle of the database; clones share it.
#[derive(Clone, Debug)]
pub struct Db {
    pub(crate) pool: AnyPool,
    /// One writer at a time: SQLite has no more, and logs are appended to in order.
    writes: Arc<Mutex<()>>,
}

/// A transaction of the only writer.
pub(crate) struct Write<'a> {
    pub transaction: Transaction<'static, Any>,
    _turn: MutexGuard<'a, ()>,
}

impl Db {
    /// Opens the database at a URL. A SQLite file is created if there is none.
    ///
    /// # Errors
    /// [`DbError::Open`] and [`DbError::Newer`].
    pub async fn open(url: &str) -> Result<Self, DbError> {
        install_default_drivers();
        let sqlite = url.starts_with("sqlite:");
        let url = match sqlite && !url.contains('?') {
            true => format!("{url}?mode=rwc"),
            false => url.to_owned(),
        };
        let options = AnyConnectOptions::from_str(&url).map_err(DbError::Open)?;
        // A database in memory is one for each connection.
        let connections = if url.contains(":memory:") { 1 } else { CONNECTIONS };
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await;
        let pool = pool.map_err(DbError::Open)?;
        if sqlite {
            sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await?;
        }
        let db = Db { pool, writes: Arc::default() };
        db.migrate(if sqlite { "BLOB" } else { "BYTEA" }).await?;
        Ok(db)
    }

    /// Opens a SQLite file, or creates it.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn open_file(path: &std::path::Path) -> Result<Self, DbError> {
        let path = path.display().to_string().replace('%', "%25").replace('?', "%3f");
        Self::open(&format!("sqlite:{path}")).await
    }

    /// Genesis hash of the cluster whose logs the database has: the one that it is first asked with. A log has the same address
    /// on every cluster on which its supplier has one; followed on another, its batches would be taken for a dropped fork's.
    ///
    /// # Errors
    /// The database's.
    pub async fn cluster(&self, genesis: [u8; 32]) -> Result<[u8; 32], DbError> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT genesis FROM clusters").fetch_optional(&mut *write.transaction).await?;
        if let Some(row) = row {
            return bytes(&row, "genesis");
        }
        let insert = sqlx::query("INSERT INTO clusters VALUES ($1)").bind(genesis.to_vec());
        insert.execute(&mut *write.transaction).await?;
        write.commit().await?;
        Ok(genesis)
    }

    /// Adds the cause to an error that has none: the pool says only that it waited in vain.
    pub(crate) async fn explained(&self, error: DbError) -> DbError {
        match error {
            DbError::NoConnection(None) => {
                let options = self.pool.connect_options();
                let tried = timeout(PATIENCE, sqlx::AnyConnection::connect_with(&options)).await;
                DbError::NoConnection(tried.ok().and_then(Result::err))
            }
            error => error,
        }
    }

    /// Waits for the queries under way and closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn write(&self) -> Result<Write<'_>, DbError> {
        let turn = self.writes.lock().await;
        Ok(Write { transaction: self.pool.begin().await?, _turn: turn })
    }

    /// Takes the steps that the database has not taken yet.
    async fn migrate(&self, bytes: &str) -> Result<(), DbError> {
        let mut write = self.write().await?;
        let connection = &mut *write.transaction;
        let table = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        sqlx::query(table).execute(&mut *connection).await?;
        let newest = "SELECT version FROM schema_version ORDER BY version DESC LIMIT 1";
        let row = sqlx::query(newest).fetch_optional(&mut *connection).await?;
        let found = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0))?;
        let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
        let taken = usize::try_from(found).ok();
        let left = taken.and_then(|taken| STEPS.get(taken..)).ok_or(DbError::Newer { found, known })?;
        for statement in left.iter().copied().flatten() {
            sqlx::query(&statement.replace("BYTES", bytes)).execute(&mut *connection).await?;
        }
        if !left.is_empty() {
            let note = "INSERT INTO schema_version VALUES ($1)";
            sqlx::query(note).bind(known).execute(&mut *connection).await?;
        }
        write.commit().await
    }
}

impl Write<'_> {
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.transaction.commit().await?)
    }
}

/// A number as the databases store it: below 2^63.
pub(crate) fn int(number: u64) -> Result<i64, DbError> {
    i64::try_from(number).map_err(|_| DbError::Malformed("a number of 2^63 or more"))
}

/// An unsigned number from a column.
pub(crate) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &str) -> Result<T, DbError> {
    T::try_from(row.try_get(column)?).map_err(|_| DbError::Malformed("a number out of range"))
}

pub(crate) fn bytes<const N: usize>(row: &AnyRow, column: &str) -> Result<[u8; N], DbError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| DbError::Malformed("bytes of a wrong length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_without_a_free_connection_is_unavailable_and_then_answers_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_file(&folder.path().join("archive.db")).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(db.pool.acquire().await.unwrap());
        }
        let error = db.totals().await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().starts_with("no connection to the database within 5 s: check that it"));
        drop(held);
        db.totals().await.unwrap();
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let told = DbError::NoConnection(Some(refused.into())).to_string();
        assert!(told.contains("refused"), "{told}");
        assert!(!DbError::Malformed("x").is_unavailable());
    }

    /// A full disk makes SQLite roll a transaction back by itself, as this trigger does.
    #[tokio::test]
    async fn the_database_is_written_again_once_the_disk_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.db");
        let db = Db::open_file(&path).await.unwrap();
        let write = async |statement: &'static str| {
            let mut write = db.write().await?;
            sqlx::query(statement).execute(&mut *write.transaction).await?;
            write.commit().await
        };
        write("CREATE TABLE t (a INT)").await.unwrap();
        write(
            "CREATE TRIGGER full BEFORE INSERT ON t BEGIN SELECT RAISE (ROLLBACK, 'the disk is full'); END",
        )
        .await
        .unwrap();
        // On every connection of the pool.
        for _ in 0..2 * CONNECTIONS {
            write("INSERT INTO t VALUES (1)").await.unwrap_err();
        }
        write("DROP TRIGGER full").await.unwrap();
        for _ in 0..2 * CONNECTIONS {
            write("INSERT INTO t VALUES (2)").await.unwrap();
        }
        db.close().await;
        let db = Db::open_file(&path).await.unwrap();
        let row = sqlx::query("SELECT count(*) FROM t").fetch_one(&db.pool).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), i64::from(2 * CONNECTIONS));
    }
}
