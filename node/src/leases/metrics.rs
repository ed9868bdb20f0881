//! Counters of the lease watch.

use super::pause::Cause;
use leasehold_daemon::metrics::{Kind, write_head, write_metric};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counters of a [`LeaseWatch`](super::LeaseWatch), as Prometheus text.
#[derive(Debug, Default)]
pub struct Metrics {
    polls_failed: AtomicU64,
    /// Unix seconds of the cluster at the last poll.
    polled: AtomicI64,
    leased: AtomicU64,
    paused: [AtomicU64; Cause::ALL.len()],
}

impl Metrics {
    pub(super) fn poll_failed(&self) {
        self.polls_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn polled(&self, now: i64) {
        self.polled.store(now, Relaxed);
    }

    pub(super) fn paused(&self, cause: Cause, machines: usize) {
        self.paused[cause as usize].store(machines as u64, Relaxed);
    }

    pub(super) fn leased(&self, machines: usize) {
        self.leased.store(machines as u64, Relaxed);
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, polled, leased) =
            (self.polls_failed.load(Relaxed), self.polled.load(Relaxed), self.leased.load(Relaxed));
        let name = "leasehold_node_polls_failed_total";
        write_metric(f, name, Kind::Counter, "Polls of the chain that failed.", failed)?;
        let name = "leasehold_node_polled_seconds";
        write_metric(f, name, Kind::Gauge, "Time of the cluster at the last poll.", polled)?;
        let name = "leasehold_node_machines_leased";
        write_metric(f, name, Kind::Gauge, "Machines in a lease.", leased)?;
        let name = "leasehold_node_tenants_paused";
        write_head(f, name, Kind::Gauge, "Machines whose tenant is paused, by cause.")?;
        for cause in Cause::ALL {
            let paused = self.paused[cause as usize].load(Relaxed);
            writeln!(f, "{name}{{cause=\"{}\"}} {paused}", cause.name())?;
        }
        Ok(())
    }
}
