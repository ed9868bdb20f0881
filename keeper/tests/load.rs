//! The load of full boards: 6,144 machines and five keepers, and 104,448 machines of one node, in one process.

mod common;

use common::*;
use leasehold_client::probe::Pubkey;
use leasehold_keeper::prober::{ProbeReport, ProbeTiming, ProberConfig, RoundContext, Target};
use leasehold_node::{Machine, Node, NodeConfig, Outcome, Serving};
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

/// Probes all machines until a round can be voted on. However busy this host is, no vote calls a machine down.
async fn prove(n: u8, all: Vec<Target>) -> ProbeReport {
    let prober = prober_of(n, ProberConfig { allow_private: true, ..ProberConfig::default() });
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

/// Boards whose machines are all of one node.
const BOARDS: u8 = 17;
/// What Linux grants without a setting.
const BUFFER: usize = 212_992;
/// Longer than any host is busy, so that nothing is sent twice.
const PATIENCE: Duration = Duration::from_secs(600);

/// All machines begin at the same moment, as after a pause of the keeper.
const BURST: ProbeTiming =
    ProbeTiming { window: Duration::ZERO, attempts: 1, attempt_timeout: PATIENCE, deadline: PATIENCE };

fn board(number: u8) -> Pubkey {
    Pubkey::new_from_array([number; 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_answers_for_100_000_machines_and_no_challenge_is_lost() {
    let machines = (1..=BOARDS)
        .flat_map(|number| (0..MACHINES).map(move |slot| Machine { board: board(number), ..machine(slot) }));
    let node = Node::bind(NodeConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        serving: Serving { machines: machines.collect(), keepers: None },
        receive_buffer: BUFFER,
        ..NodeConfig::default()
    });
    let node = node.await.unwrap();
    let all = targets(0..MACHINES, node.local_addr());
    // Room at an address is given back by answers alone, so that a busy host changes nothing.
    let prober =
        prober_of(1, ProberConfig { settle: PATIENCE, allow_private: true, ..ProberConfig::default() });
    let mut rounds = JoinSet::new();
    for number in 1..=BOARDS {
        let (prober, all, board) = (prober.clone(), all.clone(), board(number));
        rounds
            .spawn(async move { prober.probe_round(&RoundContext { board, ..CONTEXT }, &all, &BURST).await });
    }
    let mut sent = 0;
    while let Some(report) = rounds.join_next().await {
        let report = report.unwrap().unwrap();
        assert_eq!(report.answers.len(), MACHINES as usize);
        sent += report.stats.sent;
    }
    let every = u64::from(MACHINES) * u64::from(BOARDS);
    assert_eq!(
        (sent, node.count(Outcome::Answered)),
        (every, every),
        "one challenge and one answer for each"
    );
    assert!(node.dropped().is_none_or(|dropped| dropped == 0));
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Answered) {
        assert_eq!(node.count(outcome), 0, "{outcome:?}");
    }
}
