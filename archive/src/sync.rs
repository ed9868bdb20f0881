//! Brings the headers of a log in a database up to date with the cluster.

use crate::{Db, DbError};
use futures::TryStreamExt;
use leasehold_client::history::{HistoryError, log_transactions};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

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
    if more { Err(SyncError::Unfinished) } else { Ok(()) }
}
