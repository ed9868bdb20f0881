//! Downloads the receipts of batches for as long as the archive runs.

use crate::check::{Mismatch, check};
use crate::download::{DownloadError, Downloader};
use crate::leaves::{Failure, MissingLeaves};
use crate::{Db, DbError, Shared};
use futures::{StreamExt, stream};
use leasehold_daemon::backoff::Backoff;
use leasehold_daemon::unix_secs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// Downloads at a time.
const CONCURRENCY: usize = 8;
/// Batches that are read from the database at a time.
const READ_AHEAD: u32 = 32;
/// Shortest and longest pause before a batch is tried again, in seconds: after a source that does not answer, and
/// after one that gave other receipts than the log has.
const UNREACHABLE_PAUSE: (i64, i64) = (15, 3_600);
const MISMATCH_PAUSE: (i64, i64) = (600, 86_400);

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
            Ok(0) => poll,
            Ok(_) => {
                backoff.reset();
                continue;
            }
            Err(error) => backoff.fail(&error),
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
    let due = shared.db.missing(unix_secs(), READ_AHEAD).await?;
    let tried = due.len();
    let mut results = stream::iter(due)
        .map(|missing| async move {
            let result = fetch_one(downloader, &missing).await;
            (missing, result)
        })
        .buffer_unordered(CONCURRENCY);
    while let Some((missing, result)) = results.next().await {
        match result {
            Ok((signed, ids)) => store(shared, &missing, &signed, &ids).await?,
            Err(error) => {
                shared.metrics.download_failed();
                note_failure(&shared.db, &missing, &error).await?;
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
}

impl FetchLeavesError {
    fn failure(&self) -> Failure {
        match self {
            // More bytes than the batch has are another batch.
            Self::Mismatch(_) | Self::Download(DownloadError::TooLong(_)) => Failure::Mismatch,
            Self::Download(DownloadError::Status(_)) => Failure::NotServed,
            Self::Download(_) | Self::Interrupted => Failure::Unreachable,
        }
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
        info!(%board, slot, number, receipts = ids.len(), "batch stored");
    }
    Ok(())
}

async fn note_failure(db: &Db, missing: &MissingLeaves, error: &FetchLeavesError) -> Result<(), DbError> {
    let (board, slot, number) = (missing.header.board, missing.header.slot, missing.header.number);
    let (source, failure) = (&missing.source, error.failure());
    let mismatch = failure == Failure::Mismatch;
    if mismatch {
        warn!(%board, slot, number, source, "the source gave other receipts than the log has: {error}");
    } else if missing.tries.is_power_of_two() || missing.tries == 0 {
        info!(%board, slot, number, source, "the receipts can't be downloaded: {error}");
    }
    let (least, most) = if mismatch { MISMATCH_PAUSE } else { UNREACHABLE_PAUSE };
    let pause = least.saturating_mul(1 << missing.tries.min(16)).min(most);
    db.note_failure(missing, failure, &error.to_string(), unix_secs().saturating_add(pause)).await
}
