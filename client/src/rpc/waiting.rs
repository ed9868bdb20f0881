//! Says in the log when an RPC node is waited for, and when it answers again: once each, and at most once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

/// How long a call is waited for in silence.
pub(super) const SILENT: Duration = Duration::from_secs(5);
/// Shortest time between two lines that begin: an RPC node that refuses every other request is waited for all the time.
const REMINDER: Duration = Duration::from_secs(60);

/// Whether an RPC node is waited for, over all calls.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when it is waited for, if the log has it.
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Waiting {
    /// A call is waited for.
    pub fn begin(&self, rpc: &str, call: &str, why: &str) {
        let state = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none() && state.said.is_none_or(|said| said.elapsed() >= REMINDER) {
            let now = Instant::now();
            (state.since, state.said) = (Some(now), Some(now));
            warn!(rpc, call, "waiting for the RPC node: {why}");
        }
    }

    /// A call was answered.
    pub fn end(&self, rpc: &str) {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).since.take();
        if let Some(since) = since {
            info!(rpc, "the RPC node answers again, after {} s", since.elapsed().as_secs());
        }
    }
}
