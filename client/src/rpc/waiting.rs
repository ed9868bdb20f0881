//! Says in the log when an RPC node is waited for, and when it answers again: once each.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tracing::{info, warn};

/// How long a call is waited for in silence.
pub(super) const SILENT: Duration = Duration::from_secs(5);

/// Whether an RPC node is waited for, over all calls.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Option<Instant>>);

impl Waiting {
    /// A call is waited for.
    pub fn begin(&self, rpc: &str, call: &str, why: &str) {
        let since = &mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if since.is_none() {
            *since = Some(Instant::now());
            warn!(rpc, call, "waiting for the RPC node: {why}");
        }
    }

    /// A call was answered.
    pub fn end(&self, rpc: &str) {
        let since = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(since) = since {
            info!(rpc, "the RPC node answers again, after {} s", since.elapsed().as_secs());
        }
    }
}
