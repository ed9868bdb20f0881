//! The load of a full board: 6,144 machines, five keepers, in one process.

mod common;

use common::*;
use leasehold_keeper::prober::{ProbeReport, ProbeTiming, ProberConfig, Target};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const MACHINES: u32 = 6_144;
const KEEPERS: u8 = 5;

/// User and system time of this process so far, in clock ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// What is under way at a time, so that the challenges and answers of all keepers fit into the socket buffers that any kernel
/// grants: a host of thousands of machines is asked by thousands only as fast as it answers.
const IN_FLIGHT: usize = 32;

/// Probes all machines until a round can be voted on. However busy this host is, no vote calls a machine down.
async fn prove(n: u8, all: Vec<Target>) -> ProbeReport {
    let prober = prober_of(n, ProberConfig { max_in_flight: IN_FLIGHT, allow_private: true });
    // The pace of a round of ten seconds, with time for whatever else runs on this host.
    let timing = ProbeTiming {
        attempts: 10,
        attempt_timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(600),
        ..ProbeTiming::within(Duration::from_secs(10))
    };
    probe(&prober, &all, &timing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_keepers_prove_a_full_board_at_once() {
    let node = node(&["127.0.0.1:0"], 0..MACHINES).await;
    let all = targets(0..MACHINES, node.local_addr());
    let (start, ticks) = (Instant::now(), cpu_ticks());
    let mut rounds = JoinSet::new();
    for n in 0..KEEPERS {
        rounds.spawn(prove(n + 1, all.clone()));
    }
    let (mut sent, mut roots) = (0, vec![]);
    while let Some(proven) = rounds.join_next().await {
        let report = proven.unwrap();
        assert_eq!(report.answers.len(), MACHINES as usize);
        let submission = report.submission(MACHINES);
        assert!(submission.bitmap.len() == 768 && submission.bitmap.iter().all(|byte| *byte == 0xff));
        roots.push(submission.pong_root);
        sent += report.stats.sent;
    }
    println!(
        "{} answers in {:.2?}, {sent} challenges sent, {:.2} s of CPU",
        MACHINES * u32::from(KEEPERS),
        start.elapsed(),
        (cpu_ticks() - ticks) as f64 / 100.0,
    );
    roots.sort_unstable();
    roots.dedup();
    assert_eq!(roots.len(), usize::from(KEEPERS), "no keeper can use another's answers");
}
