//! Counters of the keeper.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use leasehold_daemon::metrics::{Kind, write_head, write_metric};

use crate::{pay::Pay, prober::ProbeReport, standing::Standings, tasks::Task};

/// Outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Another keeper was faster, or its time was over.
    Overtaken,
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Overtaken, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Overtaken => "overtaken",
            Self::Failed => "failed",
        }
    }
}

/// Counters of the keeper, as Prometheus text.
#[derive(Debug, Default)]
pub struct Metrics {
    steps: [[AtomicU64; Outcome::ALL.len()]; Task::ALL.len()],
    polls: AtomicU64,
    failed_polls: AtomicU64,
    probed: AtomicU64,
    answered: AtomicU64,
    seats: AtomicU64,
    lamports: AtomicU64,
    fees: AtomicU64,
    cluster_ms: AtomicI64,
    repeated: AtomicU64,
    control_attempts: AtomicU64,
    control_missed: AtomicU64,
    pay: Mutex<Pay>,
    standings: Mutex<Standings>,
}

impl Metrics {
    /// Counts a step that ended.
    pub fn step(&self, task: Task, outcome: Outcome) {
        self.steps[task as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    /// Steps that ended with this outcome.
    pub fn steps(&self, task: Task, outcome: Outcome) -> u64 {
        self.steps[task as usize][outcome as usize].load(Relaxed)
    }

    /// Polls of the chain that failed.
    pub fn failed_polls(&self) -> u64 {
        self.failed_polls.load(Relaxed)
    }

    pub(crate) fn probed(&self, board: u32, report: &ProbeReport) {
        self.control_attempts.fetch_add(report.stats.control_attempts, Relaxed);
        self.control_missed.fetch_add(report.stats.control_missed, Relaxed);
        self.standings().probed(board, report);
        self.probed.fetch_add(report.stats.targets, Relaxed);
        self.answered.fetch_add(report.answers.len() as u64, Relaxed);
        self.repeated.fetch_add(report.repeated.len() as u64, Relaxed);
    }

    pub(crate) fn polled(&self, seats: usize, lamports: u64, cluster_ms: i64) {
        self.polls.fetch_add(1, Relaxed);
        self.seats.store(seats as u64, Relaxed);
        self.lamports.store(lamports, Relaxed);
        self.cluster_ms.store(cluster_ms, Relaxed);
    }

    /// What the keeper's seats are paid.
    pub fn pay(&self) -> MutexGuard<'_, Pay> {
        // A panic elsewhere leaves it at an earlier poll at worst.
        self.pay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the boards stand on which the keeper holds seats.
    pub fn standings(&self) -> MutexGuard<'_, Standings> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn poll_failed(&self) {
        self.failed_polls.fetch_add(1, Relaxed);
    }

    pub(crate) fn paid(&self, lamports: u64) {
        self.fees.fetch_add(lamports, Relaxed);
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let singles = [
            ("polls_total", Kind::Counter, "Polls of the chain.", &self.polls),
            ("failed_polls_total", Kind::Counter, "Polls of the chain that failed.", &self.failed_polls),
            ("machines_probed_total", Kind::Counter, "Machines probed.", &self.probed),
            ("machines_answered_total", Kind::Counter, "Machines that answered.", &self.answered),
            (
                "keys_repeated_total",
                Kind::Counter,
                "Slots that answered with the key of a lower slot, which get no vote.",
                &self.repeated,
            ),
            (
                "control_attempts_total",
                Kind::Counter,
                "Challenges that the prober sent to itself.",
                &self.control_attempts,
            ),
            (
                "control_missed_total",
                Kind::Counter,
                "Of these, not answered in time: this host is too busy.",
                &self.control_missed,
            ),
            ("fees_lamports_total", Kind::Counter, "Transaction fees paid, in lamports.", &self.fees),
            ("seats", Kind::Gauge, "Seats that the keeper holds.", &self.seats),
            ("wallet_lamports", Kind::Gauge, "Lamports of the keeper's wallet.", &self.lamports),
        ];
        for (name, kind, help, value) in singles {
            write_metric(f, &format!("leasehold_keeper_{name}"), kind, help, value.load(Relaxed))?;
        }
        let seconds = self.cluster_ms.load(Relaxed) as f64 / 1_000.0;
        let help = "The cluster's Unix time at the last poll.";
        let name = "leasehold_keeper_cluster_time_seconds";
        write_metric(f, name, Kind::Gauge, help, format_args!("{seconds:.3}"))?;
        write!(f, "{}{}", self.pay(), self.standings())?;
        let name = "leasehold_keeper_steps_total";
        write_head(f, name, Kind::Counter, "Steps, by outcome.")?;
        for task in Task::ALL {
            for outcome in Outcome::ALL {
                let (step, result) = (task.name(), outcome.name());
                let count = self.steps(task, outcome);
                writeln!(f, "{name}{{step=\"{step}\",outcome=\"{result}\"}} {count}")?;
            }
        }
        Ok(())
    }
}
