//! Everything about receipts as one service that starts and stops.

use super::api::{self, Api, Audience};
use super::issuer::{Issuer, MachinesReceiver};
use super::leases::LeasesReceiver;
use super::proxy::{self, Proxy};
use super::settings::Settings;
use super::store::{Store, StoreError};
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, warn};

/// Requests under way have so long to finish when the node stops; streams end then where they are.
const GRACE: Duration = Duration::from_secs(30);
/// Then everything that is still to be written has so long.
const LAST: Duration = Duration::from_secs(5);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on TCP {address} ({source}): choose another address or port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make an HTTP client for the inference server: {0}")]
    Client(#[from] reqwest::Error),
}

/// The running service.
#[derive(Debug)]
pub struct Receipts {
    store: Store,
    local: SocketAddr,
    public: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    deadline: watch::Sender<bool>,
    /// Ends when nothing is left that may write a receipt.
    alive: mpsc::Receiver<()>,
    servers: JoinSet<()>,
}

impl Receipts {
    /// Opens the database and begins to serve.
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
            warn!(%address, "whoever reaches this address can have receipts signed: keep others away");
        }
        if let (Some(address), Some(_)) = (settings.public, &settings.proxy) {
            warn!(
                %address,
                "whoever reaches this address can use machines that are leased by the hour: keep others away \
                 from them"
            );
        }
        let (local_listener, local) = bind(settings.listen).await?;
        let public_listener = match settings.public {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let store = Store::open(&settings.database).await?;
        let issuer = Arc::new(Issuer::new(store.clone(), leases, machines, settings.exposure_limit));
        let settings = Arc::new(settings);
        let (stop, stopped) = watch::channel(false);
        let (deadline, at_deadline) = watch::channel(false);
        let (alive_sender, alive) = mpsc::channel(1);
        let proxy = match settings.proxy.clone() {
            Some(own) => Some(Arc::new(Proxy {
                issuer: issuer.clone(),
                settings: settings.clone(),
                own,
                client: proxy::client()?,
                deadline: at_deadline,
                alive: alive_sender,
            })),
            None => None,
        };
        let api = Arc::new(Api { issuer, settings });
        let mut servers = JoinSet::new();
        let router = api::router(api.clone(), Audience::Local, proxy.clone());
        servers.spawn(serve(local_listener, router, stopped.clone()));
        let public = public_listener.map(|(listener, address)| {
            let router = api::router(api, Audience::Public, proxy);
            servers.spawn(serve(listener, router, stopped));
            address
        });
        Ok(Self { store, local, public, stop, deadline, alive, servers })
    }

    /// Where programs on this host find the API.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where everybody else does.
    pub fn public_addr(&self) -> Option<SocketAddr> {
        self.public
    }

    /// The database, for those who post batches and redeem vouchers.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes no more requests, finishes those under way and closes the database.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let finished = timeout(GRACE, self.drain()).await.is_ok();
        self.deadline.send_replace(true);
        if !finished && timeout(LAST, self.drain()).await.is_err() {
            warn!("some requests did not come to their end");
        }
        self.servers.shutdown().await;
        self.store.close().await;
    }

    async fn drain(&mut self) {
        while self.servers.join_next().await.is_some() {}
        // Streams whose clients are gone have no connection that a server waits for.
        while self.alive.recv().await.is_some() {}
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ReceiptsError> {
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| ReceiptsError::Listen { address, source })?;
    Ok((listener, local))
}

async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let stopped = async move {
        // A sender that is gone stops the server too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        error!(%error, "the receipts' API ended");
    }
}
