//! Counters of a Door.

use leasehold_daemon::metrics::{Kind, write_head, write_metric};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To a machine whose tenant is not let in: there is none, or its lease is over.
    NobodyLetIn,
    /// Without a login: the caller went or was refused by `sshd`.
    NoLogin,
    /// Without a login within the time for it.
    TimedOut,
    /// Without a login, for a newer connection.
    GaveWay,
    /// `sshd` could not be started or reached.
    Failed,
    /// Beyond the bound on a machine's sessions.
    TooManySessions,
    /// By the tenant, after a login.
    Closed,
    /// By the Door: the lease or epoch was over, or the node stopped.
    Cut,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::NobodyLetIn,
        Self::NoLogin,
        Self::TimedOut,
        Self::GaveWay,
        Self::Failed,
        Self::TooManySessions,
        Self::Closed,
        Self::Cut,
    ];

    /// The outcome's name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NobodyLetIn => "nobody_let_in",
            Self::NoLogin => "no_login",
            Self::TimedOut => "timed_out",
            Self::GaveWay => "gave_way",
            Self::Failed => "failed",
            Self::TooManySessions => "too_many_sessions",
            Self::Closed => "closed",
            Self::Cut => "cut",
        }
    }
}

/// Counters of a [`Door`](super::Door), as Prometheus text.
#[derive(Debug, Default)]
pub struct Metrics {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    logins: AtomicU64,
    sessions: AtomicUsize,
    waiting: AtomicUsize,
    tenants: AtomicUsize,
}

impl Metrics {
    /// Connections that ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Logins so far.
    pub fn logins(&self) -> u64 {
        self.logins.load(Relaxed)
    }

    /// Connections that have logged in.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// Connections that have not logged in.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Machines whose tenant is let in.
    pub fn tenants(&self) -> usize {
        self.tenants.load(Relaxed)
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn session_began(&self) {
        self.logins.fetch_add(1, Relaxed);
        self.sessions.fetch_add(1, Relaxed);
    }

    pub(super) fn session_ended(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    pub(super) fn set_waiting(&self, connections: usize) {
        self.waiting.store(connections, Relaxed);
    }

    pub(super) fn set_tenants(&self, tenants: usize) {
        self.tenants.store(tenants, Relaxed);
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "leasehold_node_ssh_connections_total";
        write_head(f, name, Kind::Counter, "SSH connections that have ended, by outcome.")?;
        for outcome in Outcome::ALL {
            writeln!(f, "{name}{{outcome=\"{}\"}} {}", outcome.name(), self.count(outcome))?;
        }
        let name = "leasehold_node_ssh_logins_total";
        write_metric(f, name, Kind::Counter, "SSH connections that have logged in.", self.logins())?;
        let name = "leasehold_node_ssh_sessions";
        write_metric(f, name, Kind::Gauge, "Open SSH connections that have logged in.", self.sessions())?;
        let name = "leasehold_node_ssh_connections_waiting";
        let help = "Open SSH connections that have not logged in.";
        write_metric(f, name, Kind::Gauge, help, self.waiting())?;
        let name = "leasehold_node_ssh_machines_open";
        write_metric(f, name, Kind::Gauge, "Machines whose tenant is let in.", self.tenants())
    }
}
