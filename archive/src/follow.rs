//! Polls logs and rebuilds them from their events.

use crate::sync::{LogHead, SyncError, compare, sync};
use crate::{Db, DbError, Shared};
use futures::{StreamExt, stream};
use leasehold::math::mmr;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::record::LogData;
use leasehold_client::rpc::{ClusterError, ClusterGuard, OtherCluster};
use leasehold_daemon::backoff::{Backoff, Backoffs};
use leasehold_daemon::unix_secs;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// Longest time that one log is followed in one poll. What was read until then stays.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(60);
/// Logs that are followed at a time.
const LOGS_AT_ONCE: usize = 8;

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
    /// Named logs that were told not to exist.
    missing: HashSet<Pubkey>,
    cluster: ClusterGuard,
    /// True if the database is known to be of that cluster.
    is_databases: bool,
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
                    let _ = stop.wait_for(|stop| *stop).await;
                    return;
                }
                Err(error) => {
                    let error = match error {
                        PollError::Db(error) => PollError::Db(self.shared.db.explained(error).await),
                        error => error,
                    };
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

    /// Brings every log up to date. A log that fails or takes long does not keep the others waiting.
    async fn poll(&self, followed: &mut Followed) -> Result<(), PollError> {
        let found = followed.cluster.confirm(&self.rpc).await?;
        if !followed.is_databases {
            let known = self.shared.db.cluster(found.to_bytes()).await?.into();
            if known != found {
                return Err(ClusterError::from(OtherCluster { known, found }).into());
            }
            followed.is_databases = true;
        }
        let logs = self.logs(&mut followed.missing).await?;
        let due = logs.iter().filter(|(address, _)| !followed.failures.is_paused(address));
        let calls: Vec<_> = due
            .map(|(address, log)| async {
                let follow = self.follow(address, log, followed.roots.get(address));
                (*address, timeout(FOLLOW_TIMEOUT, follow).await)
            })
            .collect();
        let ends: Vec<_> = stream::iter(calls).buffer_unordered(LOGS_AT_ONCE).collect().await;
        for (address, end) in ends {
            match end {
                Ok(Ok(root)) => {
                    followed.failures.reset(&address);
                    followed.roots.extend(root.map(|root| (address, root)));
                }
                Ok(Err(error)) => {
                    followed.failures.fail(address, &format!("log {address}: {error}"));
                }
                Err(_) => {
                    let secs = FOLLOW_TIMEOUT.as_secs();
                    let error =
                        format!("log {address}: not followed to its end within {secs} s: going on later");
                    followed.failures.fail(address, &error);
                }
            }
        }
        let totals = self.shared.db.totals().await?;
        self.shared.metrics.polled(unix_secs(), totals);
        Ok(())
    }

    async fn logs(&self, missing: &mut HashSet<Pubkey>) -> Result<Vec<(Pubkey, LogData)>, FetchError> {
        let fetch = Fetch::new(&self.rpc);
        let Some(named) = &self.logs else {
            let all = fetch.logs().await?;
            return Ok(all.into_iter().map(|log| (log.address, log.account)).collect());
        };
        let mut logs = Vec::new();
        for address in named {
            match fetch.log(*address).await? {
                Some(log) => {
                    if missing.remove(address) {
                        info!(log = %address, "the log exists now");
                    }
                    logs.push((*address, log.account));
                }
                None if missing.insert(*address) => {
                    warn!(log = %address, "there is no such log yet: check --log-address and --rpc");
                }
                None => {}
            }
        }
        Ok(logs)
    }

    /// Reads the new batches of a log and compares the log with its account. Returns its root, if it is not the last one.
    async fn follow(
        &self,
        address: &Pubkey,
        log: &LogData,
        last: Option<&[u8; 32]>,
    ) -> Result<Option<[u8; 32]>, SyncError> {
        let db = &self.shared.db;
        let Ok((log, _)) = log.view() else { return Ok(None) };
        let head @ (batches, root): LogHead = (log.batches, mmr::root(&log.peaks, log.batches));
        if batches == 0 || last == Some(&root) {
            return Ok(None);
        }
        if db.root(address, batches).await? != Some(root) {
            sync_to_end(&self.rpc, db, address).await?;
            compare(db, address, head).await?;
            self.shared.new_batches.notify_one();
        }
        info!(log = %address, batches, "log followed");
        Ok(Some(root))
    }
}

/// Each part stays, whenever this is cut off.
async fn sync_to_end(rpc: &RpcClient, db: &Db, log: &Pubkey) -> Result<(), SyncError> {
    loop {
        match sync(rpc, db, log).await {
            Err(SyncError::Unfinished) => {}
            end => return end,
        }
    }
}
