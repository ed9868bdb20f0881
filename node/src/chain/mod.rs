//! What a node does on the chain for its machines: learns which leases run, seals receipts into batches and
//! appends them to the supplier's log, redeems vouchers, answers demands.
//!
//! One task looks at the chain and publishes what it sees; the others plan from that and from the database,
//! in functions without a network, and send. Nothing is kept in memory that matters: what was done before is
//! read from the chain and the database. A call that fails is tried again, after a pause that grows.

pub mod answer;
pub mod headers;
pub mod look;
pub mod post;
pub mod redeem;
#[cfg(test)]
mod sample;
pub mod seal;
mod settings;
mod tools;
pub(crate) mod trouble;
pub mod watch;

pub use settings::{ChainSettings, load};
pub use tools::Metrics;

use crate::archive::{Db, DbError};
use crate::receipts::MachinesReceiver;
use crate::receipts::leases::Leases;
use crate::receipts::store::Store;
use leasehold_client::address;
use leasehold_client::sender::{AnySigner, Price, Sender, SenderOptions};
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tools::Tools;
use tracing::warn;

/// How long one question to the RPC node may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a node that stops waits for its last transactions.
const FAREWELL: Duration = Duration::from_secs(30);

/// The tasks of a running node that deal with the chain. Dropping it stops them at once;
/// [`Chain::shutdown`] lets them finish what they are at.
pub struct Chain {
    metrics: Arc<Metrics>,
    headers: Db,
    stop: channel::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Chain {
    /// Starts the tasks. `machines` are those of the configuration; which lease runs on each of them is sent
    /// to `leases`. `source` is the public URL below which batches can be had. Asks the RPC node nothing yet:
    /// a node starts whether it answers or not.
    ///
    /// # Errors
    /// [`DbError`], where the log's headers can't be kept.
    pub async fn start(
        settings: ChainSettings,
        source: String,
        machines: MachinesReceiver,
        leases: channel::Sender<Arc<Leases>>,
        store: Store,
    ) -> Result<Self, DbError> {
        let headers = Db::open_file(&settings.headers).await?;
        let commitment = CommitmentConfig::confirmed();
        let rpc = RpcClient::new_with_timeout_and_commitment(settings.rpc.clone(), PATIENCE, commitment);
        let (rpc, operator) = (Arc::new(rpc), Keypair::new_from_array(settings.operator.to_bytes()));
        let (log, wallet) = (address::log(&settings.supplier), operator.pubkey());
        let price = match settings.priority_fee {
            0 => Price::Fixed(0),
            at_most => Price::Recent { at_most },
        };
        let signer: Arc<AnySigner> = Arc::new(operator);
        let options = SenderOptions { price, ..SenderOptions::default() };
        let sender = Sender::with_options(Arc::clone(&rpc), signer, options);
        let metrics = Arc::<Metrics>::default();
        let tools = Arc::new(Tools {
            settings,
            source,
            log,
            operator: wallet,
            rpc,
            sender,
            store,
            headers: headers::OwnLog::new(log, headers.clone()),
            metrics: Arc::clone(&metrics),
            hurry: tokio::sync::Notify::new(),
        });
        let (stop, stopped) = channel::channel(false);
        let (looks, looked) = channel::channel(None);
        let leased = leases.subscribe();
        let mut tasks = JoinSet::new();
        let watcher = watch::Watcher { tools: tools.clone(), machines, looks, leases };
        tasks.spawn(watcher.run(stopped.clone()));
        tasks.spawn(seal::run(tools.clone(), leased, looked.clone(), stopped.clone()));
        tasks.spawn(post::run(tools.clone(), looked.clone(), stopped.clone()));
        tasks.spawn(redeem::run(tools.clone(), looked.clone(), stopped.clone()));
        tasks.spawn(answer::run(tools, looked, stopped));
        Ok(Self { metrics, headers, stop, tasks })
    }

    /// What the tasks count.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Stops after the transactions under way.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let last = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, last).await.is_err() {
            warn!("stopping without word of the last transactions");
        }
        self.headers.close().await;
    }
}
