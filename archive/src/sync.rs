//! Brings the headers of a log in a database up to date with the cluster.
//!
//! RPC nodes list a log's transactions from the newest, and batches are added from the oldest. So marks are left in the
//! database on the way down, one for each page, and taken away on the way up: an interrupted read goes on where it stopped,
//! also after a restart. Marks only shorten the way; a mark that is gone costs a page.

use crate::{Db, DbError};
use futures::TryStreamExt;
use leasehold_client::history::{HistoryError, LogTransaction, log_page, log_transactions};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

/// Most pages of one call.
const PAGES: usize = 64;

/// Why the headers are not up to date.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("{0}: use an RPC node that keeps all transactions")]
    Gap(DbError),
    #[error("the RPC node's transaction history of the log is behind the log's account: asking again")]
    Behind,
    #[error(
        "the RPC node's transaction history of the log does not match the log's account: reading it again"
    )]
    Mismatch,
    #[error("the log has more transactions than one read returns: reading the rest next")]
    Unfinished,
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// A log as its account has it: number of batches, and the root over their headers.
pub type LogHead = (u64, [u8; 32]);

/// Reads the transactions that named a log since the last call, the oldest first, and adds the batches that they
/// appended. Batches added before an error stay.
///
/// # Errors
/// Any [`SyncError`]. After [`SyncError::Gap`] the log is followed from its beginning.
pub async fn sync(rpc: &RpcClient, db: &Db, log: &Pubkey) -> Result<(), SyncError> {
    read(rpc, db, log, None).await
}

/// Like [`sync`], but stops once the database holds the log as `head` describes it, so that later transactions are not
/// read. Then compares the two.
///
/// # Errors
/// Any [`SyncError`]. After [`SyncError::Mismatch`] the log is followed from its beginning.
pub async fn sync_to(rpc: &RpcClient, db: &Db, log: &Pubkey, head: LogHead) -> Result<(), SyncError> {
    read(rpc, db, log, Some(head)).await?;
    compare(db, log, head).await
}

/// Compares the log in the database with its account.
///
/// # Errors
/// [`SyncError::Behind`] if batches are missing, and [`SyncError::Mismatch`] if others are there: the log is followed
/// from its beginning then.
pub async fn compare(db: &Db, log: &Pubkey, (batches, root): LogHead) -> Result<(), SyncError> {
    match db.root(log, batches).await? {
        None => Err(SyncError::Behind),
        Some(known) if known != root => {
            db.follow_again(log).await?;
            Err(SyncError::Mismatch)
        }
        Some(_) => Ok(()),
    }
}

async fn read(rpc: &RpcClient, db: &Db, log: &Pubkey, up_to: Option<LogHead>) -> Result<(), SyncError> {
    for request in 0..PAGES {
        let since = db.known(log).await?.and_then(|known| known.followed);
        let mark = db.mark(log).await?;
        let page = match log_page(rpc, log, mark, since).await {
            Err(error) if request == 0 && error.is_refusal() => {
                // The cluster may have dropped the fork with the mark.
                db.remove_mark(log).await?;
                return Err(error.into());
            }
            page => page?,
        };
        if let Some(older) = page.older {
            db.add_mark(log, &older).await?;
            continue;
        }
        let mut transactions = std::pin::pin!(log_transactions(rpc, log, page.succeeded));
        while let Some(followed) = transactions.try_next().await? {
            append(db, log, &followed).await?;
            if let Some((batches, root)) = up_to
                && !followed.appended.is_empty()
                && db.root(log, batches).await? == Some(root)
            {
                return Ok(());
            }
        }
        db.end_page(log, page.newest.as_ref()).await?;
        if mark.is_none() {
            return Ok(());
        }
    }
    Err(SyncError::Unfinished)
}

async fn append(db: &Db, log: &Pubkey, followed: &LogTransaction) -> Result<(), SyncError> {
    match db.append(log, followed).await {
        Err(gap @ DbError::Gap { .. }) => {
            db.follow_again(log).await?;
            Err(SyncError::Gap(gap))
        }
        appended => Ok(appended?),
    }
}
