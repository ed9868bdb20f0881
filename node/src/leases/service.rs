//! The lease watch as a service that starts and stops.

use super::watch::{RPC_TIMEOUT, Watcher};
use super::{Leases, LeasesReceiver, Metrics, ViewReceiver};
use crate::machines::MachinesReceiver;
use crate::probes::Probes;
use leasehold_client::probe::Pubkey;
use leasehold_client::rpc::{CallTimeout, OtherCluster, connect};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long the poll under way is waited for at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where leases are read from.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// URL of an RPC node.
    pub rpc: String,
    /// Account of the machines' supplier.
    pub supplier: Pubkey,
    /// Time between two polls; boards with short rounds are polled more often.
    pub poll: Duration,
}

/// Polls the chain and publishes which lease runs on each machine. Dropping it stops it at once.
pub struct LeaseWatch {
    rpc: Arc<RpcClient>,
    views: ViewReceiver,
    leases: LeasesReceiver,
    poll_now: Arc<Notify>,
    metrics: Arc<Metrics>,
    failure: watch::Receiver<Option<OtherCluster>>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl LeaseWatch {
    /// Begins to poll. `machines` are those of the configuration; their leases are sent to `leases`. `probes`: what is shared
    /// with the answers to probes, see [`Node::probes`](crate::Node::probes).
    pub fn start(
        settings: WatchSettings,
        machines: MachinesReceiver,
        leases: watch::Sender<Arc<Leases>>,
        probes: Arc<Probes>,
    ) -> Self {
        let WatchSettings { rpc, supplier, poll } = settings;
        let commitment = CommitmentConfig::confirmed();
        let timeout = CallTimeout::new(RPC_TIMEOUT);
        let rpc = Arc::new(connect(&rpc, timeout.clone(), commitment));
        let (poll_now, metrics) = (Arc::<Notify>::default(), Arc::<Metrics>::default());
        let (stop, stopped) = watch::channel(false);
        let (views, received) = watch::channel(None);
        let (failed, failure) = watch::channel(None);
        let subscribed = leases.subscribe();
        let watcher = Watcher {
            rpc: rpc.clone(),
            timeout,
            failed,
            supplier,
            poll,
            machines,
            views,
            leases,
            poll_now: poll_now.clone(),
            metrics: metrics.clone(),
            probes,
        };
        let mut tasks = Tasks::new(stopped.clone());
        tasks.spawn("lease watch", watcher.run(stopped));
        Self { rpc, views: received, leases: subscribed, poll_now, metrics, failure, stop, tasks }
    }

    /// The RPC node that is polled.
    pub fn rpc(&self) -> &Arc<RpcClient> {
        &self.rpc
    }

    /// Receiving end of the polls' views.
    pub fn views(&self) -> ViewReceiver {
        self.views.clone()
    }

    /// Receiving end of the leases that run on the machines.
    pub fn leases(&self) -> LeasesReceiver {
        self.leases.clone()
    }

    /// Notify it to have the next poll without delay.
    pub fn poll_now(&self) -> Arc<Notify> {
        self.poll_now.clone()
    }

    /// Counters of the lease watch.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until the RPC node is found to be of another cluster than before: nothing is read any more then.
    pub fn failed(&self) -> impl Future<Output = OtherCluster> + use<> {
        let mut failure = self.failure.clone();
        async move {
            let found = failure.wait_for(Option::is_some).await.ok().and_then(|found| *found);
            match found {
                Some(other) => other,
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        self.tasks.ended()
    }

    /// Stops after the poll under way, if that ends soon.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // A poll changes nothing: it may be cut off.
        let _ = timeout(SHUTDOWN_TIMEOUT, self.tasks.join()).await;
    }
}
