//! Counters of tenancies.

use crate::leases::Place;
use leasehold_daemon::metrics::{Kind, write_head, write_metric};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// State of a machine's tenancy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No tenant's data are on it.
    Free,
    /// The begin hook runs or is to run.
    Preparing,
    /// Prepared; nobody is let in, since the lease has not begun or names no key.
    Prepared,
    /// The tenant is let in.
    Open,
    /// Nobody is let in and what runs is frozen.
    Frozen,
    /// The end hook runs or is to run.
    Wiping,
}

impl State {
    /// The state's name in the metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Preparing => "preparing",
            State::Prepared => "prepared",
            State::Open => "open",
            State::Frozen => "frozen",
            State::Wiping => "wiping",
        }
    }
}

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Begin,
    End,
}

impl Hook {
    const ALL: [Hook; 2] = [Hook::Begin, Hook::End];

    fn name(self) -> &'static str {
        match self {
            Hook::Begin => "begin",
            Hook::End => "end",
        }
    }
}

/// Counters of [`Tenancies`](super::Tenancies), as Prometheus text.
#[derive(Debug, Default)]
pub struct Metrics {
    /// State of each machine, and this host's Unix second since when.
    machines: Mutex<BTreeMap<Place, (State, i64)>>,
    hooks_failed: [AtomicU64; Hook::ALL.len()],
    polls_failed: AtomicU64,
}

impl Metrics {
    pub(super) fn set(&self, place: Place, state: State, since: i64) {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).insert(place, (state, since));
    }

    pub(super) fn remove(&self, place: &Place) {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }

    pub(super) fn hook_failed(&self, hook: Hook) {
        self.hooks_failed[hook as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn poll_failed(&self) {
        self.polls_failed.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = "leasehold_node_tenancy";
        write_head(f, name, Kind::Gauge, "1 for the state in which a machine's tenancy is.")?;
        for ((board, slot), (state, _)) in &machines {
            writeln!(f, "{name}{{board=\"{board}\",slot=\"{slot}\",state=\"{}\"}} 1", state.name())?;
        }
        let name = "leasehold_node_tenancy_since_seconds";
        write_head(f, name, Kind::Gauge, "Unix time since when a machine's tenancy is in its state.")?;
        for ((board, slot), (_, since)) in &machines {
            writeln!(f, "{name}{{board=\"{board}\",slot=\"{slot}\"}} {since}")?;
        }
        let name = "leasehold_node_hooks_failed_total";
        write_head(f, name, Kind::Counter, "Hooks that failed.")?;
        for hook in Hook::ALL {
            let failed = self.hooks_failed[hook as usize].load(Relaxed);
            writeln!(f, "{name}{{hook=\"{}\"}} {failed}", hook.name())?;
        }
        let name = "leasehold_node_tenancy_polls_failed_total";
        let help = "Polls of the chain for tenancies that failed.";
        write_metric(f, name, Kind::Counter, help, self.polls_failed.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::PLACE;
    use super::*;

    #[test]
    fn each_machine_has_one_state() {
        let metrics = Metrics::default();
        metrics.set(PLACE, State::Preparing, 5);
        metrics.set(PLACE, State::Open, 9);
        metrics.hook_failed(Hook::End);
        let text = metrics.to_string();
        let board = PLACE.0;
        for line in [
            format!("leasehold_node_tenancy{{board=\"{board}\",slot=\"3\",state=\"open\"}} 1"),
            format!("leasehold_node_tenancy_since_seconds{{board=\"{board}\",slot=\"3\"}} 9"),
            "leasehold_node_hooks_failed_total{hook=\"end\"} 1".to_owned(),
            "leasehold_node_hooks_failed_total{hook=\"begin\"} 0".to_owned(),
        ] {
            assert!(text.lines().any(|had| had == line), "{line}\n{text}");
        }
        assert!(!text.contains("preparing"));
        metrics.remove(&PLACE);
        assert!(!metrics.to_string().contains("slot="));
    }
}
