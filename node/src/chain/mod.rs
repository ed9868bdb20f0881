//! Tasks that bring a node's receipts to the chain: they seal receipts into batches, append the batches to the
//! supplier's log, redeem vouchers, answer demands, and delete receipts that nobody can dispute any more.
//!
//! [`LeaseWatch`] reads the chain. The tasks plan from its views and from the database, in functions without a network,
//! and send. Nothing of importance is kept in memory: progress is read from the chain and the database. A failed call
//! is retried with [backoff](leasehold_daemon::backoff).

pub mod answer;
pub mod headers;
pub mod post;
mod prune;
pub mod redeem;
#[cfg(test)]
mod sample;
pub mod seal;
mod settings;
pub mod signable;
mod tools;

pub use settings::{ChainSettings, RecordSettings, load};
pub use tools::Metrics;

use crate::leases::{LeaseWatch, Leases};
use crate::receipts::store::Store;
use leasehold_archive::{Db, DbError};
use leasehold_client::address;
use leasehold_client::sender::{AnySigner, Price, Sender, SenderOptions};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tools::Tools;
use tracing::warn;

/// How long a node that stops waits for the transactions under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(7);
/// Metered leases get no credit if the chain was not read for so long, or for so many polls if that is longer.
const SILENT: Duration = Duration::from_secs(120);
const SILENT_POLLS: u32 = 4;

/// Why the tasks do not start.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("`operator` in [chain] is missing: name the keypair file of the log's operator")]
    NoOperator,
    #[error(transparent)]
    Headers(#[from] DbError),
}

/// The tasks of a running node that send transactions. Dropping it stops them at once; [`Chain::shutdown`] lets them
/// finish.
pub struct Chain {
    metrics: Arc<Metrics>,
    headers: Db,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl Chain {
    /// Starts the tasks, which use the views of `leases` and send to its RPC node. `source` is the public URL of the
    /// node's receipts. The leases for which receipts may be signed are sent to `signable`. Sends nothing yet: a node
    /// starts whether the RPC node answers or not.
    ///
    /// # Errors
    /// Any [`ChainError`].
    pub async fn start(
        settings: ChainSettings,
        source: String,
        leases: &LeaseWatch,
        signable: watch::Sender<Arc<Leases>>,
        store: Store,
    ) -> Result<Self, ChainError> {
        let ChainSettings { watch: watched, operator, records, priority_fee } = settings;
        let operator = operator.ok_or(ChainError::NoOperator)?;
        let headers = Db::open_file(&records.headers).await?;
        let operator = Keypair::new_from_array(operator.to_bytes());
        let (log, wallet) = (address::log(&watched.supplier), operator.pubkey());
        let price = match priority_fee {
            0 => Price::Fixed(0),
            at_most => Price::Recent { at_most },
        };
        let signer: Arc<AnySigner> = Arc::new(operator);
        let options = SenderOptions { price, ..SenderOptions::default() };
        let sender = Sender::with_options(Arc::clone(leases.rpc()), signer, options);
        let metrics = Arc::<Metrics>::default();
        let tools = Arc::new(Tools {
            settings: records,
            supplier: watched.supplier,
            source,
            log,
            operator: wallet,
            rpc: Arc::clone(leases.rpc()),
            sender,
            store,
            headers: headers::OwnLog::new(log, headers.clone()),
            metrics: Arc::clone(&metrics),
            credit: SILENT.max(watched.poll.saturating_mul(SILENT_POLLS)),
            poll_now: leases.poll_now(),
        });
        let (stop, stopped) = watch::channel(false);
        let views = || leases.views();
        let mut tasks = Tasks::new(stopped.clone());
        let run = signable::run(tools.clone(), views(), leases.leases(), signable, stopped.clone());
        tasks.spawn("task that says which receipts may be signed", run);
        let run = seal::run(tools.clone(), leases.leases(), views(), stopped.clone());
        tasks.spawn("task that seals batches", run);
        tasks.spawn("task that appends batches", post::run(tools.clone(), views(), stopped.clone()));
        tasks.spawn("task that redeems vouchers", redeem::run(tools.clone(), views(), stopped.clone()));
        tasks.spawn("task that deletes old receipts", prune::run(tools.clone(), views(), stopped.clone()));
        tasks.spawn("task that answers demands", answer::run(tools, stopped));
        Ok(Self { metrics, headers, stop, tasks })
    }

    /// Counters of the tasks.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        self.tasks.ended()
    }

    /// Stops after the transactions under way.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if timeout(SHUTDOWN_TIMEOUT, self.tasks.join()).await.is_err() {
            warn!("stopping before the last transactions are confirmed");
            self.tasks.shutdown().await;
        }
        self.headers.close().await;
    }
}
