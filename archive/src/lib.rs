//! Follows compute logs, stores their receipts and serves proofs.
//!
//! A log's account holds only the peaks and sums of its range, so the archive rebuilds each log from the events
//! ([`leasehold::events::BatchesAppended`]) in the log's transactions and compares the result with the account. It
//! downloads the receipts of each batch from the URL that the supplier named and stores them if they match the batch's
//! header. Nobody has to trust an archive: whoever asks checks each answer against the log's account.
//!
//! The database says how far each log is known and which batches lack receipts, so that an archive goes on where it
//! stopped. The node keeps the headers of its supplier's log in the same kind of database ([`Db`], [`sync`]).

mod api;
mod check;
mod db;
mod download;
mod fetch;
mod follow;
mod headers;
mod leaves;
mod metrics;
#[cfg(test)]
mod sample;
pub mod sync;
#[cfg(test)]
mod tests;

pub use check::{Mismatch, check};
pub use db::{Db, DbError};
pub use download::{DownloadError, Downloader};
pub use headers::{Known, Placed};
pub use leaves::{LeavesState, Located, MissingLeaves, Totals};

use fetch::{Room, Told, fetch_leaves};
use follow::Follower;
use leasehold_client::rpc::{CallTimeout, OtherCluster, connect};
use leasehold_daemon::http::{Gate, Limits, ListenError, listen, serve};
use leasehold_daemon::metrics::{MetricsError, Page, Server};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use metrics::Metrics;
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Timeout of one RPC request: the answer may hold all logs of the program.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an archive that stops waits for requests under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of an archive.
#[derive(Clone, Debug, clap::Args)]
pub struct ArchiveSettings {
    /// URL of an RPC node that keeps all transactions.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_ARCHIVE_RPC", hide_env_values = true)]
    pub rpc: String,
    /// Database: sqlite:PATH, or postgres://USER:PASSWORD@HOST/NAME.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_ARCHIVE_DB", hide_env_values = true)]
    pub db: String,
    /// TCP address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_ARCHIVE_LISTEN", default_value = "127.0.0.1:8473")]
    pub listen: SocketAddr,
    /// Follow this log; may be given several times [default: all logs of the program]
    #[arg(long = "log-address", value_name = "ADDRESS")]
    #[arg(env = "LEASEHOLD_ARCHIVE_LOG_ADDRESSES", value_delimiter = ',')]
    pub logs: Vec<Pubkey>,
    /// Download receipts from private and loopback addresses too: for test networks.
    #[arg(long, env = "LEASEHOLD_ARCHIVE_ALLOW_PRIVATE")]
    pub allow_private: bool,
    /// Seconds between two polls of the logs.
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_ARCHIVE_POLL", default_value = "10")]
    pub poll: NonZeroU32,
    /// Most gibibytes of receipts to keep of one log; a gibibyte holds 2.7 million receipts. More are not downloaded.
    #[arg(long, value_name = "N", env = "LEASEHOLD_ARCHIVE_MAX_LOG_GIB", default_value = "16")]
    pub max_log_gib: NonZeroU32,
    /// Most gibibytes of receipts to keep in all.
    #[arg(long, value_name = "N", env = "LEASEHOLD_ARCHIVE_MAX_GIB", default_value = "256")]
    pub max_gib: NonZeroU32,
    /// Loopback address on which Prometheus finds /metrics [default: none]
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_ARCHIVE_METRICS")]
    pub metrics: Option<SocketAddr>,
}

/// Why an archive does not start.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Db(#[from] DbError),
    // The URL may hold a key.
    #[error("--rpc is not an http or https URL: give one such as https://api.devnet.solana.com")]
    Rpc,
    #[error(transparent)]
    OtherCluster(#[from] OtherCluster),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why an archive must not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    OtherCluster(#[from] OtherCluster),
    #[error(transparent)]
    TaskEnded(#[from] TaskEnded),
}

/// State shared by the tasks of an archive.
struct Shared {
    db: Db,
    metrics: Arc<Metrics>,
    /// Notified when there are new batches.
    new_batches: Notify,
    room: Room,
    told: Told,
}

/// A running archive. Dropping it stops it at once; [`Archive::shutdown`] lets it finish requests under way.
pub struct Archive {
    db: Db,
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    failure: watch::Receiver<Option<OtherCluster>>,
    tasks: Tasks,
    /// Aborted with the archive, for it has no end of its own.
    metrics_server: Tasks,
}

impl Archive {
    /// Opens the database, listens, and begins to follow logs.
    ///
    /// # Errors
    /// Any [`ArchiveError`]; nothing is left running then.
    pub async fn start(settings: ArchiveSettings) -> Result<Self, ArchiveError> {
        let ArchiveSettings { rpc, db, listen: address, logs, allow_private, poll, metrics, .. } = settings;
        let bytes = |gib: NonZeroU32| u64::from(gib.get()) << 30;
        let room = Room { each: bytes(settings.max_log_gib), in_all: bytes(settings.max_gib) };
        if !reqwest::Url::parse(&rpc).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(ArchiveError::Rpc);
        }
        let downloader = Downloader::new(allow_private)?;
        let (listener, address) = listen(address).await?;
        let page = Page::default();
        let metrics = metrics.map(|address| Server::bind(address, page.clone())).transpose()?;
        let db = Db::open(&db).await?;
        let counted = Arc::<Metrics>::default();
        page.add(counted.clone());
        let shared = Shared {
            db: db.clone(),
            metrics: counted,
            new_batches: Notify::new(),
            room,
            told: Told::default(),
        };
        let shared = Arc::new(shared);
        let commitment = CommitmentConfig::confirmed();
        let rpc = connect(&rpc, CallTimeout::new(RPC_TIMEOUT), commitment);
        let poll = Duration::from_secs(poll.get().into());
        let logs = (!logs.is_empty()).then_some(logs);
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut metrics_server) = (Tasks::new(stopped.clone()), Tasks::new(stopped.clone()));
        let (failed, failure) = watch::channel(None);
        let follower = Follower { rpc, logs, poll, shared: Arc::clone(&shared), failed };
        tasks.spawn("follower of logs", follower.run(stopped.clone()));
        let fetching = fetch_leaves(Arc::clone(&shared), downloader, poll, stopped.clone());
        tasks.spawn("download of receipts", fetching);
        let gate = Gate::new("leasehold_archive_http", Limits::default());
        page.add(gate.clone());
        tasks.spawn("HTTP server", serve(listener, api::router(shared), gate, stopped));
        let metrics = metrics.map(|server| {
            let address = server.local_addr();
            metrics_server.spawn("metrics page", server.run());
            address
        });
        Ok(Self { db, address, metrics, stop, failure, tasks, metrics_server })
    }

    /// The address on which it serves proofs.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of the metrics; `None` if they are not served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Waits until the archive must not go on: the RPC node is found to be of another cluster than before, or than the
    /// database, or a task has ended.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.failure.clone();
        let other = async {
            match failure.wait_for(Option::is_some).await.ok().and_then(|found| *found) {
                Some(other) => other,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            other = other => other.into(),
            ended = self.tasks.ended() => ended.into(),
            ended = self.metrics_server.ended() => ended.into(),
        }
    }

    /// Finishes the requests under way, then stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if timeout(SHUTDOWN_TIMEOUT, self.tasks.join()).await.is_err() {
            self.tasks.shutdown().await;
        }
        self.metrics_server.shutdown().await;
        self.db.close().await;
    }
}
