//! Downloads the receipts of batches for as long as the archive runs.

use crate::check::{Mismatch, check, expected_len};
use crate::download::{DownloadError, Downloader};
use crate::leaves::{Failure, MissingLeaves};
use crate::{DbError, Shared};
use futures::{StreamExt, stream};
use leasehold::state::BatchHeader;
use leasehold_daemon::backoff::Backoff;
use leasehold_daemon::unix_secs;
use solana_pubkey::Pubkey;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Downloads at a time.
const CONCURRENCY: usize = 8;
/// Batches that are read from the database at a time, and of one log.
const READ_AHEAD: u32 = 32;
const OF_ONE_LOG: u32 = 2;
/// Shortest and longest pause before a batch is tried again, in seconds: after a source that does not answer, and
/// after one that gave other receipts than the log has.
const UNREACHABLE_PAUSE: (i64, i64) = (15, 3_600);
const MISMATCH_PAUSE: (i64, i64) = (600, 86_400);
/// Pause before a batch is looked at again for which there was no room.
const FULL_PAUSE: (i64, i64) = (3_600, 3_600);

/// Most bytes of receipts that the archive keeps: anybody can sign receipts, and have them stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub each: u64,
    pub in_all: u64,
}

/// Logs whose receipts are missing, by kind of the failure: each is told once, until receipts of the log are stored.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<(Pubkey, Failure)>>);

impl Told {
    /// True if the failure was not told yet.
    pub fn is_new(&self, log: Pubkey, failure: Failure) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((log, failure))
    }

    /// Forgets the failures of a log. True if there were some.
    pub fn forget(&self, log: Pubkey) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.len();
        told.retain(|(other, _)| *other != log);
        told.len() < before
    }
}

/// Downloads until `stop` is true.
pub(super) async fn fetch_leaves(
    shared: Arc<Shared>,
    downloader: Downloader,
    poll: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::default();
    loop {
        let fetched = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            fetched = fetch_due(&shared, &downloader) => fetched,
        };
        let wait = match fetched {
            Ok(tried) => {
                backoff.reset();
                if tried > 0 {
                    continue;
                }
                poll
            }
            Err(error) => backoff.fail(&shared.db.explained(error).await),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = shared.new_batches.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Tries all batches that are due. Returns how many.
pub(super) async fn fetch_due(shared: &Shared, downloader: &Downloader) -> Result<usize, DbError> {
    let due = shared.db.missing(unix_secs(), READ_AHEAD, OF_ONE_LOG).await?;
    let tried = due.len();
    let mut results = stream::iter(due)
        .map(|missing| async move {
            let result = match require_room(&shared.room, &missing) {
                Ok(()) => fetch_one(downloader, &missing).await,
                Err(full) => Err(full),
            };
            (missing, result)
        })
        .buffer_unordered(CONCURRENCY);
    while let Some((missing, result)) = results.next().await {
        match result {
            Ok((signed, ids)) => store(shared, &missing, &signed, &ids).await?,
            Err(error) => {
                shared.metrics.download_failed();
                note_failure(shared, &missing, &error).await?;
            }
        }
    }
    Ok(tried)
}

/// Why the receipts of a batch were not stored.
#[derive(Debug, thiserror::Error)]
enum FetchLeavesError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error("the check was interrupted")]
    Interrupted,
    #[error("{0} bytes of receipts of this log are kept at most: --max-log-gib allows more")]
    LogFull(u64),
    #[error("{0} bytes of receipts are kept at most: --max-gib allows more")]
    AllFull(u64),
}

impl FetchLeavesError {
    fn failure(&self) -> Failure {
        match self {
            // More bytes than the batch has are another batch.
            Self::Mismatch(_) | Self::Download(DownloadError::TooLong(_)) => Failure::Mismatch,
            Self::Download(DownloadError::Status(_)) => Failure::NotServed,
            Self::LogFull(_) | Self::AllFull(_) => Failure::Full,
            Self::Download(_) | Self::Interrupted => Failure::Unreachable,
        }
    }
}

/// Refuses a batch for which there is no room. Downloads under way at the same time may exceed it by a few batches.
fn require_room(room: &Room, missing: &MissingLeaves) -> Result<(), FetchLeavesError> {
    let with = |stored: u64| stored.saturating_add(expected_len(&missing.header) as u64);
    match missing {
        _ if with(missing.stored) > room.each => Err(FetchLeavesError::LogFull(room.each)),
        _ if with(missing.stored_in_all) > room.in_all => Err(FetchLeavesError::AllFull(room.in_all)),
        _ => Ok(()),
    }
}

/// Signed receipts of a batch, and their ids.
type Leaves = (Vec<u8>, Vec<[u8; 32]>);

async fn fetch_one(downloader: &Downloader, missing: &MissingLeaves) -> Result<Leaves, FetchLeavesError> {
    let signed = downloader.fetch(&missing.source, &missing.header).await?;
    let header = missing.header;
    // Tens of thousands of signatures would block this thread's other tasks.
    let checked = tokio::task::spawn_blocking(move || check(&header, &signed).map(|ids| (signed, ids)));
    Ok(checked.await.map_err(|_| FetchLeavesError::Interrupted)??)
}

async fn store(
    shared: &Shared,
    missing: &MissingLeaves,
    signed: &[u8],
    ids: &[[u8; 32]],
) -> Result<(), DbError> {
    if shared.db.store_leaves(missing, signed, ids).await? {
        shared.metrics.stored();
        let (board, slot, number) = (missing.header.board, missing.header.slot, missing.header.number);
        debug!(%board, slot, number, receipts = ids.len(), "batch stored");
        if shared.told.forget(missing.address) {
            info!(log = %missing.address, "receipts of the log are stored again");
        }
    }
    Ok(())
}

async fn note_failure(
    shared: &Shared,
    missing: &MissingLeaves,
    error: &FetchLeavesError,
) -> Result<(), DbError> {
    let (source, failure, log) = (&missing.source, error.failure(), missing.address);
    if shared.told.is_new(log, failure) {
        let BatchHeader { board, slot, number, .. } = missing.header;
        let what = match failure {
            Failure::Mismatch => "the source gave other receipts than the log has",
            Failure::Full => "there is no room for more receipts of the log",
            Failure::Unreachable | Failure::NotServed => "receipts of the log can't be downloaded",
        };
        warn!(%log, %board, slot, number, source, "{what}: {error} (told once, until receipts of the log are stored)");
    }
    let (least, most) = match failure {
        Failure::Mismatch => MISMATCH_PAUSE,
        Failure::Full => FULL_PAUSE,
        Failure::Unreachable | Failure::NotServed => UNREACHABLE_PAUSE,
    };
    let pause = least.saturating_mul(1 << missing.tries.min(16)).min(most);
    let next_try = unix_secs().saturating_add(pause);
    shared.db.note_failure(missing, failure, &error.to_string(), next_try).await
}
