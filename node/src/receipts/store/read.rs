//! Reads receipts, batches and paths.

use super::append::HOUR_MS;
use super::{BatchKey, Kept, MachineKey, SealedBatch, Store, StoreError, Tab, rows};
use leasehold::math::sum_tree::{SumNode, SumTree};
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use sqlx::Row;
use std::sync::Arc;

/// Trees that are cached: those of full batches have six megabytes each.
const TREES: usize = 4;
/// Receipts that are read at a time where their number is large.
const PIECE: usize = 1_024;

/// Where the receipts of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// Row of their tab.
    tab: i64,
    first_seq: u64,
    /// How many they are.
    pub count: u32,
    /// True if some of them were deleted, since nobody can dispute them any more.
    pub is_pruned: bool,
}

impl Store {
    /// The receipt with that id.
    pub async fn receipt(&self, id: &[u8; 32]) -> Result<Option<Kept>, StoreError> {
        let found = sqlx::query("SELECT tab, signed FROM receipts WHERE id = ?")
            .bind(id.as_slice())
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let signed = rows::signed(&row)?;
        let seq = signed.receipt.seq;
        let query =
            [rows::BATCH, "WHERE tab = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1"].concat();
        let batch = sqlx::query(&query)
            .bind(row.try_get::<i64, _>("tab")?)
            .bind(seq as i64)
            .fetch_optional(&self.readers)
            .await?;
        let batch = batch.as_ref().map(rows::batch).transpose()?;
        let batch = batch.and_then(|batch| Some((batch.key, batch.header.index_of(seq)?)));
        Ok(Some(Kept { signed, batch }))
    }

    /// The batch with that key.
    pub async fn batch(&self, key: &BatchKey) -> Result<Option<SealedBatch>, StoreError> {
        let row = self.batch_row(key, rows::BATCH).await?;
        row.as_ref().map(rows::batch).transpose()
    }

    /// The receipts of a batch, in order; `None` if there is no such batch.
    pub async fn batch_receipts(&self, key: &BatchKey) -> Result<Option<Vec<SignedReceipt>>, StoreError> {
        let Some(place) = self.batch_place(key).await? else { return Ok(None) };
        self.range(place.tab, place.first_seq, place.count).await.map(Some)
    }

    /// Where the receipts of a batch are; `None` if there is no such batch.
    pub async fn batch_place(&self, key: &BatchKey) -> Result<Option<BatchPlace>, StoreError> {
        let row = self.batch_row(key, "SELECT tab, first_seq, count, pruned FROM batches ").await?;
        let Some(row) = row else { return Ok(None) };
        let pruned: u32 = rows::number(&row, "pruned")?;
        Ok(Some(BatchPlace {
            tab: row.try_get("tab")?,
            first_seq: rows::number(&row, "first_seq")?,
            count: rows::number(&row, "count")?,
            is_pruned: pruned > 0,
        }))
    }

    /// Receipts of a batch with their signatures, concatenated: `count` from place `first` on. Nothing of the database is
    /// held between two calls.
    pub async fn batch_bytes(
        &self,
        place: &BatchPlace,
        first: u32,
        count: u32,
    ) -> Result<Vec<u8>, StoreError> {
        let count = count.min(place.count.saturating_sub(first));
        let receipts = self.range(place.tab, place.first_seq.saturating_add(first.into()), count).await?;
        // They were deleted meanwhile.
        if receipts.len() != usize::try_from(count).unwrap_or(usize::MAX) {
            return Err(StoreError::Pruned);
        }
        Ok(receipts.iter().flat_map(SignedReceipt::to_bytes).collect())
    }

    /// Merkle path from the receipt at a place of a batch to the batch's root, lowest node first; `None` if there is none.
    pub async fn path(&self, key: &BatchKey, place: u32) -> Result<Option<Vec<SumNode>>, StoreError> {
        let Ok(place) = usize::try_from(place) else { return Ok(None) };
        if let Some(tree) = self.kept_tree(key) {
            return Ok(tree.path(place));
        }
        let _turn = self.trees.making.acquire().await.map_err(|_| StoreError::Closed)?;
        // Another caller may have made it meanwhile.
        if let Some(tree) = self.kept_tree(key) {
            return Ok(tree.path(place));
        }
        let Some(leaves) = self.leaves(key).await? else { return Ok(None) };
        let tree = tokio::task::spawn_blocking(move || SumTree::new(leaves)).await;
        let tree = Arc::new(tree.map_err(|_| StoreError::Closed)?.map_err(|_| StoreError::Overflow)?);
        let path = tree.path(place);
        let mut trees = self.trees.kept.lock().unwrap_or_else(|error| error.into_inner());
        trees.truncate(TREES - 1);
        trees.push_front((*key, tree));
        Ok(path)
    }

    /// Payment units for which nobody has signed in a spender's leases that were used in the hour before that time in Unix
    /// milliseconds. `except`: not in this lease of this machine.
    pub async fn debt(
        &self,
        spender: &Pubkey,
        now_ms: u64,
        except: (&MachineKey, u32),
    ) -> Result<u64, StoreError> {
        let all = rows::debts(&self.readers, spender, now_ms.saturating_sub(HOUR_MS)).await?;
        let own = self.tab_row(except.0, except.1).await?.map(|(row, _)| row);
        let others = all.iter().filter(|(row, _)| Some(*row) != own);
        Ok(others.fold(0, |sum: u64, (_, debt)| sum.saturating_add(*debt)))
    }

    /// The tab of a machine in a lease.
    pub async fn tab(&self, machine: &MachineKey, lease: u32) -> Result<Option<Tab>, StoreError> {
        Ok(self.tab_row(machine, lease).await?.map(|(_, tab)| tab))
    }

    async fn tab_row(&self, machine: &MachineKey, lease: u32) -> Result<Option<(i64, Tab)>, StoreError> {
        let query =
            [rows::TAB, "WHERE board = ? AND slot = ? AND generation = ? AND tabs.lease = ?"].concat();
        let row = sqlx::query(&query)
            .bind(machine.board.as_array().as_slice())
            .bind(machine.slot)
            .bind(machine.generation)
            .bind(lease)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(rows::tab).transpose()
    }

    /// The tab of the metered lease at that address, which has only one machine. If several leases have had the address:
    /// of the last.
    pub async fn tab_at(&self, address: &Pubkey) -> Result<Option<Tab>, StoreError> {
        let query = [rows::TAB, "WHERE address = ? ORDER BY tabs.first_round DESC LIMIT 1"].concat();
        let row =
            sqlx::query(&query).bind(address.as_array().as_slice()).fetch_optional(&self.readers).await?;
        Ok(row.as_ref().map(rows::tab).transpose()?.map(|(_, tab)| tab))
    }

    /// Leaves of a batch's tree; `None` if there is no such batch.
    async fn leaves(&self, key: &BatchKey) -> Result<Option<Vec<SumNode>>, StoreError> {
        let Some(place) = self.batch_place(key).await? else { return Ok(None) };
        let mut leaves = Vec::new();
        for first in (0..place.count).step_by(PIECE) {
            let count = place.count.saturating_sub(first).min(PIECE as u32);
            let receipts = self.range(place.tab, place.first_seq.saturating_add(first.into()), count).await?;
            leaves.extend(receipts.iter().map(|signed| signed.receipt.leaf()));
        }
        Ok(Some(leaves))
    }

    /// Receipts of a tab by number.
    pub(super) async fn range(
        &self,
        tab: i64,
        first: u64,
        count: u32,
    ) -> Result<Vec<SignedReceipt>, StoreError> {
        let found =
            sqlx::query("SELECT signed FROM receipts WHERE tab = ? AND seq >= ? ORDER BY seq LIMIT ?")
                .bind(tab)
                .bind(first as i64)
                .bind(count)
                .fetch_all(&self.readers)
                .await?;
        found.iter().map(rows::signed).collect()
    }

    async fn batch_row(
        &self,
        key: &BatchKey,
        select: &str,
    ) -> Result<Option<sqlx::sqlite::SqliteRow>, StoreError> {
        let query = [select, "WHERE board = ? AND slot = ? AND generation = ? AND number = ?"].concat();
        let query = sqlx::query(&query)
            .bind(key.machine.board.as_array().as_slice())
            .bind(key.machine.slot)
            .bind(key.machine.generation)
            .bind(key.number);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    fn kept_tree(&self, key: &BatchKey) -> Option<Arc<SumTree>> {
        let trees = self.trees.kept.lock().unwrap_or_else(|error| error.into_inner());
        trees.iter().find(|(kept, _)| kept == key).map(|(_, tree)| tree.clone())
    }
}
