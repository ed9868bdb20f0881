//! Receipts of batches: kept once they are what the log has, found by their ids.

use super::db::{Db, DbError, int, number};
use super::headers::{Placed, header, placed};
use leasehold::state::BatchHeader;
use solana_pubkey::Pubkey;
use sqlx::Row;

/// Rows in one statement: SQLite takes 32,766 values.
const ROWS: usize = 4_000;

/// A batch whose receipts are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) log: i64,
    pub(super) index: u64,
    pub header: BatchHeader,
    /// URL below which its supplier says they are.
    pub source: String,
    /// Times they could not be had.
    pub tries: u32,
}

/// Whether a batch's receipts are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Missing,
    Here,
    /// Its source told something else than the log has.
    Lied,
}

/// What went wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer: its other batches wait as well.
    Unreachable,
    /// It does not give the batch.
    Missing,
    Lied,
}

/// A receipt: the batch it is in, and its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub batch: Placed,
    pub place: u32,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub logs: u64,
    pub batches: u64,
    /// Batches of them whose receipts are not here, and those whose source lied.
    pub missing: u64,
    pub lied: u64,
}

impl Db {
    /// Batches whose receipts are to be fetched at Unix second `now`, those that waited longest first.
    pub async fn wanted(&self, now: i64, most: u32) -> Result<Vec<Wanted>, DbError> {
        let query = "SELECT log, place, header, source, tries FROM batches WHERE state <> 1 AND next_try <= $1 \
            ORDER BY next_try, log, place LIMIT $2";
        let query = sqlx::query(query).bind(now).bind(i64::from(most));
        let wanted = |row: &sqlx::any::AnyRow| {
            Ok(Wanted {
                log: row.try_get("log")?,
                index: number(row, "place")?,
                header: header(row)?,
                source: row.try_get("source")?,
                tries: number(row, "tries")?,
            })
        };
        query.fetch_all(&self.pool).await?.iter().map(wanted).collect()
    }

    /// Keeps the receipts of a batch, which were checked against its header. `ids` are theirs, in order.
    /// Returns whether the batch is still in the log.
    pub async fn keep(&self, wanted: &Wanted, signed: &[u8], ids: &[[u8; 32]]) -> Result<bool, DbError> {
        let mut write = self.write().await?;
        let index = int(wanted.index)?;
        let set = "UPDATE batches SET state = 1, trouble = NULL WHERE log = $1 AND place = $2 AND header = $3 \
            AND state <> 1";
        let set = sqlx::query(set).bind(wanted.log).bind(index);
        let set = set.bind(bytemuck::bytes_of(&wanted.header).to_vec());
        if set.execute(&mut *write.transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let insert = "INSERT INTO leaves (log, place, signed) VALUES ($1, $2, $3)";
        let insert = sqlx::query(insert).bind(wanted.log).bind(index).bind(signed.to_vec());
        insert.execute(&mut *write.transaction).await?;
        for (chunk, ids) in ids.chunks(ROWS).enumerate() {
            let rows: Vec<_> = (1..).step_by(4).map(row).take(ids.len()).collect();
            let insert = format!("INSERT INTO receipts (id, log, batch, place) VALUES {}", rows.join(", "));
            let mut insert = sqlx::query(&insert);
            for (place, id) in (int(chunk as u64)?.saturating_mul(ROWS as i64)..).zip(ids) {
                insert = insert.bind(id.to_vec()).bind(wanted.log).bind(index).bind(place);
            }
            insert.execute(&mut *write.transaction).await?;
        }
        write.commit().await.map(|()| true)
    }

    /// Notes that a batch's receipts could not be had, and when to try again, Unix seconds.
    pub async fn note_trouble(
        &self,
        wanted: &Wanted,
        trouble: &Trouble,
        told: &str,
        next_try: i64,
    ) -> Result<(), DbError> {
        let mut write = self.write().await?;
        let note = "UPDATE batches SET state = $1, tries = tries + 1, next_try = $2, trouble = $3 \
            WHERE log = $4 AND place = $5 AND state <> 1";
        let note = sqlx::query(note)
            .bind(if *trouble == Trouble::Lied { 2i64 } else { 0 })
            .bind(next_try)
            .bind(told.to_owned());
        let note = note.bind(wanted.log).bind(int(wanted.index)?);
        note.execute(&mut *write.transaction).await?;
        if *trouble == Trouble::Unreachable {
            let wait = "UPDATE batches SET next_try = $1 WHERE source = $2 AND state <> 1 AND next_try < $1";
            let wait = sqlx::query(wait).bind(next_try).bind(wanted.source.clone());
            wait.execute(&mut *write.transaction).await?;
        }
        write.commit().await
    }

    /// The batch that has the receipt with that id, if it is here.
    pub async fn receipt(&self, id: &[u8; 32]) -> Result<Option<Found>, DbError> {
        let query = "SELECT address, receipts.batch AS place, receipts.place AS position, header FROM receipts \
            JOIN batches ON batches.log = receipts.log AND batches.place = receipts.batch \
            JOIN logs ON logs.id = receipts.log WHERE receipts.id = $1 ORDER BY receipts.batch DESC LIMIT 1";
        let row = sqlx::query(query).bind(id.to_vec()).fetch_optional(&self.pool).await?;
        let found = |row| Ok(Found { batch: placed(row)?, place: number(row, "position")? });
        row.as_ref().map(found).transpose()
    }

    /// All receipts of a batch with their signatures; nothing, where they are not here.
    pub async fn leaves(&self, log: &Pubkey, index: u64) -> Result<Option<Vec<u8>>, DbError> {
        let query = "SELECT signed FROM leaves JOIN logs ON logs.id = leaves.log \
            WHERE address = $1 AND leaves.place = $2";
        let query = sqlx::query(query).bind(log.to_bytes().to_vec()).bind(int(index)?);
        Ok(query.fetch_optional(&self.pool).await?.map(|row| row.try_get("signed")).transpose()?)
    }

    /// Whether a batch's receipts are here, and what went wrong with them last.
    pub async fn state(&self, log: &Pubkey, index: u64) -> Result<Option<(State, Option<String>)>, DbError> {
        let query = "SELECT state, trouble FROM batches JOIN logs ON logs.id = batches.log \
            WHERE address = $1 AND place = $2";
        let query = sqlx::query(query).bind(log.to_bytes().to_vec()).bind(int(index)?);
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let state = match row.try_get::<i64, _>("state")? {
            0 => State::Missing,
            1 => State::Here,
            2 => State::Lied,
            _ => return Err(DbError::Malformed("a state")),
        };
        Ok(Some((state, row.try_get("trouble")?)))
    }

    /// Counts what there is.
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
            lied: count("batches WHERE state = 2").await?,
        })
    }
}

/// Four values of a row, from that number on, in the form that both databases know.
fn row(first: usize) -> String {
    format!(
        "(${first}, ${}, ${}, ${})",
        first.saturating_add(1),
        first.saturating_add(2),
        first.saturating_add(3)
    )
}
