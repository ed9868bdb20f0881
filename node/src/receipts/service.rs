//! Receipts as a service that starts and stops.

use super::api::{self, Api, Audience};
use super::issuer::Issuer;
use super::proxy::Proxy;
use super::settings::Settings;
use super::store::{Exposure, Store, StoreError};
use crate::leases::LeasesReceiver;
use crate::machines::MachinesReceiver;
use leasehold_daemon::http::{Gate, Limits, ListenError, listen, serve};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

/// How long a node that stops waits for requests under way; streams are cut off then, and signed for as far as they went.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it waits after that for the last receipts to be stored.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for the database to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

// With the other services, which stop at the same time, a node stops within ten seconds.
const _: () = assert!(DRAIN_TIMEOUT.as_secs() + FLUSH_TIMEOUT.as_secs() + CLOSE_TIMEOUT.as_secs() < 10);

/// Connections and requests at a time on the local address: callers are programs on this host.
const LOCAL: usize = 2_048;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot make an HTTP client for the inference server: {0}")]
    Client(#[from] reqwest::Error),
    #[error("cannot start the threads of the HTTP servers: {0}")]
    Threads(#[from] io::Error),
}

/// Receipts of a running node.
#[derive(Debug)]
pub struct Receipts {
    store: Store,
    local: SocketAddr,
    public: Option<SocketAddr>,
    gates: Vec<Arc<Gate>>,
    stop: watch::Sender<bool>,
    deadline: watch::Sender<bool>,
    /// Ends once nothing is left that may store a receipt.
    alive: mpsc::Receiver<()>,
    servers: Tasks,
    _threads: Threads,
}

/// Threads for requests alone, so that nothing that callers do delays answers to probes or what is sent to the chain.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(cores.max(2)).thread_name("receipts").enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime must not be awaited by another's thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
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
        warn_of_exposed_address(&settings);
        let (local_listener, local) = listen(settings.listen).await?;
        let public_listener = match settings.public {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let store = Store::open(&settings.database).await?;
        let exposure = Exposure { lease: settings.exposure_limit, spender: settings.exposure_per_spender };
        let issuer = Arc::new(Issuer::new(store.for_strangers(), leases, machines, exposure));
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
        let api = Api::new(issuer, settings);
        let threads = Threads::start()?;
        let (mut servers, mut gates) = (Tasks::new(stopped.clone()), Vec::new());
        let mut spawn = |name, limits, listener, router| {
            let gate = Gate::new(name, limits);
            gates.push(gate.clone());
            let serving = serve(listener, router, gate, stopped.clone());
            servers.spawn_on("HTTP server", serving, &threads.handle());
        };
        let router = api::router(api.clone(), Audience::Local, proxy.clone());
        let limits = Limits { connections: LOCAL, requests: LOCAL, ..Limits::default() };
        spawn("leasehold_node_local_http", limits, local_listener, router);
        let public = public_listener.map(|(listener, address)| {
            let router = api::router(api, Audience::Public, proxy);
            spawn("leasehold_node_public_http", Limits::default(), listener, router);
            address
        });
        Ok(Self { store, local, public, gates, stop, deadline, alive, servers, _threads: threads })
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

    /// What the HTTP servers have in use, and how much they refused, as Prometheus text.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::new(Metrics(self.gates.clone()))
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        let (servers, writer) = (self.servers.ended(), self.store.ended());
        async move {
            tokio::select! {
                ended = servers => ended,
                ended = writer => ended,
            }
        }
    }

    /// Takes no more requests, finishes those under way and closes the database.
    pub async fn shutdown(mut self) {
        self.finish().await;
        self.close().await;
    }

    /// Takes no more requests and finishes those under way: within [`DRAIN_TIMEOUT`] and [`FLUSH_TIMEOUT`].
    pub async fn finish(&mut self) {
        self.stop.send_replace(true);
        let finished = timeout(DRAIN_TIMEOUT, self.drain()).await.is_ok();
        self.deadline.send_replace(true);
        if !finished && timeout(FLUSH_TIMEOUT, self.drain()).await.is_err() {
            warn!("some requests were cut off");
        }
        self.servers.shutdown().await;
    }

    /// Closes the database.
    pub async fn close(self) {
        if timeout(CLOSE_TIMEOUT, self.store.close()).await.is_err() {
            warn!("the receipts' database is still busy: what it was asked to write last may be missing");
        }
    }

    async fn drain(&mut self) {
        self.servers.join().await;
        // A server does not wait for streams whose clients have disconnected.
        while self.alive.recv().await.is_some() {}
    }
}

fn warn_of_exposed_address(settings: &Settings) {
    if !settings.listen.ip().to_canonical().is_loopback() {
        let address = settings.listen;
        warn!(%address, "anybody who can reach this address can have receipts signed: use a loopback address or a firewall");
    }
}

/// Metrics of the HTTP servers.
#[derive(Debug)]
pub struct Metrics(Vec<Arc<Gate>>);

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|gate| gate.fmt(f))
    }
}
