//! The node's UDP sockets, on threads of their own: whatever else the process does, challenges are received and
//! answered.
//!
//! For each address one task takes many datagrams a call out of the kernel's buffer and drops those that get no answer,
//! without cryptography. The rest wait in a queue for the workers, which verify, sign and send. So the kernel's buffer,
//! which is often small, is empty nearly always.

mod receive;
mod send;

use crate::responder::{Responder, Screened};
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use leasehold_daemon::udp::{self, Buffer};
use quinn_udp::UdpSocketState;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Challenges that wait for a worker: those of several keepers that probe 100,000 machines. Some 5 MB.
const QUEUE: usize = 16_384;
/// Challenges that a worker takes at a time.
const TAKEN: usize = 16;
const MAX_WORKERS: usize = 8;
/// Time between two looks at what the kernel dropped.
const LOOK: Duration = Duration::from_secs(10);

/// A challenge that waits for a worker.
struct Job {
    screened: Screened,
    socket: Arc<Socket>,
    source: SocketAddr,
    /// The address that was asked, from which the answer leaves. `None` if the system doesn't say.
    asked: Option<IpAddr>,
}

/// One socket.
#[derive(Debug)]
struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

/// Why an address can't be listened on.
#[derive(Debug)]
pub(crate) struct Refused {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// The sockets of a node, at work. Dropping it stops them at once.
#[derive(Debug)]
pub(crate) struct Sockets {
    runtime: Threads,
    tasks: Tasks,
    stop: watch::Sender<bool>,
    pub addresses: Vec<SocketAddr>,
    pub stats: Stats,
}

/// What the kernel says of the sockets.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    inodes: Arc<[u64]>,
    /// The smallest buffer.
    pub buffer: Buffer,
}

impl Stats {
    /// Datagrams that the kernel dropped because a buffer was full. `None` if the system doesn't say.
    pub fn dropped(&self) -> Option<u64> {
        udp::dropped(&self.inodes)
    }
}

/// A runtime that may be dropped within another one.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Sockets {
    /// Listens on each address and begins to answer.
    pub fn open(listen: &[SocketAddr], buffer: usize, responder: &Arc<Responder>) -> Result<Self, Refused> {
        let nowhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let workers = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS));
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(workers.saturating_add(1))
            .thread_name("probes")
            .enable_all()
            .build()
            .map_err(|source| Refused { address: nowhere, source })?;
        let handle = runtime.handle().clone();
        let runtime = Threads(Some(runtime));
        let (mut sockets, mut addresses, mut inodes, mut smallest) = (vec![], vec![], vec![], None);
        for &address in listen {
            let refused = |source| Refused { address, source };
            let bound = udp::bind(address, is_only_v6(address, listen), buffer).map_err(refused)?;
            addresses.push(bound.socket.local_addr().map_err(refused)?);
            inodes.extend(udp::inode(&bound.socket));
            let least = smallest.get_or_insert(bound.buffer);
            least.granted = least.granted.min(bound.buffer.granted);
            let _within = handle.enter();
            sockets.push(Arc::new(Socket::new(bound.socket).map_err(refused)?));
        }
        let buffer = smallest.unwrap_or(Buffer { asked: buffer, granted: buffer });
        let stats = Stats { inodes: inodes.into(), buffer };
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone());
        let (jobs, queue) = mpsc::channel(QUEUE);
        for socket in sockets {
            let receiver = receive::run(socket, responder.clone(), jobs.clone(), stopped.clone());
            tasks.spawn_on("receiver of probes", receiver, &handle);
        }
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..workers {
            tasks.spawn_on("task that answers probes", work(queue.clone(), responder.clone()), &handle);
        }
        tasks.spawn_on("watch over dropped datagrams", watch_drops(stats.clone(), stopped), &handle);
        Ok(Self { runtime, tasks, stop, addresses, stats })
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        self.tasks.ended()
    }

    /// Answers what was received, then stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // The workers end with the queue, which ends with the receivers.
        self.tasks.join().await;
        drop(self.runtime);
    }
}

impl Socket {
    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }
}

/// `[::]` takes IPv4 too, unless an IPv4 address with its port is listened on as well.
pub(crate) fn is_only_v6(address: SocketAddr, all: &[SocketAddr]) -> bool {
    // Port 0 stands for another port each time.
    let shares =
        |other: &SocketAddr| other.is_ipv4() && other.port() == address.port() && address.port() != 0;
    let own_ipv4 = all.iter().any(shares);
    own_ipv4 || address.ip() != Ipv6Addr::UNSPECIFIED
}

/// Answers challenges until the queue ends.
async fn work(queue: Arc<Mutex<mpsc::Receiver<Job>>>, responder: Arc<Responder>) {
    let mut jobs = Vec::with_capacity(TAKEN);
    while queue.lock().await.recv_many(&mut jobs, TAKEN).await > 0 {
        for job in jobs.drain(..) {
            let outcome = match responder.answer(&job.screened) {
                Ok(pong) => send::answer(&job, &pong).await,
                Err(ignored) => ignored,
            };
            responder.counters.count(outcome);
        }
        // Verifying never waits for anything, so that the receiver would.
        tokio::task::yield_now().await;
    }
}

/// Tells of datagrams that the kernel dropped: of the first, and each time they have doubled.
async fn watch_drops(stats: Stats, mut stop: watch::Receiver<bool>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = look.tick() => {}
        }
        let Some(dropped) = stats.dropped() else { continue };
        if dropped > told.max(dropped / 2) {
            told = dropped;
            let (granted, waiting) = (stats.buffer.granted, stats.buffer.datagrams());
            warn!(
                "the kernel has dropped {dropped} datagrams, since a receive buffer of {granted} bytes was full, which \
                 holds about {waiting}: machines may look down. Give this process more of the processor{}",
                if stats.buffer.is_cut() { format!("; {}", stats.buffer) } else { String::new() }
            );
        }
    }
}
