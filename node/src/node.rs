//! A running node: sockets, tasks and maintenance switches.

use crate::counters::Outcome;
use crate::machines::{Machine, SameMachine, Serving};
use crate::probes::Probes;
use crate::responder::Responder;
use crate::sockets::{Refused, Sockets, Stats};
use leasehold_client::probe::Pubkey;
use leasehold_daemon::metrics::{Kind, MetricsError, Page, Server, write_head, write_metric};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::watch;

/// Default UDP port.
pub const DEFAULT_PORT: u16 = 8470;

/// Size of a receive buffer in bytes: some 10,000 challenges.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// UDP addresses to listen on; port 0 takes a free one. `[::]` takes IPv4 too, unless an IPv4 address with the same
    /// port is listed as well.
    pub listen: Vec<SocketAddr>,
    pub serving: Serving,
    /// Rate limit: challenges per second that are verified for one source address, twice that in a burst. `None`: 1,000
    /// and two for each machine.
    pub rate: Option<NonZeroU32>,
    /// Size of each socket's receive buffer in bytes. The kernel may grant less, which is told in the log.
    pub receive_buffer: usize,
    /// Loopback address of the metrics page; `None`: no metrics.
    pub metrics: Option<SocketAddr>,
    /// True if tenancies are followed: no machine answers before [`Tenancies`](crate::tenancy::Tenancies) say so.
    pub guarded: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT)],
            serving: Serving::default(),
            rate: None,
            receive_buffer: RECEIVE_BUFFER,
            metrics: None,
            guarded: false,
        }
    }
}

/// Why a node does not start, or refuses a change.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("there is no address to listen on: give at least one with --listen")]
    NoAddress,
    #[error("cannot listen on UDP {address} ({source}): {}", advice(.source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    SameMachine(#[from] SameMachine),
}

impl From<Refused> for NodeError {
    fn from(Refused { address, source }: Refused) -> Self {
        Self::Listen { address, source }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process, perhaps a second node, listens there; stop it, or choose another address or port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host has no such address, or not yet; choose another address, or [::] for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "choose another address or port: those below 1024 need a privilege"
        }
        _ => "choose another address or port",
    }
}

/// A running node. Dropping it stops it at once; [`Node::shutdown`] finishes the answers under way.
#[derive(Debug)]
pub struct Node {
    responder: Arc<Responder>,
    sockets: Sockets,
    metrics: Option<SocketAddr>,
    page: Page,
    stop: watch::Sender<bool>,
    metrics_server: Tasks,
}

impl Node {
    /// Opens the sockets and begins to answer.
    ///
    /// # Errors
    /// Any [`NodeError`]; nothing is left running then.
    pub async fn bind(config: NodeConfig) -> Result<Self, NodeError> {
        let probes = if config.guarded { Probes::guarded() } else { Probes::default() };
        let responder = Arc::new(Responder::new(config.serving, config.rate, probes)?);
        if config.listen.is_empty() {
            return Err(NodeError::NoAddress);
        }
        let sockets = Sockets::open(&config.listen, config.receive_buffer, &responder)?;
        let (stop, stopped) = watch::channel(false);
        let (page, mut metrics_server) = (Page::default(), Tasks::new(stopped));
        page.add(Arc::new(NodeMetrics(responder.clone(), sockets.stats.clone())));
        let metrics = match config.metrics {
            Some(address) => {
                let server = Server::bind(address, page.clone())?;
                let local = server.local_addr();
                metrics_server.spawn("metrics page", server.run());
                Some(local)
            }
            None => None,
        };
        Ok(Self { responder, sockets, metrics, page, stop, metrics_server })
    }

    /// The first address that the node listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.sockets.addresses[0]
    }

    /// Every address that the node listens on, in the order they were given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.sockets.addresses
    }

    /// Address of the metrics page; `None` if there is none.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Adds a part to the metrics page, as Prometheus text.
    pub fn add_metrics(&self, text: Arc<dyn Display + Send + Sync>) {
        self.page.add(text);
    }

    /// Replaces machines and allow-list. Machines that stay keep their pause.
    ///
    /// # Errors
    /// [`NodeError::SameMachine`]; nothing changes then.
    pub fn set_serving(&self, serving: Serving) -> Result<(), NodeError> {
        Ok(self.responder.replace(serving)?)
    }

    /// Adds machines.
    ///
    /// # Errors
    /// [`NodeError::SameMachine`]; then no machine is added.
    pub fn add_machines(&self, machines: Vec<Machine>) -> Result<(), NodeError> {
        Ok(self.responder.add(machines)?)
    }

    /// Starts maintenance: the machine does not answer until [`Node::resume_machine`]. Returns false if there is no such
    /// machine.
    pub fn pause_machine(&self, board: &Pubkey, slot: u32) -> bool {
        self.responder.set_paused(board, slot, true)
    }

    /// Ends maintenance. Returns false if there is no such machine.
    pub fn resume_machine(&self, board: &Pubkey, slot: u32) -> bool {
        self.responder.set_paused(board, slot, false)
    }

    /// Number of machines, paused ones included.
    pub fn machines(&self) -> usize {
        self.responder.machines().0
    }

    /// Number of datagrams so far with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.responder.counters.get(outcome)
    }

    /// Datagrams that the kernel dropped because a receive buffer was full. `None` if the system doesn't say.
    pub fn dropped(&self) -> Option<u64> {
        self.sockets.stats.dropped()
    }

    /// What the answers to probes share with a [`LeaseWatch`](crate::leases::LeaseWatch).
    pub fn probes(&self) -> &Arc<Probes> {
        &self.responder.probes
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        let (probes, metrics) = (self.sockets.ended(), self.metrics_server.ended());
        async move {
            tokio::select! {
                ended = probes => ended,
                ended = metrics => ended,
            }
        }
    }

    /// Finishes the answers under way, then stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.sockets.shutdown().await;
        self.metrics_server.shutdown().await;
    }
}

/// The node's own part of the metrics page.
struct NodeMetrics(Arc<Responder>, Stats);

impl Display for NodeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machines, paused) = self.0.machines();
        let help = "Machines of this node.";
        write_metric(f, "leasehold_node_machines", Kind::Gauge, help, machines)?;
        let help = "Machines under maintenance, which do not answer.";
        write_metric(f, "leasehold_node_machines_paused", Kind::Gauge, help, paused)?;
        let name = "leasehold_node_datagrams_total";
        write_head(f, name, Kind::Counter, "Datagrams received, by outcome.")?;
        for outcome in Outcome::ALL {
            writeln!(f, "{name}{{outcome=\"{}\"}} {}", outcome.name(), self.0.counters.get(outcome))?;
        }
        let help = "Calls to the kernel that failed to receive.";
        let errors = self.0.counters.receive_errors();
        write_metric(f, "leasehold_node_receive_errors_total", Kind::Counter, help, errors)?;
        let help = "Bytes of the smallest receive buffer, as the kernel grants them.";
        write_metric(f, "leasehold_node_receive_buffer_bytes", Kind::Gauge, help, self.1.buffer.granted)?;
        let Some(dropped) = self.1.dropped() else { return Ok(()) };
        let help = "Datagrams that the kernel dropped because a receive buffer was full.";
        write_metric(f, "leasehold_node_datagrams_dropped_total", Kind::Counter, help, dropped)
    }
}
