//! Keeps the headers of a log up to date: proofs need those of all machines.

use super::follow::{FollowError, follow};
use crate::archive::{Db, DbError};
use futures::TryStreamExt;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

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
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Reads what came to a log since the last time. What was read before an error is kept.
///
/// # Errors
/// Any [`SyncError`]. After a gap the log is followed from its beginning.
pub async fn sync(rpc: &RpcClient, db: &Db, log: &Pubkey) -> Result<(), SyncError> {
    let since = db.known(log).await?.and_then(|known| known.followed);
    let mut transactions = std::pin::pin!(follow(rpc, log, since).await?);
    while let Some(followed) = transactions.try_next().await? {
        match db.append(log, &followed).await {
            Ok(()) => {}
            Err(gap @ DbError::Gap { .. }) => {
                db.follow_again(log).await?;
                return Err(SyncError::Gap(gap));
            }
            Err(error) => return Err(SyncError::Db(error)),
        }
    }
    Ok(())
}
