//! Counters of an archive.

use crate::Totals;
use leasehold_daemon::metrics::{Kind, write_metric};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counters of an archive, as Prometheus text.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Unix seconds of the last poll that succeeded.
    polled: AtomicI64,
    polls_failed: AtomicU64,
    stored: AtomicU64,
    downloads_failed: AtomicU64,
    logs: AtomicU64,
    batches: AtomicU64,
    missing: AtomicU64,
    mismatched: AtomicU64,
}

impl Metrics {
    /// Notes a poll that succeeded, and how much the database holds after it.
    pub fn polled(&self, unix_secs: i64, totals: Totals) {
        self.polled.store(unix_secs, Relaxed);
        self.logs.store(totals.logs, Relaxed);
        self.batches.store(totals.batches, Relaxed);
        self.missing.store(totals.missing, Relaxed);
        self.mismatched.store(totals.mismatched, Relaxed);
    }

    /// Unix seconds of the last poll that succeeded, 0 before the first.
    pub fn last_poll(&self) -> i64 {
        self.polled.load(Relaxed)
    }

    pub fn poll_failed(&self) {
        self.polls_failed.fetch_add(1, Relaxed);
    }

    pub fn stored(&self) {
        self.stored.fetch_add(1, Relaxed);
    }

    pub fn download_failed(&self) {
        self.downloads_failed.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = [
            ("polls_failed_total", "Polls of the logs that failed.", &self.polls_failed),
            ("batches_stored_total", "Batches whose receipts were stored.", &self.stored),
            (
                "downloads_failed_total",
                "Downloads that failed or did not match the log.",
                &self.downloads_failed,
            ),
        ];
        let gauges = [
            ("logs", "Logs in the database.", &self.logs),
            ("batches", "Batches in the database.", &self.batches),
            ("batches_missing", "Batches without receipts.", &self.missing),
            (
                "batches_mismatched",
                "Batches whose source gave other receipts than the log has.",
                &self.mismatched,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("leasehold_archive_{name}");
            write_metric(f, &name, Kind::Counter, help, value.load(Relaxed))?;
        }
        for (name, help, value) in gauges {
            let name = format!("leasehold_archive_{name}");
            write_metric(f, &name, Kind::Gauge, help, value.load(Relaxed))?;
        }
        let help = "Unix time of the last poll that succeeded.";
        write_metric(f, "leasehold_archive_polled_seconds", Kind::Gauge, help, self.last_poll())
    }
}
