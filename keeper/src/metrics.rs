//! Counters as Prometheus text, over just enough HTTP for a scrape on loopback.

use std::{
    fmt::Write,
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{prober::ProbeReport, tasks::Task};

/// A client gets this long, so that one that hangs doesn't keep others out for longer.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST_LIMIT: usize = 4096;

/// How a step can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Somebody else had done it, or its time was over.
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

/// What the keeper counts.
#[derive(Debug, Default)]
pub struct Metrics {
    steps: [[AtomicU64; Outcome::ALL.len()]; Task::ALL.len()],
    looks: AtomicU64,
    failed_looks: AtomicU64,
    probed: AtomicU64,
    answered: AtomicU64,
    seats: AtomicU64,
    lamports: AtomicU64,
    fees: AtomicU64,
    cluster_ms: AtomicI64,
}

impl Metrics {
    /// Counts a step that ended.
    pub fn step(&self, task: Task, outcome: Outcome) {
        self.steps[task as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    /// Steps that ended so.
    pub fn steps(&self, task: Task, outcome: Outcome) -> u64 {
        self.steps[task as usize][outcome as usize].load(Relaxed)
    }

    /// Looks at the chain that failed.
    pub fn failed_looks(&self) -> u64 {
        self.failed_looks.load(Relaxed)
    }

    pub(crate) fn probed(&self, report: &ProbeReport) {
        self.probed.fetch_add(report.stats.targets, Relaxed);
        self.answered.fetch_add(report.answers.len() as u64, Relaxed);
    }

    pub(crate) fn looked(&self, seats: usize, lamports: u64, cluster_ms: i64) {
        self.looks.fetch_add(1, Relaxed);
        self.seats.store(seats as u64, Relaxed);
        self.lamports.store(lamports, Relaxed);
        self.cluster_ms.store(cluster_ms, Relaxed);
    }

    pub(crate) fn look_failed(&self) {
        self.failed_looks.fetch_add(1, Relaxed);
    }

    pub(crate) fn paid(&self, lamports: u64) {
        self.fees.fetch_add(lamports, Relaxed);
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let singles = [
            ("looks_total", "counter", "Looks at the chain.", self.looks.load(Relaxed)),
            ("failed_looks_total", "counter", "Looks that failed.", self.failed_looks()),
            ("machines_probed_total", "counter", "Machines asked.", self.probed.load(Relaxed)),
            ("machines_answered_total", "counter", "Machines that answered.", self.answered.load(Relaxed)),
            ("fees_lamports_total", "counter", "Fees paid, in lamports.", self.fees.load(Relaxed)),
            ("seats", "gauge", "Seats that the keeper holds.", self.seats.load(Relaxed)),
            ("wallet_lamports", "gauge", "What the wallet holds.", self.lamports.load(Relaxed)),
        ];
        // Writing to a String cannot fail.
        for (name, sort, help, value) in singles {
            let _ = writeln!(
                text,
                "# HELP leasehold_keeper_{name} {help}\n# TYPE leasehold_keeper_{name} {sort}\nleasehold_keeper_{name} {value}"
            );
        }
        let seconds = self.cluster_ms.load(Relaxed) as f64 / 1_000.0;
        let _ = writeln!(
            text,
            "# HELP leasehold_keeper_cluster_time_seconds The cluster's Unix time at the last look.\n\
             # TYPE leasehold_keeper_cluster_time_seconds gauge\n\
             leasehold_keeper_cluster_time_seconds {seconds:.3}\n\
             # HELP leasehold_keeper_steps_total Steps, by what became of them.\n\
             # TYPE leasehold_keeper_steps_total counter"
        );
        for task in Task::ALL {
            for outcome in Outcome::ALL {
                let _ = writeln!(
                    text,
                    "leasehold_keeper_steps_total{{step=\"{}\",outcome=\"{}\"}} {}",
                    task.name(),
                    outcome.name(),
                    self.steps(task, outcome)
                );
            }
        }
        text
    }
}

/// Answers scrapes until it is dropped.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    loop {
        match listener.accept().await {
            // A client that goes away or is too slow concerns nobody else.
            Ok((client, _)) => drop(timeout(PATIENCE, reply(client, &metrics)).await),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn reply(mut client: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_LIMIT {
        if client.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", metrics.text())
    } else {
        ("404 Not Found", "ask for /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}
