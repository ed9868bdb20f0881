//! Open connections: who cuts them, and how.

use super::MachineKey;
use super::metrics::{Metrics, Outcome};
use super::settings::Bounds;
use super::waiting::{Id, Waiting};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::process::Child;
use tokio::sync::Notify;
use tracing::info;

/// One accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    id: Id,
    pub machine: MachineKey,
    pub peer: SocketAddr,
    /// Shares the connection with `sshd`, to shut it down whoever else holds it.
    socket: TcpStream,
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Set once the Door has cut it.
    cut: Option<Outcome>,
    /// Group of the `sshd` that serves it. `None` before it starts and once it is reaped, so that no other process is hit.
    group: Option<Pid>,
}

impl Connection {
    /// Ends the connection now: no byte passes any more, and its `sshd` is killed. Only the first call counts.
    pub fn cut(&self, outcome: Outcome) {
        let mut state = self.state();
        if state.cut.is_some() {
            return;
        }
        state.cut = Some(outcome);
        // An error means that the connection or the processes have ended.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(group) = state.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.cut.notify_one();
    }

    /// Waits until it is cut. For one task.
    pub async fn until_cut(&self) {
        self.cut.notified().await;
    }

    /// Starts the process that serves it, which leads a group. `None` if it was cut before.
    pub fn start(&self, spawn: impl FnOnce() -> io::Result<Child>) -> Option<io::Result<Child>> {
        // Held meanwhile, so that whoever cuts it finds the process.
        let mut state = self.state();
        if state.cut.is_some() {
            return None;
        }
        let child = spawn();
        state.group = child.as_ref().ok().and_then(group);
        Some(child)
    }

    /// Waits for the end of the process.
    pub async fn ended(&self, child: &mut Child) {
        let mut end = std::pin::pin!(child.wait());
        poll_fn(|context| {
            // Held while the process is reaped, so that nobody kills another one that has its number.
            let mut state = self.state();
            let ended = end.as_mut().poll(context);
            if ended.is_ready() {
                state.group = None;
                let _ = self.socket.shutdown(Shutdown::Both);
            }
            ended.map(|_| ())
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Number of a process that has not been reaped, and so of the group that it leads.
pub(super) fn group(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    next: AtomicU64,
    sessions_each: usize,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiting: Waiting,
    machines: HashMap<MachineKey, HashMap<Id, Open>>,
}

#[derive(Debug)]
struct Open {
    connection: Arc<Connection>,
    is_session: bool,
}

/// A connection that is on the list. Dropping it cuts the connection and counts how it ended.
#[derive(Debug)]
pub(super) struct Entered {
    pub connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Connections {
    pub fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Arc<Self> {
        let inner = Mutex::new(Inner { waiting: Waiting::new(bounds), machines: HashMap::new() });
        Arc::new(Self { next: AtomicU64::new(0), sessions_each: bounds.sessions, metrics, inner })
    }

    /// Lists a connection that has not logged in. Another one may have to give way to it.
    pub fn enter(self: &Arc<Self>, machine: MachineKey, peer: SocketAddr, socket: TcpStream) -> Entered {
        let id = self.next.fetch_add(1, Relaxed);
        let (state, cut) = (Mutex::default(), Notify::new());
        let connection = Arc::new(Connection { id, machine, peer, socket, state, cut });
        let mut inner = self.lock();
        let open = Open { connection: connection.clone(), is_session: false };
        inner.machines.entry(machine).or_default().insert(id, open);
        let leaves = inner.waiting.enter(machine, peer.ip(), id);
        let leaves = leaves.and_then(|leaves| inner.find(leaves));
        self.metrics.set_waiting(inner.waiting.len());
        drop(inner);
        if let Some(leaves) = leaves {
            leaves.cut(Outcome::GaveWay);
        }
        Entered { connection, all: self.clone() }
    }

    /// The connections to a machine.
    pub fn of(&self, machine: &MachineKey) -> Vec<Arc<Connection>> {
        let inner = self.lock();
        let open = inner.machines.get(machine).into_iter().flat_map(HashMap::values);
        open.map(|open| open.connection.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the lists whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&self, id: Id) -> Option<Arc<Connection>> {
        self.machines.values().find_map(|open| Some(open.get(&id)?.connection.clone()))
    }
}

impl Entered {
    /// Notes that it has logged in: it gives way to nobody from now on.
    pub fn log_in(&self) {
        let Connection { id, machine, peer, .. } = &*self.connection;
        let mut inner = self.all.lock();
        // It may just have given way.
        if !inner.waiting.leave(*machine, *id) {
            return;
        }
        self.all.metrics.set_waiting(inner.waiting.len());
        let Some(open) = inner.machines.get_mut(machine) else { return };
        if open.values().filter(|open| open.is_session).count() >= self.all.sessions_each {
            drop(inner);
            info!(%machine, %peer, "a session was refused: the machine has as many as it may");
            self.connection.cut(Outcome::TooManySessions);
        } else if let Some(open) = open.get_mut(id) {
            open.is_session = true;
            self.all.metrics.session_began();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Connection { id, machine, .. } = &*self.connection;
        let mut inner = self.all.lock();
        inner.waiting.leave(*machine, *id);
        self.all.metrics.set_waiting(inner.waiting.len());
        let open = inner.machines.get_mut(machine).and_then(|open| open.remove(id));
        if inner.machines.get(machine).is_some_and(HashMap::is_empty) {
            inner.machines.remove(machine);
        }
        drop(inner);
        let is_session = open.is_some_and(|open| open.is_session);
        if is_session {
            self.all.metrics.session_ended();
        }
        let by_itself = if is_session { Outcome::Closed } else { Outcome::NoLogin };
        let outcome = self.connection.state().cut.unwrap_or(by_itself);
        self.all.metrics.ended(outcome);
        // If the task was dropped, its `sshd` still runs.
        self.connection.cut(Outcome::Cut);
    }
}
