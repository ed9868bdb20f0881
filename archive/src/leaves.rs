//! Receipts of batches in the database: stored once they match the log, found by their ids.

use crate::db::{Db, DbError, bytes, int, number};
use crate::headers::{Placed, header, placed};
use leasehold::state::BatchHeader;
use solana_pubkey::Pubkey;
use sqlx::Row;

/// Rows in one statement: SQLite takes 32,766 values.
const ROWS: usize = 4_000;

/// A batch whose receipts are not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingLeaves {
    pub(super) log: i64,
    pub(super) index: u64,
    /// Address of the log.
    pub address: Pubkey,
    /// Bytes of receipts that are stored of this log, and of all.
    pub stored: u64,
    pub stored_in_all: u64,
    pub header: BatchHeader,
    /// URL that its supplier named for its receipts.
    pub source: String,
    /// Downloads that failed.
    pub tries: u32,
}

/// State of a batch's receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeavesState {
    Missing,
    Stored,
    /// The source gave other receipts than the log has.
    Mismatch,
}

/// Why a download failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The source does not answer: its other batches wait as well.
    Unreachable,
    /// The source answers but does not serve the batch.
    NotServed,
    /// The source gave other receipts than the log has.
    Mismatch,
    /// The archive keeps no more receipts.
    Full,
}

/// A receipt: the batch it is in, and its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub batch: Placed,
    pub place: u32,
}

/// Contents of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub logs: u64,
    pub batches: u64,
    /// Batches without receipts, those of `mismatched` included.
    pub missing: u64,
    /// Batches whose source gave other receipts than the log has.
    pub mismatched: u64,
}

impl Db {
    /// Batches whose receipts are due to be downloaded at Unix second `now`, those that waited longest first; `most`
    /// of them at most, and `each` of one log, so that none keeps the others waiting.
    pub async fn missing(&self, now: i64, most: u32, each: u32) -> Result<Vec<MissingLeaves>, DbError> {
        let query = "SELECT address, log, place, header, source, tries, stored, \
            (SELECT CAST(sum(stored) AS BIGINT) FROM logs) AS in_all FROM ( \
                SELECT *, row_number() OVER (PARTITION BY log ORDER BY next_try, place) AS turn \
                FROM batches WHERE state <> 1 AND next_try <= $1 \
            ) AS due JOIN logs ON logs.id = due.log \
            WHERE turn <= $3 ORDER BY next_try, log, place LIMIT $2";
        let query = sqlx::query(query).bind(now).bind(i64::from(most)).bind(i64::from(each));
        let missing = |row: &sqlx::any::AnyRow| {
            Ok(MissingLeaves {
                log: row.try_get("log")?,
                index: number(row, "place")?,
                address: Pubkey::new_from_array(bytes(row, "address")?),
                stored: number(row, "stored")?,
                stored_in_all: number(row, "in_all")?,
                header: header(row)?,
                source: row.try_get("source")?,
                tries: number(row, "tries")?,
            })
        };
        query.fetch_all(&self.pool).await?.iter().map(missing).collect()
    }

    /// Stores the receipts of a batch, which must have passed [`check`](crate::check()); `ids` are theirs, in order.
    /// Returns false if the batch is no longer in the log or was stored before.
    pub async fn store_leaves(
        &self,
        batch: &MissingLeaves,
        signed: &[u8],
        ids: &[[u8; 32]],
    ) -> Result<bool, DbError> {
        let mut write = self.write().await?;
        let index = int(batch.index)?;
        let set = "UPDATE batches SET state = 1, trouble = NULL WHERE log = $1 AND place = $2 AND header = $3 \
            AND state <> 1";
        let set = sqlx::query(set).bind(batch.log).bind(index);
        let set = set.bind(bytemuck::bytes_of(&batch.header).to_vec());
        if set.execute(&mut *write.transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let insert = "INSERT INTO leaves (log, place, signed) VALUES ($1, $2, $3)";
        let insert = sqlx::query(insert).bind(batch.log).bind(index).bind(signed.to_vec());
        insert.execute(&mut *write.transaction).await?;
        let count = sqlx::query("UPDATE logs SET stored = stored + $1 WHERE id = $2");
        count.bind(int(signed.len() as u64)?).bind(batch.log).execute(&mut *write.transaction).await?;
        for (chunk, ids) in ids.chunks(ROWS).enumerate() {
            let rows: Vec<_> = (1..).step_by(4).map(row).take(ids.len()).collect();
            let insert = format!("INSERT INTO receipts (id, log, batch, place) VALUES {}", rows.join(", "));
            let mut insert = sqlx::query(&insert);
            for (place, id) in (int(chunk as u64)?.saturating_mul(ROWS as i64)..).zip(ids) {
                insert = insert.bind(id.to_vec()).bind(batch.log).bind(index).bind(place);
            }
            insert.execute(&mut *write.transaction).await?;
        }
        write.commit().await.map(|()| true)
    }

    /// Notes that a download failed and why, and the Unix second of the next try.
    pub async fn note_failure(
        &self,
        batch: &MissingLeaves,
        failure: Failure,
        reason: &str,
        next_try: i64,
    ) -> Result<(), DbError> {
        let mut write = self.write().await?;
        let note = "UPDATE batches SET state = $1, tries = tries + 1, next_try = $2, trouble = $3 \
            WHERE log = $4 AND place = $5 AND state <> 1";
        let note = sqlx::query(note)
            .bind(if failure == Failure::Mismatch { 2i64 } else { 0 })
            .bind(next_try)
            .bind(reason.to_owned());
        let note = note.bind(batch.log).bind(int(batch.index)?);
        note.execute(&mut *write.transaction).await?;
        if failure == Failure::Unreachable {
            let wait = "UPDATE batches SET next_try = $1 WHERE source = $2 AND state <> 1 AND next_try < $1";
            let wait = sqlx::query(wait).bind(next_try).bind(batch.source.clone());
            wait.execute(&mut *write.transaction).await?;
        }
        write.commit().await
    }

    /// Finds a stored receipt by its id.
    pub async fn receipt(&self, id: &[u8; 32]) -> Result<Option<Located>, DbError> {
        let query = "SELECT address, receipts.batch AS place, receipts.place AS position, header FROM receipts \
            JOIN batches ON batches.log = receipts.log AND batches.place = receipts.batch \
            JOIN logs ON logs.id = receipts.log WHERE receipts.id = $1 ORDER BY receipts.batch DESC LIMIT 1";
        let row = sqlx::query(query).bind(id.to_vec()).fetch_optional(&self.pool).await?;
        let located = |row| Ok(Located { batch: placed(row)?, place: number(row, "position")? });
        row.as_ref().map(located).transpose()
    }

    /// All receipts of a batch with their signatures, 392 bytes each; `None` if they are not stored.
    pub async fn leaves(&self, log: &Pubkey, index: u64) -> Result<Option<Vec<u8>>, DbError> {
        let query = "SELECT signed FROM leaves JOIN logs ON logs.id = leaves.log \
            WHERE address = $1 AND leaves.place = $2";
        let query = sqlx::query(query).bind(log.to_bytes().to_vec()).bind(int(index)?);
        Ok(query.fetch_optional(&self.pool).await?.map(|row| row.try_get("signed")).transpose()?)
    }

    /// State of a batch's receipts, and why the last download failed; `None` if there is no such batch.
    pub async fn state(
        &self,
        log: &Pubkey,
        index: u64,
    ) -> Result<Option<(LeavesState, Option<String>)>, DbError> {
        let query = "SELECT state, trouble FROM batches JOIN logs ON logs.id = batches.log \
            WHERE address = $1 AND place = $2";
        let query = sqlx::query(query).bind(log.to_bytes().to_vec()).bind(int(index)?);
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let state = match row.try_get::<i64, _>("state")? {
            0 => LeavesState::Missing,
            1 => LeavesState::Stored,
            2 => LeavesState::Mismatch,
            _ => return Err(DbError::Malformed("an unknown state of a batch")),
        };
        Ok(Some((state, row.try_get("trouble")?)))
    }

    /// Counts the contents of the database.
    pub async fn totals(&self) -> Result<Totals, DbError> {
        let count = async |from: &str| {
            let row =
                sqlx::query(&format!("SELECT count(*) AS found FROM {from}")).fetch_one(&self.pool).await?;
            number(&row, "found")
        };
        Ok(Totals {
            logs: count("logs").await?,
            batches: count("batches").await?,
            missing: count("batches WHERE state <> 1").await?,
            mismatched: count("batches WHERE state = 2").await?,
        })
    }
}

/// Placeholders of four values, numbered from `first` on, as both databases take them.
fn row(first: usize) -> String {
    format!(
        "(${first}, ${}, ${}, ${})",
        first.saturating_add(1),
        first.saturating_add(2),
        first.saturating_add(3)
    )
}
