//! Sockets, tasks and the switches of a running node.

use crate::counters::Outcome;
use crate::machines::{Machine, Serving};
use crate::metrics;
use crate::responder::Responder;
use leasehold_client::probe::{CHALLENGE_LEN, Pubkey};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

/// UDP port that a node listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 8470;

/// Room for some 5,000 challenges that arrive at once. The kernel grants what its limit allows.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How a node starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Addresses to listen on; port 0 takes a free one. `[::]` takes IPv4 too, unless an IPv4 address
    /// with the same port is listed beside it.
    pub listen: Vec<SocketAddr>,
    pub serving: Serving,
    /// Challenges per second that are verified for one source address, twice that at once. `None`: 1,000
    /// and two for each machine served.
    pub rate: Option<NonZeroU32>,
    /// Where Prometheus finds `/metrics`: a loopback address.
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

/// Why a node does not start, or does not take a change.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("give at least one address to listen on")]
    NoAddress,
    #[error("cannot listen on UDP {address} ({source}): choose another address or port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot serve metrics on {address} ({source}): choose another address or port")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error("metrics are for this host only: give a loopback address, not {0}")]
    MetricsNotLoopback(SocketAddr),
    #[error("slot {slot} of board {board} is given twice: remove one of the two machines")]
    SameMachine { board: Pubkey, slot: u32 },
}

/// A running node. Dropping it stops it at once; [`Node::shutdown`] lets it finish what it is at.
#[derive(Debug)]
pub struct Node {
    responder: Arc<Responder>,
    addresses: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
    more_metrics: Arc<metrics::More>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
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
        // Verifying takes longer than receiving, so one socket keeps several cores busy.
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
        let (mut metrics, more_metrics) = (None, Arc::<metrics::More>::default());
        if let Some(address) = config.metrics {
            if !address.ip().to_canonical().is_loopback() {
                return Err(NodeError::MetricsNotLoopback(address));
            }
            let bound =
                TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (local, listener) = bound.map_err(|source| NodeError::Metrics { address, source })?;
            tasks.spawn(metrics::serve(listener, responder.clone(), more_metrics.clone(), stopped));
            metrics = Some(local);
        }
        Ok(Self { responder, addresses, metrics, more_metrics, stop, tasks })
    }

    /// The first address that the node listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Every address that the node listens on, in the order they were given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the metrics are served, if they are.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Serves what others count as well, as Prometheus text.
    pub fn add_metrics(&self, text: Arc<dyn Display + Send + Sync>) {
        self.more_metrics.add(text);
    }

    /// Replaces everything that is served. Machines that stay keep their pause.
    ///
    /// # Errors
    /// [`NodeError::SameMachine`]; what was served before stays.
    pub fn set_serving(&self, serving: Serving) -> Result<(), NodeError> {
        self.responder.replace(serving)
    }

    /// Serves these machines as well.
    ///
    /// # Errors
    /// [`NodeError::SameMachine`]; none of them is added then.
    pub fn add_machines(&self, machines: Vec<Machine>) -> Result<(), NodeError> {
        self.responder.add(machines)
    }

    /// Maintenance switch: the machine answers no more until [`Node::resume_machine`]. Returns whether
    /// there is such a machine.
    pub fn pause_machine(&self, board: &Pubkey, slot: u32) -> bool {
        self.responder.set_paused(board, slot, true)
    }

    /// Ends a pause. Returns whether there is such a machine.
    pub fn resume_machine(&self, board: &Pubkey, slot: u32) -> bool {
        self.responder.set_paused(board, slot, false)
    }

    /// Number of machines served, paused ones included.
    pub fn machines(&self) -> usize {
        self.responder.machines().0
    }

    /// Number of datagrams so far that ended like this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.responder.counters.get(outcome)
    }

    /// Stops listening, after the answers under way.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn open(address: SocketAddr, all: &[SocketAddr]) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        let own_ipv4 = all.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        socket.set_only_v6(own_ipv4 || address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        warn!(%address, %error, "the receive buffer keeps its size; bursts of challenges may be lost");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn answer(socket: Arc<UdpSocket>, responder: Arc<Responder>, mut stop: watch::Receiver<bool>) {
    // One byte more than a challenge, so that a longer datagram is seen to be longer.
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
                // Nothing a datagram can do makes this permanent; don't spin on it either.
                warn!(%error, "receiving failed");
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
