//! A running node: sockets, tasks and maintenance switches.

use crate::counters::Outcome;
use crate::machines::{Machine, SameMachine, Serving};
use crate::probes::Probes;
use crate::responder::Responder;
use leasehold_client::probe::{CHALLENGE_LEN, Pubkey};
use leasehold_daemon::metrics::{Kind, MetricsError, Page, Server, write_head, write_metric};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

/// Default UDP port.
pub const DEFAULT_PORT: u16 = 8470;

/// Size of the receive buffer in bytes: some 5,000 challenges. The kernel may grant less.
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
    /// Loopback address of the metrics page; `None`: no metrics.
    pub metrics: Option<SocketAddr>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT)],
            serving: Serving::default(),
            rate: None,
            metrics: None,
        }
    }
}

/// Why a node does not start, or refuses a change.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("there is no address to listen on: give at least one with --listen")]
    NoAddress,
    #[error("cannot listen on UDP {address} ({source}): choose another address or port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    SameMachine(#[from] SameMachine),
}

/// A running node. Dropping it stops it at once; [`Node::shutdown`] finishes the answers under way.
#[derive(Debug)]
pub struct Node {
    responder: Arc<Responder>,
    addresses: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
    page: Page,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    metrics_server: JoinSet<()>,
}

impl Node {
    /// Opens the sockets and begins to answer.
    ///
    /// # Errors
    /// Any [`NodeError`]; nothing is left running then.
    pub async fn bind(config: NodeConfig) -> Result<Self, NodeError> {
        let responder = Arc::new(Responder::new(config.serving, config.rate)?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        // Verifying takes longer than receiving: several tasks of one socket keep several cores busy.
        let tasks_per_socket = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        for &address in &config.listen {
            let opened = open(address, &config.listen).and_then(|socket| Ok((socket.local_addr()?, socket)));
            let (local, socket) = opened.map_err(|source| NodeError::Listen { address, source })?;
            let socket = Arc::new(socket);
            for _ in 0..tasks_per_socket {
                tasks.spawn(answer(socket.clone(), responder.clone(), stopped.clone()));
            }
            addresses.push(local);
        }
        if addresses.is_empty() {
            return Err(NodeError::NoAddress);
        }
        let (page, mut metrics_server) = (Page::default(), JoinSet::new());
        page.add(Arc::new(NodeMetrics(responder.clone())));
        let metrics = match config.metrics {
            Some(address) => {
                let server = Server::bind(address, page.clone())?;
                let local = server.local_addr();
                metrics_server.spawn(server.run());
                Some(local)
            }
            None => None,
        };
        Ok(Self { responder, addresses, metrics, page, stop, tasks, metrics_server })
    }

    /// The first address that the node listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Every address that the node listens on, in the order they were given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
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

    /// What the answers to probes share with a [`LeaseWatch`](crate::leases::LeaseWatch).
    pub fn probes(&self) -> &Arc<Probes> {
        &self.responder.probes
    }

    /// Finishes the answers under way, then stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.metrics_server.shutdown().await;
    }
}

fn open(address: SocketAddr, all: &[SocketAddr]) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        let own_ipv4 = all.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        socket.set_only_v6(own_ipv4 || address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        warn!(%address, %error, "cannot enlarge the receive buffer: bursts of challenges may be lost");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn answer(socket: Arc<UdpSocket>, responder: Arc<Responder>, mut stop: watch::Receiver<bool>) {
    // One byte more than a challenge, so that a longer datagram is recognised.
    let mut buffer = [0; CHALLENGE_LEN + 1];
    loop {
        let received = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, source) = match received {
            Ok(received) => received,
            Err(error) => {
                // No datagram makes this permanent; the pause keeps the loop from spinning.
                warn!(%error, "receiving a datagram failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let outcome = match responder.respond(&buffer[..length], source.ip()) {
            Ok(pong) => match socket.send_to(&pong, source).await {
                Ok(_) => Outcome::Answered,
                Err(_) => Outcome::SendFailed,
            },
            Err(ignored) => ignored,
        };
        responder.counters.count(outcome);
    }
}

/// The node's own part of the metrics page.
struct NodeMetrics(Arc<Responder>);

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
        Ok(())
    }
}
