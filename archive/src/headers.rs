//! Headers of batches in the database, in the order of their logs, and the nodes of the ranges over them.

use crate::db::{Db, DbError, Write, bytes, int, number};
use leasehold::instructions::BatchProof;
use leasehold::math::mmr::{self, MAX_PEAKS, Peaks};
use leasehold::state::BatchHeader;
use leasehold_client::history::{AppendedBatches, LogTransaction};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use sqlx::Row;

/// How far a log is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Number of the log in this database.
    pub(crate) id: i64,
    /// Batches of it in this database.
    pub batches: u64,
    /// The transaction after which to go on.
    pub followed: Option<Signature>,
}

/// A batch, and its place in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub log: Pubkey,
    pub index: u64,
    pub header: BatchHeader,
}

const LOG: &str = "SELECT id, batches, followed FROM logs WHERE address = $1";

impl Db {
    /// How far a log is known; `None` if it was never followed.
    pub async fn known(&self, log: &Pubkey) -> Result<Option<Known>, DbError> {
        let row = sqlx::query(LOG).bind(log.to_bytes().to_vec()).fetch_optional(&self.pool).await?;
        row.as_ref().map(known).transpose()
    }

    /// Adds the batches that one transaction appended, and notes the transaction. If other batches are in their places,
    /// the cluster has dropped the fork that had those: they and all after them are deleted.
    ///
    /// # Errors
    /// [`DbError::Gap`], or the database's.
    pub async fn append(&self, log: &Pubkey, followed: &LogTransaction) -> Result<(), DbError> {
        let mut write = self.write().await?;
        for appended in &followed.appended {
            write.append(log, appended).await?;
        }
        let id = write.log(log).await?.id;
        write.follow(id, &followed.signature).await?;
        write.commit().await
    }

    /// The transaction down to which the log was listed; `None` if it is to be listed from the newest.
    pub(crate) async fn mark(&self, log: &Pubkey) -> Result<Option<Signature>, DbError> {
        let query = "SELECT signature FROM marks JOIN logs ON logs.id = marks.log WHERE address = $1 \
            ORDER BY place DESC LIMIT 1";
        let row = sqlx::query(query).bind(log.to_bytes().to_vec()).fetch_optional(&self.pool).await?;
        row.map(|row| signature(row.try_get("signature")?)).transpose()
    }

    /// Notes that the log was listed further down, to this transaction.
    pub(crate) async fn add_mark(&self, log: &Pubkey, mark: &Signature) -> Result<(), DbError> {
        let mut write = self.write().await?;
        let id = write.log(log).await?.id;
        let add = "INSERT INTO marks (log, place, signature) \
            VALUES ($1, (SELECT coalesce(max(place), 0) + 1 FROM marks WHERE log = $1), $2)";
        let add = sqlx::query(add).bind(id).bind(mark.to_string());
        add.execute(&mut *write.transaction).await?;
        write.commit().await
    }

    /// Notes that nothing older than the last mark is left, and takes the mark away. `newest`: the newest transaction before
    /// it, if there is one.
    pub(crate) async fn end_page(&self, log: &Pubkey, newest: Option<&Signature>) -> Result<(), DbError> {
        let mut write = self.write().await?;
        let id = write.log(log).await?.id;
        if let Some(newest) = newest {
            write.follow(id, newest).await?;
        }
        write.remove_mark(id).await?;
        write.commit().await
    }

    /// Takes the last mark away: the log is listed from the one before.
    pub(crate) async fn remove_mark(&self, log: &Pubkey) -> Result<(), DbError> {
        self.end_page(log, None).await
    }

    /// Takes all marks away: the log is listed from the newest transaction.
    pub async fn remove_marks(&self, log: &Pubkey) -> Result<(), DbError> {
        let mut write = self.write().await?;
        write.remove_marks(log).await?;
        write.commit().await
    }

    /// Has the log followed again from its beginning. Batches that are right stay.
    pub async fn follow_again(&self, log: &Pubkey) -> Result<(), DbError> {
        let mut write = self.write().await?;
        write.remove_marks(log).await?;
        let forget = sqlx::query("UPDATE logs SET followed = NULL WHERE address = $1");
        forget.bind(log.to_bytes().to_vec()).execute(&mut *write.transaction).await?;
        write.commit().await
    }

    /// Proof that a batch is in the log as it was with `batches` batches; `None` if it is not.
    pub async fn proof(&self, log: &Pubkey, index: u64, batches: u64) -> Result<Option<BatchProof>, DbError> {
        let Some(known) = self.known(log).await?.filter(|known| batches <= known.batches) else {
            return Ok(None);
        };
        let Some(height) = mmr::height_of(index, batches) else { return Ok(None) };
        let query = "SELECT header FROM batches WHERE log = $1 AND place = $2";
        let row = sqlx::query(query).bind(known.id).bind(int(index)?).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let mut path = Vec::new();
        for level in 0..height {
            path.push(self.node(known.id, level, (index >> level) ^ 1).await?);
        }
        Ok(Some(BatchProof { header: header(&row)?, index, path }))
    }

    /// Root of a log as it was with `batches` batches, as its account had it then; `None` if fewer are known.
    pub async fn root(&self, log: &Pubkey, batches: u64) -> Result<Option<[u8; 32]>, DbError> {
        Ok(self.peaks(log, batches).await?.map(|peaks| mmr::root(&peaks, batches)))
    }

    /// Peaks of a log as it was with `batches` batches; `None` if fewer are known.
    pub async fn peaks(&self, log: &Pubkey, batches: u64) -> Result<Option<Peaks>, DbError> {
        let Some(known) = self.known(log).await?.filter(|known| batches <= known.batches) else {
            return Ok(None);
        };
        let mut peaks: Peaks = [[0; 32]; MAX_PEAKS];
        for (height, peak) in (0u32..).zip(&mut peaks) {
            if batches >> height & 1 == 1 {
                *peak = self.node(known.id, height, (batches >> height) ^ 1).await?;
            }
        }
        Ok(Some(peaks))
    }

    /// Finds a batch by machine and number. A board that was created again may have had the same before: the last.
    pub async fn find(
        &self,
        board: &Pubkey,
        slot: u16,
        generation: u32,
        batch: u32,
    ) -> Result<Option<Placed>, DbError> {
        let query = "SELECT address, place, header FROM batches JOIN logs ON logs.id = batches.log \
            WHERE board = $1 AND slot = $2 AND generation = $3 AND number = $4 ORDER BY place DESC LIMIT 1";
        let row = sqlx::query(query)
            .bind(board.to_bytes().to_vec())
            .bind(i64::from(slot))
            .bind(i64::from(generation))
            .bind(i64::from(batch))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(placed).transpose()
    }

    async fn node(&self, log: i64, height: u32, place: u64) -> Result<[u8; 32], DbError> {
        let query = "SELECT hash FROM nodes WHERE log = $1 AND height = $2 AND place = $3";
        let query = sqlx::query(query).bind(log).bind(i64::from(height)).bind(int(place)?);
        let row = query.fetch_optional(&self.pool).await?;
        bytes(row.as_ref().ok_or(DbError::Malformed("a log without some of its nodes"))?, "hash")
    }
}

impl Write<'_> {
    async fn append(&mut self, log: &Pubkey, appended: &AppendedBatches) -> Result<(), DbError> {
        let known = self.log(log).await?;
        let AppendedBatches { first, headers, source } = appended;
        if *first > known.batches {
            return Err(DbError::Gap { log: *log, first: *first, known: known.batches });
        }
        let mut same = 0;
        for (place, header) in (*first..known.batches).zip(headers) {
            if self.header(known.id, place).await? != Some(*header) {
                break;
            }
            same += 1;
        }
        if same == headers.len() {
            return Ok(());
        }
        let place = first.saturating_add(same as u64);
        if place < known.batches {
            self.truncate(known.id, place).await?;
        }
        for (place, header) in (place..).zip(headers.iter().skip(same)) {
            self.insert(known.id, place, header, source).await?;
        }
        let batches = first.saturating_add(headers.len() as u64);
        let counted = sqlx::query("UPDATE logs SET batches = $1 WHERE id = $2").bind(int(batches)?);
        counted.bind(known.id).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn follow(&mut self, log: i64, followed: &Signature) -> Result<(), DbError> {
        let noted = sqlx::query("UPDATE logs SET followed = $1 WHERE id = $2");
        noted.bind(followed.to_string()).bind(log).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn remove_mark(&mut self, log: i64) -> Result<(), DbError> {
        let remove =
            "DELETE FROM marks WHERE log = $1 AND place = (SELECT max(place) FROM marks WHERE log = $1)";
        sqlx::query(remove).bind(log).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn remove_marks(&mut self, log: &Pubkey) -> Result<(), DbError> {
        let remove = sqlx::query("DELETE FROM marks WHERE log = (SELECT id FROM logs WHERE address = $1)");
        remove.bind(log.to_bytes().to_vec()).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// The log's row, inserted if there is none.
    async fn log(&mut self, log: &Pubkey) -> Result<Known, DbError> {
        let address = log.to_bytes().to_vec();
        if let Some(row) =
            sqlx::query(LOG).bind(address.clone()).fetch_optional(&mut *self.transaction).await?
        {
            return known(&row);
        }
        let insert = "INSERT INTO logs (id, address, batches) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM logs), $1, 0)";
        sqlx::query(insert).bind(address.clone()).execute(&mut *self.transaction).await?;
        known(&sqlx::query(LOG).bind(address).fetch_one(&mut *self.transaction).await?)
    }

    async fn header(&mut self, log: i64, place: u64) -> Result<Option<BatchHeader>, DbError> {
        let query = sqlx::query("SELECT header FROM batches WHERE log = $1 AND place = $2");
        let row = query.bind(log).bind(int(place)?).fetch_optional(&mut *self.transaction).await?;
        row.as_ref().map(header).transpose()
    }

    /// Deletes all batches from a place on.
    async fn truncate(&mut self, log: i64, place: u64) -> Result<(), DbError> {
        for statement in [
            "DELETE FROM batches WHERE log = $1 AND place >= $2",
            "DELETE FROM leaves WHERE log = $1 AND place >= $2",
            "DELETE FROM receipts WHERE log = $1 AND batch >= $2",
        ] {
            let delete = sqlx::query(statement).bind(log).bind(int(place)?);
            delete.execute(&mut *self.transaction).await?;
        }
        let count = "UPDATE logs SET stored = \
            coalesce((SELECT sum(length(signed)) FROM leaves WHERE leaves.log = logs.id), 0) WHERE id = $1";
        sqlx::query(count).bind(log).execute(&mut *self.transaction).await?;
        let delete = "DELETE FROM nodes WHERE log = $1 AND height = $2 AND place >= $3";
        for height in 0..MAX_PEAKS {
            let delete = sqlx::query(delete).bind(log).bind(int(height as u64)?).bind(int(place >> height)?);
            delete.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    /// Adds a batch after the last.
    async fn insert(
        &mut self,
        log: i64,
        place: u64,
        header: &BatchHeader,
        source: &str,
    ) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO batches (log, place, board, slot, generation, number, header, source, state, tries, \
             next_try) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0)",
        )
        .bind(log)
        .bind(int(place)?)
        .bind(header.board.to_bytes().to_vec())
        .bind(i64::from(header.slot))
        .bind(i64::from(header.generation))
        .bind(i64::from(header.number))
        .bind(bytemuck::bytes_of(header).to_vec())
        // Postgres refuses this character in texts, and suppliers choose them. The URL is the same.
        .bind(source.replace('\0', "%00"))
        .execute(&mut *self.transaction)
        .await?;
        let mut hash = header.leaf();
        self.insert_node(log, 0, place, hash).await?;
        // Like the carries when 1 is added to a binary number: every node that this leaf completes.
        for height in 0..place.trailing_ones() {
            let query = "SELECT hash FROM nodes WHERE log = $1 AND height = $2 AND place = $3";
            let query =
                sqlx::query(query).bind(log).bind(i64::from(height)).bind(int((place >> height) ^ 1)?);
            let left = bytes(&query.fetch_one(&mut *self.transaction).await?, "hash")?;
            hash = mmr::node(place, height.saturating_add(1), &left, &hash);
            self.insert_node(log, height.saturating_add(1), place >> height >> 1, hash).await?;
        }
        Ok(())
    }

    async fn insert_node(
        &mut self,
        log: i64,
        height: u32,
        place: u64,
        hash: [u8; 32],
    ) -> Result<(), DbError> {
        let insert = sqlx::query("INSERT INTO nodes (log, height, place, hash) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(log).bind(i64::from(height)).bind(int(place)?).bind(hash.to_vec());
        insert.execute(&mut *self.transaction).await?;
        Ok(())
    }
}

fn known(row: &sqlx::any::AnyRow) -> Result<Known, DbError> {
    let followed: Option<String> = row.try_get("followed")?;
    Ok(Known {
        id: row.try_get("id")?,
        batches: number(row, "batches")?,
        followed: followed.map(signature).transpose()?,
    })
}

fn signature(text: String) -> Result<Signature, DbError> {
    text.parse().map_err(|_| DbError::Malformed("a malformed signature"))
}

pub(super) fn header(row: &sqlx::any::AnyRow) -> Result<BatchHeader, DbError> {
    let header: [u8; BatchHeader::LEN] = bytes(row, "header")?;
    Ok(bytemuck::pod_read_unaligned(&header))
}

pub(super) fn placed(row: &sqlx::any::AnyRow) -> Result<Placed, DbError> {
    let log = Pubkey::new_from_array(bytes(row, "address")?);
    Ok(Placed { log, index: number(row, "place")?, header: header(row)? })
}
