//! Headers of the supplier's log in the node's database: a proof needs those of all machines.

use leasehold::instructions::BatchProof;
use leasehold::math::mmr::{self, Peaks};
use leasehold::state::{BatchHeader, ComputeLog};
use leasehold_archive::sync::{LogHead, SyncError, sync_to};
use leasehold_archive::{Db, DbError};
use leasehold_client::history::{AppendedBatches, LogTransaction};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// Most transactions of this node that are remembered until the log's account confirms them.
const REMEMBERED: usize = 256;

/// Headers of the log to which this node appends.
///
/// Batches that the node appended itself are noted as soon as the log's account confirms them. If others appended too,
/// the log is rebuilt from its events. The log's transactions are read only then, for anybody can name the log in as
/// many transactions as they pay for.
pub(super) struct OwnLog {
    address: Pubkey,
    db: Db,
    /// Transactions in which this node appended, in order. Some may be in the database.
    sent: Mutex<VecDeque<Sent>>,
    turn: tokio::sync::Mutex<()>,
}

/// A transaction in which this node appended batches.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub signature: Signature,
    pub source: String,
    pub headers: Vec<BatchHeader>,
}

impl OwnLog {
    pub fn new(address: Pubkey, db: Db) -> Self {
        Self { address, db, sent: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Notes that this node appended batches.
    pub fn sent(&self, sent: Sent) {
        let mut all = self.lock();
        all.push_back(sent);
        let over = all.len().saturating_sub(REMEMBERED);
        all.drain(..over);
    }

    /// Place of a batch in the log: `None` if it is not in the database yet, [`Foreign`] if another batch has its number.
    pub async fn place(&self, header: &BatchHeader) -> Result<Option<Result<u64, Foreign>>, DbError> {
        let BatchHeader { board, slot, generation, number, .. } = header;
        let found = self.db.find(board, *slot, *generation, *number).await?;
        let found = found.filter(|found| found.log == self.address);
        Ok(found.map(|found| if found.header == *header { Ok(found.index) } else { Err(Foreign) }))
    }

    /// Proof that a batch is in the log as it was with `batches` batches.
    pub async fn proof(&self, index: u64, batches: u64) -> Result<Option<BatchProof>, DbError> {
        self.db.proof(&self.address, index, batches).await
    }

    /// Brings the headers up to date with the log's account.
    ///
    /// # Errors
    /// Any [`SyncError`]. After [`SyncError::Unfinished`] the rest is read with the next call.
    pub async fn catch_up(&self, rpc: &RpcClient, log: &ComputeLog) -> Result<(), SyncError> {
        let _turn = self.turn.lock().await;
        let head @ (batches, root) = (log.batches, mmr::root(&log.peaks, log.batches));
        if batches == 0 || self.db.root(&self.address, batches).await? == Some(root) {
            return Ok(());
        }
        if self.note_sent(head).await? {
            return Ok(());
        }
        sync_to(rpc, &self.db, &self.address, head).await
    }

    /// Adds the batches that this node appended. Returns false if others appended too.
    async fn note_sent(&self, head: LogHead) -> Result<bool, DbError> {
        let sent: Vec<_> = self.lock().iter().cloned().collect();
        let known = self.db.known(&self.address).await?.map_or(0, |known| known.batches);
        let peaks = self.db.peaks(&self.address, known).await?.unwrap_or([[0; 32]; mmr::MAX_PEAKS]);
        let Some(some) = leading_to(head, &peaks, known, &sent) else { return Ok(false) };
        // They are of older transactions, which need not be read any more.
        self.db.remove_marks(&self.address).await?;
        let mut first = known;
        for Sent { signature, source, headers } in sent.into_iter().take(some.end).skip(some.start) {
            let batches = headers.len() as u64;
            let appended = vec![AppendedBatches { first, source, headers }];
            self.db.append(&self.address, &LogTransaction { signature, appended }).await?;
            first = first.saturating_add(batches);
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.sent.lock().unwrap_or_else(|error| error.into_inner())
    }
}

/// The log has another batch in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign;

/// The consecutive transactions that lead from the log with `known` batches and these peaks to the log's account;
/// `None` if none do.
fn leading_to((batches, root): LogHead, peaks: &Peaks, known: u64, sent: &[Sent]) -> Option<Range<usize>> {
    (0..sent.len()).find_map(|first| {
        let (mut peaks, mut leaves) = (*peaks, known);
        for (index, sent) in sent.iter().enumerate().skip(first) {
            for header in &sent.headers {
                mmr::append(&mut peaks, leaves, header.leaf()).ok()?;
                leaves = leaves.saturating_add(1);
            }
            if leaves >= batches {
                return (mmr::root(&peaks, leaves) == root).then_some(first..index + 1);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{SUPPLIER, batch, log, unreachable_rpc};
    use super::*;
    use leasehold_client::history::HistoryError;

    fn headers(numbers: Range<u32>) -> Vec<BatchHeader> {
        numbers.map(|number| batch(number).header).collect()
    }

    fn sent(numbers: Range<u32>) -> Sent {
        let signature = Signature::from([numbers.end as u8; 64]);
        Sent { signature, source: "http://node".to_owned(), headers: headers(numbers) }
    }

    /// The log's account with the first batches.
    fn state(batches: u32) -> ComputeLog {
        let (log, _) = log(&[]).view().map(|(log, lanes)| (*log, lanes.len())).unwrap();
        let mut log = ComputeLog { batches: u64::from(batches), ..log };
        for (index, header) in (0..).zip(headers(0..batches)) {
            mmr::append(&mut log.peaks, index, header.leaf()).unwrap();
        }
        log
    }

    async fn own() -> (OwnLog, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_file(&folder.path().join("log.db")).await.unwrap();
        (OwnLog::new(leasehold_client::address::log(&SUPPLIER), db), folder)
    }

    #[tokio::test]
    async fn nothing_is_read_if_this_node_appended_everything() {
        let ((own, _folder), rpc) = (own().await, unreachable_rpc());
        own.catch_up(&rpc, &state(0)).await.unwrap();
        own.sent(sent(0..2));
        own.sent(sent(2..3));
        own.sent(sent(3..5));
        assert_eq!(own.place(&batch(2).header).await.unwrap(), None);
        own.catch_up(&rpc, &state(3)).await.unwrap();
        assert_eq!(own.place(&batch(2).header).await.unwrap(), Some(Ok(2)));
        assert_eq!(own.place(&batch(3).header).await.unwrap(), None, "the account did not confirm it");
        own.catch_up(&rpc, &state(5)).await.unwrap();
        own.catch_up(&rpc, &state(3)).await.unwrap();
        let known = own.db.known(&own.address).await.unwrap().unwrap();
        assert_eq!((known.batches, known.followed), (5, Some(sent(3..5).signature)));
        let proof = own.proof(1, 5).await.unwrap().unwrap();
        assert!(state(5).holds(&proof.header, 1, &proof.path));
        let other = BatchHeader { count: 11, ..batch(2).header };
        assert_eq!(own.place(&other).await.unwrap(), Some(Err(Foreign)));
    }

    #[tokio::test]
    async fn the_log_is_read_if_others_appended() {
        let ((own, _folder), rpc) = (own().await, unreachable_rpc());
        own.sent(sent(1..3));
        let end = own.catch_up(&rpc, &state(3)).await;
        assert!(matches!(end, Err(SyncError::History(HistoryError::Rpc(_)))), "{end:?}");
        assert_eq!(own.db.known(&own.address).await.unwrap(), None, "nothing is guessed");
    }

    #[test]
    fn only_transactions_that_lead_to_the_account_are_noted() {
        let all = [sent(0..2), sent(2..3), sent(3..5)];
        let leading = |batches: u32, known: u32, sent: &[Sent]| {
            let log = state(batches);
            let head = (log.batches, mmr::root(&log.peaks, log.batches));
            leading_to(head, &state(known).peaks, u64::from(known), sent)
        };
        assert_eq!(leading(5, 0, &all), Some(0..3));
        assert_eq!(leading(3, 0, &all), Some(0..2));
        assert_eq!(leading(5, 2, &all), Some(1..3), "the first was read");
        assert_eq!(leading(4, 2, &all), None);
        assert_eq!(leading(6, 2, &all), None, "somebody else appended");
        assert_eq!(leading(5, 2, &[sent(3..4), sent(2..4)]), None);
    }
}
