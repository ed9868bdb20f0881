//! The load of a full board: 6,144 machines, five keepers, in one process.

mod common;

use common::*;
use leasehold_keeper::prober::ProbeTiming;
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

#[tokio::test(flavor = "multi_thread")]
async fn five_keepers_prove_a_full_board_at_once() {
    let node = node(&["127.0.0.1:0"], 0..MACHINES).await;
    let all = targets(0..MACHINES, node.local_addr());
    // The pace of a round of ten seconds, with retries that outlast any busy host: its lost packets are sent again.
    let timing = ProbeTiming {
        attempts: 10,
        attempt_timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(600),
        ..ProbeTiming::within(Duration::from_secs(10))
    };
    let (start, ticks) = (Instant::now(), cpu_ticks());
    let mut rounds = JoinSet::new();
    for n in 0..KEEPERS {
        let (prober, all) = (prober(n + 1), all.clone());
        rounds.spawn(async move { prober.probe_round(&CONTEXT, &all, &timing).await });
    }
    let (mut sent, mut roots) = (0, vec![]);
    while let Some(report) = rounds.join_next().await {
        let report = report.unwrap().unwrap();
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
