//! Keeps the headers of a log up to date: proofs need those of all machines.

use crate::archive::{Db, DbError};
use futures::TryStreamExt;
use leasehold::instructions::BatchProof;
use leasehold::math::mmr::{self, Peaks};
use leasehold::state::{BatchHeader, ComputeLog};
use leasehold_client::history::{AppendedBatches, HistoryError, LogTransaction, log_transactions};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// Most transactions of this node that are remembered until the log's account confirms them.
const REMEMBERED: usize = 256;

/// Why the headers are not up to date.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("{0}: use an RPC node that keeps all transactions")]
    Gap(DbError),
    #[error("the RPC node's history of the log is behind its state: it is asked again")]
    Behind,
    #[error("the RPC node's history of the log is not what the log has: it is read again")]
    Wrong,
    #[error("the log is named in so many transactions that not all are read yet: the rest is read next")]
    More,
    #[error(transparent)]
    Follow(#[from] HistoryError),
}

/// Reads what came to a log since the last time; where that is very much, its beginning. What was read before
/// an error is kept.
///
/// # Errors
/// Any [`SyncError`]. After a gap the log is followed from its beginning.
pub async fn sync(rpc: &RpcClient, db: &Db, log: &Pubkey) -> Result<(), SyncError> {
    read(rpc, db, log, None).await
}

/// A log as its account has it: batches and root.
type State = (u64, [u8; 32]);

/// Like [`sync`], up to a state of the log: what named it later is not read.
async fn read(rpc: &RpcClient, db: &Db, log: &Pubkey, up_to: Option<State>) -> Result<(), SyncError> {
    let since = db.known(log).await?.and_then(|known| known.followed);
    let (transactions, more) = log_transactions(rpc, log, since).await?;
    let mut transactions = std::pin::pin!(transactions);
    while let Some(followed) = transactions.try_next().await? {
        match db.append(log, &followed).await {
            Ok(()) => {}
            Err(gap @ DbError::Gap { .. }) => {
                db.follow_again(log).await?;
                return Err(SyncError::Gap(gap));
            }
            Err(error) => return Err(SyncError::Db(error)),
        }
        if let Some((batches, root)) = up_to
            && !followed.appended.is_empty()
            && db.root(log, batches).await? == Some(root)
        {
            return Ok(());
        }
    }
    if more { Err(SyncError::More) } else { Ok(()) }
}

/// The headers of the log to which this node appends.
///
/// What it appended itself is noted as soon as the log's account confirms it. The log's transactions are read
/// only where others appended, for anybody can name the log in as many as they pay for.
pub(super) struct OwnLog {
    address: Pubkey,
    db: Db,
    /// What this node appended, in order. Some of it may be in the database.
    sent: Mutex<VecDeque<Sent>>,
    turn: tokio::sync::Mutex<()>,
}

/// A transaction of this node's that appended batches.
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

    /// Place in the log of the batch with that header. Nothing, where it is not in the database yet; an
    /// error, where another batch has its number.
    pub async fn place(&self, header: &BatchHeader) -> Result<Option<Result<u64, Foreign>>, DbError> {
        let BatchHeader { board, slot, generation, number, .. } = header;
        let found = self.db.find(board, *slot, *generation, *number).await?;
        let found = found.filter(|found| found.log == self.address);
        Ok(found.map(|found| if found.header == *header { Ok(found.index) } else { Err(Foreign) }))
    }

    /// Where a batch stands in the log as it was with that many batches.
    pub async fn proof(&self, index: u64, batches: u64) -> Result<Option<BatchProof>, DbError> {
        self.db.proof(&self.address, index, batches).await
    }

    /// Sees to it that the headers are here that the log's account stands for.
    ///
    /// # Errors
    /// Any [`SyncError`]. After [`SyncError::More`] the rest is read with the next call.
    pub async fn catch_up(&self, rpc: &RpcClient, log: &ComputeLog) -> Result<(), SyncError> {
        let _turn = self.turn.lock().await;
        let state @ (batches, root) = (log.batches, mmr::root(&log.peaks, log.batches));
        if batches == 0 || self.db.root(&self.address, batches).await? == Some(root) {
            return Ok(());
        }
        if self.note_sent(state).await? {
            return Ok(());
        }
        read(rpc, &self.db, &self.address, Some(state)).await?;
        match self.db.root(&self.address, batches).await? {
            None => Err(SyncError::Behind),
            Some(here) if here != root => {
                self.db.follow_again(&self.address).await?;
                Err(SyncError::Wrong)
            }
            Some(_) => Ok(()),
        }
    }

    /// Adds what this node appended, if nothing else came to the log.
    async fn note_sent(&self, state: State) -> Result<bool, DbError> {
        let sent: Vec<_> = self.lock().iter().cloned().collect();
        let known = self.db.known(&self.address).await?.map_or(0, |known| known.batches);
        let peaks = self.db.peaks(&self.address, known).await?.unwrap_or([[0; 32]; mmr::MAX_PEAKS]);
        let Some(some) = leading_to(state, &peaks, known, &sent) else { return Ok(false) };
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

/// Which of the transactions, one after the other, make the log what it is, out of `known` batches under these
/// peaks.
fn leading_to((batches, root): State, peaks: &Peaks, known: u64, sent: &[Sent]) -> Option<Range<usize>> {
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
    use super::super::sample::{SUPPLIER, batch, log, nobody};
    use super::*;

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
    async fn nothing_is_asked_for_what_is_here_or_was_appended_here() {
        let ((own, _folder), rpc) = (own().await, nobody());
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
    async fn what_others_appended_is_read() {
        let ((own, _folder), rpc) = (own().await, nobody());
        own.sent(sent(1..3));
        let end = own.catch_up(&rpc, &state(3)).await;
        assert!(matches!(end, Err(SyncError::Follow(HistoryError::Rpc(_)))), "{end:?}");
        assert_eq!(own.db.known(&own.address).await.unwrap(), None, "nothing is guessed");
    }

    #[test]
    fn only_what_makes_the_log_what_it_is_is_noted() {
        let all = [sent(0..2), sent(2..3), sent(3..5)];
        let leading = |batches: u32, known: u32, sent: &[Sent]| {
            let log = state(batches);
            let state_ = (log.batches, mmr::root(&log.peaks, log.batches));
            leading_to(state_, &state(known).peaks, u64::from(known), sent)
        };
        assert_eq!(leading(5, 0, &all), Some(0..3));
        assert_eq!(leading(3, 0, &all), Some(0..2));
        assert_eq!(leading(5, 2, &all), Some(1..3), "the first was read");
        assert_eq!(leading(4, 2, &all), None);
        assert_eq!(leading(6, 2, &all), None, "somebody else appended");
        assert_eq!(leading(5, 2, &[sent(3..4), sent(2..4)]), None);
    }
}
