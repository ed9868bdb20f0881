//! Open connections. Those without a request give way to new ones, the one that waits longest first.

use super::quota::{Caller, Peer, Share};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The open connections of a server.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Numbers connections, and the times at which they became idle.
    next: u64,
    open: HashMap<u64, Open>,
    /// Idle connections, the oldest first.
    idle: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Open {
    caller: Option<Caller>,
    idle: Option<u64>,
    /// Ends the connection when it is dropped.
    _close: oneshot::Sender<()>,
    _share: Share,
}

/// One open connection. Dropping it gives its share back.
#[derive(Debug)]
pub(super) struct Connection {
    all: Arc<Connections>,
    number: u64,
}

/// A request under way on a connection, which is idle again when this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Connections {
    /// Adds a connection, which is idle. What it returns as well is ready once the connection has to give way.
    pub fn add(self: &Arc<Self>, peer: Peer, share: Share) -> (Arc<Connection>, oneshot::Receiver<()>) {
        let (close, closed) = oneshot::channel();
        let mut state = self.lock();
        let number = state.number();
        state.open.insert(number, Open { caller: peer.0, idle: None, _close: close, _share: share });
        state.set_idle(number);
        drop(state);
        (Arc::new(Connection { all: Arc::clone(self), number }), closed)
    }

    /// Closes the connection that has been idle for longest, if there is one: of this caller, or of any if `None`.
    pub fn close_idle(&self, caller: Option<Caller>) -> bool {
        let mut state = self.lock();
        let of_caller = |number: &u64| {
            caller.is_none() || state.open.get(number).is_some_and(|open| open.caller == caller)
        };
        let Some(number) = state.idle.values().copied().find(of_caller) else { return false };
        state.remove(number);
        true
    }

    // A panic elsewhere leaves the maps intact.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Does nothing if the connection had to give way.
    fn set_idle(&mut self, number: u64) {
        let since = self.number();
        if let Some(open) = self.open.get_mut(&number) {
            open.idle = Some(since);
            self.idle.insert(since, number);
        }
    }

    fn set_busy(&mut self, number: u64) {
        let since = self.open.get_mut(&number).and_then(|open| open.idle.take());
        since.map(|since| self.idle.remove(&since));
    }

    fn remove(&mut self, number: u64) {
        self.set_busy(number);
        self.open.remove(&number);
    }
}

impl Connection {
    /// Begins a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.all.lock().set_busy(self.number);
        Busy(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().remove(self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.all.lock().set_idle(self.0.number);
    }
}
