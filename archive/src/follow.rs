//! Polls logs and rebuilds them from their events.

use crate::sync::{LogHead, SyncError, compare, sync};
use crate::{DbError, Shared};
use leasehold::math::mmr;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::record::LogData;
use leasehold_client::rpc::{ClusterError, ClusterGuard, OtherCluster};
use leasehold_daemon::backoff::{Backoff, Backoffs};
use leasehold_daemon::unix_secs;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Follows the named logs, or all logs of the program.
pub(super) struct Follower {
    pub rpc: RpcClient,
    pub logs: Option<Vec<Pubkey>>,
    pub poll: Duration,
    pub shared: Arc<Shared>,
    /// Set if the RPC node is of another cluster than before.
    pub failed: watch::Sender<Option<OtherCluster>>,
}

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// State of the follower between two polls.
#[derive(Default)]
struct Followed {
    /// Roots of logs that the database has.
    roots: HashMap<Pubkey, [u8; 32]>,
    failures: Backoffs<Pubkey>,
    cluster: ClusterGuard,
}

impl Follower {
    /// Polls until `stop` is true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut backoff, mut followed) = (Backoff::default(), Followed::default());
        loop {
            let polled = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                polled = self.poll(&mut followed) => polled,
            };
            let wait = match polled {
                Ok(()) => {
                    backoff.reset();
                    self.poll
                }
                Err(PollError::Cluster(ClusterError::Other(other))) => {
                    error!("{other}");
                    self.failed.send_replace(Some(other));
                    return;
                }
                Err(error) => {
                    self.shared.metrics.poll_failed();
                    followed.cluster.doubt();
                    backoff.fail(&error)
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Brings every log up to date. A log that fails does not keep the others waiting.
    async fn poll(&self, followed: &mut Followed) -> Result<(), PollError> {
        followed.cluster.confirm(&self.rpc).await?;
        for (address, log) in self.logs().await? {
            match self.follow(&address, &log, followed).await {
                Ok(()) => followed.failures.reset(&address),
                Err(error) => {
                    // The next poll is the next attempt, whatever the backoff's pause is.
                    followed.failures.fail(address, &format!("log {address}: {error}"));
                }
            }
        }
        let totals = self.shared.db.totals().await?;
        self.shared.metrics.polled(unix_secs(), totals);
        Ok(())
    }

    async fn logs(&self) -> Result<Vec<(Pubkey, LogData)>, FetchError> {
        let fetch = Fetch::new(&self.rpc);
        let Some(named) = &self.logs else {
            let all = fetch.logs().await?;
            return Ok(all.into_iter().map(|log| (log.address, log.account)).collect());
        };
        let mut logs = Vec::new();
        for address in named {
            match fetch.log(*address).await? {
                Some(log) => logs.push((*address, log.account)),
                None => warn!(log = %address, "there is no such log: check --log-address and --rpc"),
            }
        }
        Ok(logs)
    }

    /// Reads the new batches of a log and compares the log with its account.
    async fn follow(
        &self,
        address: &Pubkey,
        log: &LogData,
        followed: &mut Followed,
    ) -> Result<(), SyncError> {
        let db = &self.shared.db;
        let Ok((log, _)) = log.view() else { return Ok(()) };
        let head @ (batches, root): LogHead = (log.batches, mmr::root(&log.peaks, log.batches));
        if batches == 0 || followed.roots.get(address) == Some(&root) {
            return Ok(());
        }
        if db.root(address, batches).await? != Some(root) {
            sync(&self.rpc, db, address).await?;
            compare(db, address, head).await?;
            self.shared.new_batches.notify_one();
        }
        info!(log = %address, batches, "log followed");
        followed.roots.insert(*address, root);
        Ok(())
    }
}
