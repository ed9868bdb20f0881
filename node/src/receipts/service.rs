//! Receipts as a service that starts and stops.

use super::api::{self, Api, Audience};
use super::issuer::Issuer;
use super::proxy::Proxy;
use super::settings::Settings;
use super::store::{Store, StoreError};
use crate::leases::LeasesReceiver;
use crate::machines::MachinesReceiver;
use leasehold_daemon::http::{ListenError, listen, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

/// How long a node that stops waits for requests under way; streams are cut off then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it waits after that for the last receipts to be stored.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot make an HTTP client for the inference server: {0}")]
    Client(#[from] reqwest::Error),
}

/// Receipts of a running node.
#[derive(Debug)]
pub struct Receipts {
    store: Store,
    local: SocketAddr,
    public: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    deadline: watch::Sender<bool>,
    /// Ends once nothing is left that may store a receipt.
    alive: mpsc::Receiver<()>,
    servers: JoinSet<()>,
}

impl Receipts {
    /// Opens the database and begins to serve. `leases`: those for which receipts may be signed.
    ///
    /// # Errors
    /// Any [`ReceiptsError`]; nothing is left running then.
    pub async fn start(
        settings: Settings,
        machines: MachinesReceiver,
        leases: LeasesReceiver,
    ) -> Result<Self, ReceiptsError> {
        if !settings.listen.ip().to_canonical().is_loopback() {
            let address = settings.listen;
            warn!(%address, "anybody who can reach this address can have receipts signed: use a loopback address or a firewall");
        }
        let (local_listener, local) = listen(settings.listen).await?;
        let public_listener = match settings.public {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let store = Store::open(&settings.database).await?;
        let issuer = Arc::new(Issuer::new(store.clone(), leases, machines, settings.exposure_limit));
        let settings = Arc::new(settings);
        let (stop, stopped) = watch::channel(false);
        let (deadline, at_deadline) = watch::channel(false);
        let (alive_sender, alive) = mpsc::channel(1);
        let proxy = match settings.proxy.clone() {
            Some(own) => {
                let proxy = Proxy::new(issuer.clone(), settings.clone(), own, at_deadline, alive_sender)?;
                Some(Arc::new(proxy))
            }
            None => None,
        };
        let api = Arc::new(Api { issuer, settings });
        let mut servers = JoinSet::new();
        let router = api::router(api.clone(), Audience::Local, proxy.clone());
        let stop_local = stopped.clone();
        servers.spawn(async move { serve("receipts", local_listener, router, stop_local).await });
        let public = public_listener.map(|(listener, address)| {
            let router = api::router(api, Audience::Public, proxy);
            servers.spawn(async move { serve("receipts", listener, router, stopped).await });
            address
        });
        Ok(Self { store, local, public, stop, deadline, alive, servers })
    }

    /// Address of the API for programs on this host.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Address of the API for everybody; `None` if there is none.
    pub fn public_addr(&self) -> Option<SocketAddr> {
        self.public
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes no more requests, finishes those under way and closes the database.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let finished = timeout(DRAIN_TIMEOUT, self.drain()).await.is_ok();
        self.deadline.send_replace(true);
        if !finished && timeout(FLUSH_TIMEOUT, self.drain()).await.is_err() {
            warn!("some requests were cut off");
        }
        self.servers.shutdown().await;
        self.store.close().await;
    }

    async fn drain(&mut self) {
        while self.servers.join_next().await.is_some() {}
        // A server does not wait for streams whose clients have disconnected.
        while self.alive.recv().await.is_some() {}
    }
}
