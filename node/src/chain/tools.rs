//! Resources and counters shared by the tasks.

use super::headers::OwnLog;
use super::settings::RecordSettings;
use crate::receipts::store::{Store, StoreError};
use leasehold_archive::DbError;
use leasehold_archive::sync::SyncError;
use leasehold_client::fetch::FetchError;
use leasehold_client::sender::{SendError, Sender};
use leasehold_daemon::metrics::{Kind, write_metric};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// Resources shared by the tasks.
pub(super) struct Tools {
    pub settings: RecordSettings,
    /// Account of the supplier.
    pub supplier: Pubkey,
    /// Public URL of the node's receipts, which the log names.
    pub source: String,
    /// Log of the supplier.
    pub log: Pubkey,
    /// Wallet of the log's operator.
    pub operator: Pubkey,
    pub rpc: Arc<RpcClient>,
    pub sender: Sender,
    pub store: Store,
    /// Headers of the supplier's log.
    pub headers: OwnLog,
    pub metrics: Arc<Metrics>,
    /// Time after a view in which metered leases get credit beyond what is signed.
    pub credit: Duration,
    /// Asks the lease watch to poll without delay.
    pub poll_now: Arc<Notify>,
}

/// Counters of the tasks, as Prometheus text.
#[derive(Debug, Default)]
pub struct Metrics {
    sealed: AtomicU64,
    /// Batches that are not in the log, and how many of them are late.
    waiting: AtomicU64,
    late: AtomicU64,
    appended: AtomicU64,
    redeemed: AtomicU64,
    answered: AtomicU64,
    sends_failed: AtomicU64,
    /// Leases in which nothing is signed.
    unsigned: AtomicU64,
    pruned: AtomicU64,
}

impl Metrics {
    pub(super) fn unsigned(&self, leases: usize) {
        self.unsigned.store(leases as u64, Relaxed);
    }

    pub(super) fn pruned(&self, receipts: u64) {
        self.pruned.fetch_add(receipts, Relaxed);
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

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("batches_sealed_total", Kind::Counter, "Batches of receipts sealed.", &self.sealed),
            ("batches_appended_total", Kind::Counter, "Batches appended to the log.", &self.appended),
            ("vouchers_redeemed_total", Kind::Counter, "Vouchers redeemed.", &self.redeemed),
            ("demands_answered_total", Kind::Counter, "Demands answered.", &self.answered),
            ("sends_failed_total", Kind::Counter, "Transactions that failed.", &self.sends_failed),
            ("batches_waiting", Kind::Gauge, "Sealed batches that are not in the log.", &self.waiting),
            (
                "receipts_deleted_total",
                Kind::Counter,
                "Receipts deleted that nobody can dispute.",
                &self.pruned,
            ),
            (
                "leases_unsigned",
                Kind::Gauge,
                "Leases in which nothing is signed; the log says why.",
                &self.unsigned,
            ),
            ("batches_late", Kind::Gauge, "Waiting batches whose receipts can be demanded soon.", &self.late),
        ];
        for (name, kind, help, count) in counts {
            write_metric(f, &format!("leasehold_node_{name}"), kind, help, count.load(Relaxed))?;
        }
        Ok(())
    }
}

/// Why a task failed. It is retried.
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
    #[error("{what}: {}", error.explain())]
    Send { what: String, error: Box<SendError> },
}
