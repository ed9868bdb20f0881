//! What the tasks share.

use super::headers::{OwnLog, SyncError};
use super::settings::ChainSettings;
use crate::archive::DbError;
use crate::receipts::store::{Store, StoreError};
use leasehold_client::error::explain_send;
use leasehold_client::fetch::FetchError;
use leasehold_client::sender::{SendError, Sender};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// What the tasks share.
pub(super) struct Tools {
    pub settings: ChainSettings,
    /// Public URL below which batches can be had, as the log says it.
    pub source: String,
    /// Log of the supplier.
    pub log: Pubkey,
    /// The operator's wallet.
    pub operator: Pubkey,
    pub rpc: Arc<RpcClient>,
    pub sender: Sender,
    pub store: Store,
    /// Headers of the supplier's log.
    pub headers: OwnLog,
    pub metrics: Arc<Metrics>,
    /// Asks for the next look without delay.
    pub hurry: Notify,
}

/// What the tasks count.
#[derive(Debug, Default)]
pub struct Metrics {
    looks_failed: AtomicU64,
    /// Unix seconds of the cluster at the last look.
    looked: AtomicI64,
    sealed: AtomicU64,
    /// Batches that are not in the log, and how many of them should be.
    waiting: AtomicU64,
    late: AtomicU64,
    appended: AtomicU64,
    redeemed: AtomicU64,
    answered: AtomicU64,
    sends_failed: AtomicU64,
}

impl Metrics {
    pub(super) fn look_failed(&self) {
        self.looks_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn looked(&self, now: i64) {
        self.looked.store(now, Relaxed);
    }

    pub(super) fn sealed(&self) {
        self.sealed.fetch_add(1, Relaxed);
    }

    pub(super) fn waiting(&self, waiting: usize, late: usize) {
        self.waiting.store(waiting as u64, Relaxed);
        self.late.store(late as u64, Relaxed);
    }

    pub(super) fn appended(&self, batches: usize) {
        self.appended.fetch_add(batches as u64, Relaxed);
    }

    pub(super) fn redeemed(&self) {
        self.redeemed.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn send_failed(&self) {
        self.sends_failed.fetch_add(1, Relaxed);
    }
}

/// Prometheus text.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("looks_failed_total", "Looks at the chain that failed.", &self.looks_failed),
            ("batches_sealed_total", "Batches of receipts that were sealed.", &self.sealed),
            ("batches_appended_total", "Batches that were appended to the log.", &self.appended),
            ("vouchers_redeemed_total", "Vouchers that were redeemed.", &self.redeemed),
            ("demands_answered_total", "Demands that were answered.", &self.answered),
            ("sends_failed_total", "Transactions that did not take effect.", &self.sends_failed),
            ("batches_waiting", "Sealed batches that are not in the log.", &self.waiting),
            ("batches_late", "Batches of them whose receipts can be demanded soon.", &self.late),
        ];
        for (name, help, count) in counts {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let count = count.load(Relaxed);
            write!(
                f,
                "# HELP leasehold_node_{name} {help}\n# TYPE leasehold_node_{name} {kind}\n\
                 leasehold_node_{name} {count}\n"
            )?;
        }
        write!(
            f,
            "# HELP leasehold_node_looked_seconds Time of the cluster at the last look.\n\
             # TYPE leasehold_node_looked_seconds gauge\nleasehold_node_looked_seconds {}\n",
            self.looked.load(Relaxed)
        )
    }
}

/// Why a task did not do what it should. It tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Headers(#[from] DbError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error("{what}: {}", explain_send(error))]
    Send { what: String, error: Box<SendError> },
}
