//! Follows compute logs, keeps what was computed, and proves it: to be trusted by nobody, for every answer is
//! checked against a log's account.
//!
//! Headers come from the logs' transactions and must add up to what their accounts have; receipts come from
//! where their suppliers say they are, and are kept only if they are what the headers promise. It goes on where
//! it stopped: the database says how far each log is known, and which batches' receipts are missing.

mod api;
mod check;
mod db;
mod download;
mod follow;
mod headers;
mod leaves;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use check::{Lie, check};
pub use db::{Db, DbError};
pub use download::{Downloader, Miss};
pub use headers::{Known, Placed};
pub use leaves::{Found, State, Totals, Wanted};

use follow::{Follower, Progress, fetch_leaves};
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

/// How long one question to the RPC node may take: all logs of a program are much to tell.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an archive that stops waits for those who ask it.
const FAREWELL: Duration = Duration::from_secs(10);

/// How an archive goes about it.
#[derive(Clone, Debug, clap::Args)]
pub struct ArchiveSettings {
    /// JSON-RPC of a node of the cluster that keeps all transactions.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_ARCHIVE_RPC")]
    pub rpc: String,
    /// Where to keep everything: sqlite:PATH, or postgres://USER:PASSWORD@HOST/NAME.
    #[arg(long, value_name = "URL", env = "LEASEHOLD_ARCHIVE_DB")]
    pub db: String,
    /// TCP address to answer on; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", env = "LEASEHOLD_ARCHIVE_LISTEN", default_value = "127.0.0.1:8473")]
    pub listen: SocketAddr,
    /// Follow these logs; may be given several times [default: all of the program]
    #[arg(long = "log", value_name = "ADDRESS")]
    #[arg(env = "LEASEHOLD_ARCHIVE_LOGS", value_delimiter = ',')]
    pub logs: Vec<Pubkey>,
    /// Fetch receipts from private and loopback networks too: for test networks.
    #[arg(long, env = "LEASEHOLD_ARCHIVE_ALLOW_PRIVATE")]
    pub allow_private: bool,
    /// Seconds between two looks at the logs.
    #[arg(long, value_name = "SECONDS", env = "LEASEHOLD_ARCHIVE_POLL", default_value = "10")]
    pub poll: std::num::NonZeroU32,
}

/// Why an archive does not start.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("--rpc {0} is not an address to ask: give one such as https://api.devnet.solana.com")]
    Rpc(String),
    #[error("cannot listen on TCP {address} ({source}): choose another address or port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A running archive. Dropping it stops it at once; [`Archive::shutdown`] lets it finish what it is at.
pub struct Archive {
    db: Db,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Archive {
    /// Opens the database, listens, and begins to follow.
    ///
    /// # Errors
    /// Any [`ArchiveError`]; nothing is left running then.
    pub async fn start(settings: ArchiveSettings) -> Result<Self, ArchiveError> {
        let ArchiveSettings { rpc, db, listen, logs, allow_private, poll } = settings;
        if !reqwest::Url::parse(&rpc).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(ArchiveError::Rpc(rpc));
        }
        let downloader = Downloader::new(allow_private)?;
        let bound = TcpListener::bind(listen).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
        let (address, listener) = bound.map_err(|source| ArchiveError::Listen { address: listen, source })?;
        let db = Db::open(&db).await?;
        let progress = Arc::new(Progress { db: db.clone(), looked: AtomicI64::new(0), fresh: Notify::new() });
        let commitment = CommitmentConfig::confirmed();
        let rpc = RpcClient::new_with_timeout_and_commitment(rpc, PATIENCE, commitment);
        let poll = Duration::from_secs(poll.get().into());
        let logs = (!logs.is_empty()).then_some(logs);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let follower = Follower { rpc, logs, poll, progress: Arc::clone(&progress) };
        tasks.spawn(follower.run(stopped.clone()));
        tasks.spawn(fetch_leaves(Arc::clone(&progress), downloader, poll, stopped.clone()));
        tasks.spawn(serve(listener, progress, stopped));
        Ok(Self { db, address, stop, tasks })
    }

    /// Where it answers.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers those who ask now, and stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let last = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, last).await.is_err() {
            self.tasks.shutdown().await;
        }
        self.db.close().await;
    }
}

async fn serve(listener: TcpListener, progress: Arc<Progress>, mut stop: watch::Receiver<bool>) {
    let stopped = async move {
        // A sender that is gone stops the server too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let server = axum::serve(listener, api::router(progress)).with_graceful_shutdown(stopped);
    if let Err(error) = server.await {
        error!(%error, "the archive's HTTP ended");
    }
}
