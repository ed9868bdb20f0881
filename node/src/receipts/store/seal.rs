//! Seals receipts into batches.

use super::job::Job;
use super::{BatchKey, BatchState, MachineKey, SealedBatch, Store, StoreError, Tab, Unsealed, rows};
use leasehold::math::sum_tree::SumTree;
use leasehold::state::{BatchHeader, MAX_BATCH};
use leasehold_client::record::SignedReceipt;
use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

impl Store {
    /// Receipts that are in no batch yet, by machine and lease in order.
    pub async fn unsealed(&self) -> Result<Vec<Unsealed>, StoreError> {
        let query = [rows::TAB, "WHERE sealed < seq ORDER BY board, slot, generation, tabs.id"].concat();
        let found = sqlx::query(&query).fetch_all(&self.readers).await?;
        let mut all = Vec::with_capacity(found.len());
        for row in &found {
            let (id, tab) = rows::tab(row)?;
            let first = self.range(id, tab.sealed, 1).await?;
            let first = first.first().ok_or(StoreError::Malformed("counters without their receipts"))?;
            let Tab { machine, lease, sealed, seq, .. } = tab;
            let first_ms = first.receipt.end_ms;
            all.push(Unsealed { machine, lease, first_seq: sealed, count: seq - sealed, first_ms });
        }
        Ok(all)
    }

    /// Makes a batch of the machine's oldest unsealed receipts: at most `most` of them and [`MAX_BATCH`], all of one
    /// lease. Its header has the hash of the URL `source`. Returns `None` if there are no such receipts.
    ///
    /// # Errors
    /// [`StoreError::SealedMeanwhile`] if another caller sealed at the same time.
    pub async fn seal(
        &self,
        machine: &MachineKey,
        source: &str,
        most: u32,
    ) -> Result<Option<SealedBatch>, StoreError> {
        self.seal_from(machine, source, most, 0).await
    }

    /// Like [`Store::seal`], with a number of at least `least`, which the log expects if earlier batches of the machine are
    /// in another database.
    pub async fn seal_from(
        &self,
        machine: &MachineKey,
        source: &str,
        most: u32,
        least: u32,
    ) -> Result<Option<SealedBatch>, StoreError> {
        const OLDEST: &str = "WHERE board = ? AND slot = ? AND generation = ? AND sealed < seq \
            ORDER BY tabs.id LIMIT 1";
        let row = sqlx::query(&[rows::TAB, OLDEST].concat())
            .bind(machine.board.as_array().as_slice())
            .bind(machine.slot)
            .bind(machine.generation)
            .fetch_optional(&self.readers)
            .await?;
        let Some((id, tab)) = row.as_ref().map(rows::tab).transpose()? else { return Ok(None) };
        let mut receipts = self.range(id, tab.sealed, most.clamp(1, MAX_BATCH)).await?;
        let number = self.next_number(machine).await?.max(least);
        let source = source.to_owned();
        // Tens of thousands of hashes would block this thread's other tasks.
        let header = tokio::task::spawn_blocking({
            let source = source.clone();
            move || header(&tab, number, &source, &mut receipts)
        });
        let header = header.await.map_err(|_| StoreError::Closed)??;
        let batch = SealedBatch { key: BatchKey::of(&header), header, source, log_index: None };
        let boxed = Box::new(batch.clone());
        self.ask(|reply| Job::Seal(boxed, reply)).await?;
        Ok(Some(batch))
    }

    /// Batches in a state, each machine's in the order of their numbers.
    pub async fn batches(&self, state: BatchState) -> Result<Vec<SealedBatch>, StoreError> {
        let state = match state {
            BatchState::Sealed => "WHERE log_index IS NULL",
            BatchState::Posted => "WHERE log_index IS NOT NULL",
        };
        let query = [rows::BATCH, state, " ORDER BY board, slot, generation, number"].concat();
        sqlx::query(&query).fetch_all(&self.readers).await?.iter().map(rows::batch).collect()
    }

    /// The number of the machine's next batch by this database.
    pub async fn next_number(&self, machine: &MachineKey) -> Result<u32, StoreError> {
        let next = "SELECT coalesce(max(number) + 1, 0) AS number FROM batches \
            WHERE board = ? AND slot = ? AND generation = ?";
        let row = sqlx::query(next)
            .bind(machine.board.as_array().as_slice())
            .bind(machine.slot)
            .bind(machine.generation)
            .fetch_one(&self.readers)
            .await?;
        rows::number(&row, "number")
    }

    /// Notes the place of a batch in the log. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBatch`], or [`StoreError::PostedElsewhere`] if another place is noted.
    pub async fn mark_posted(&self, key: BatchKey, log_index: u64) -> Result<(), StoreError> {
        self.ask(|reply| Job::Posted(key, log_index, reply)).await
    }
}

/// Header of a batch; drops receipts at the end that another key signed.
fn header(
    tab: &Tab,
    number: u32,
    source: &str,
    receipts: &mut Vec<SignedReceipt>,
) -> Result<BatchHeader, StoreError> {
    let missing = StoreError::Malformed("counters without their receipts");
    let first = receipts.first().ok_or(missing.clone())?.receipt;
    let same = receipts.iter().take_while(|signed| signed.receipt.node_key == first.node_key).count();
    receipts.truncate(same);
    let last = receipts.last().ok_or(missing.clone())?.receipt;
    let count = u32::try_from(receipts.len()).map_err(|_| StoreError::Overflow)?;
    let gapless = last.seq.checked_sub(first.seq) == Some(u64::from(count) - 1) && first.seq == tab.sealed;
    if !gapless {
        return Err(missing);
    }
    let leaves = receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    let tree = SumTree::new(leaves).map_err(|_| StoreError::Overflow)?;
    Ok(BatchHeader {
        board: tab.machine.board,
        node_key: first.node_key,
        lease: tab.lease,
        generation: tab.machine.generation,
        number,
        count,
        first_seq: first.seq,
        root: tree.root(),
        first_ms: first.end_ms,
        last_ms: last.end_ms,
        source: Sha256::digest(source).into(),
        slot: tab.machine.slot,
        reserved: [0; 6],
    })
}

/// Inserts a batch if its receipts are still the machine's oldest unsealed ones.
pub(super) async fn insert(connection: &mut SqliteConnection, batch: &SealedBatch) -> Result<(), StoreError> {
    let BatchHeader { board, slot, generation, lease, number, count, first_seq, .. } = batch.header;
    let moved = sqlx::query(
        "UPDATE tabs SET sealed = sealed + ? WHERE board = ? AND slot = ? AND generation = ? AND lease = ? \
         AND sealed = ? RETURNING id",
    )
    .bind(count)
    .bind(board.as_array().as_slice())
    .bind(slot)
    .bind(generation)
    .bind(lease)
    .bind(first_seq as i64)
    .fetch_optional(&mut *connection)
    .await?;
    let tab: i64 = moved.ok_or(StoreError::SealedMeanwhile)?.try_get("id")?;
    sqlx::query(
        "INSERT INTO batches (board, slot, generation, number, tab, first_seq, count, header, source) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(board.as_array().as_slice())
    .bind(slot)
    .bind(generation)
    .bind(number)
    .bind(tab)
    .bind(first_seq as i64)
    .bind(count)
    .bind(bytemuck::bytes_of(&batch.header))
    .bind(&batch.source)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn mark_posted(
    connection: &mut SqliteConnection,
    key: BatchKey,
    log_index: u64,
) -> Result<(), StoreError> {
    let log_index = i64::try_from(log_index).map_err(|_| StoreError::Overflow)?;
    let row = sqlx::query(
        "UPDATE batches SET log_index = coalesce(log_index, ?) \
         WHERE board = ? AND slot = ? AND generation = ? AND number = ? RETURNING log_index",
    )
    .bind(log_index)
    .bind(key.machine.board.as_array().as_slice())
    .bind(key.machine.slot)
    .bind(key.machine.generation)
    .bind(key.number)
    .fetch_optional(connection)
    .await?;
    let noted: i64 = row.ok_or(StoreError::NoSuchBatch(key))?.try_get("log_index")?;
    if noted != log_index {
        return Err(StoreError::PostedElsewhere(noted.unsigned_abs()));
    }
    Ok(())
}
