//! Rounds of probes against real nodes over real sockets.

mod common;

use common::*;
use leasehold_client::probe::{PongTree, verify_proof};
use leasehold_keeper::prober::{ProbeTiming, ProberConfig, ProberError, Target};
use leasehold_node::Outcome;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

#[tokio::test]
async fn machines_on_ipv4_and_ipv6_are_proven_up_and_paused_ones_are_not() {
    let node = node(&["127.0.0.1:0", "[::1]:0"], 0..100).await;
    let [v4, v6] = node.local_addrs() else { panic!("two addresses") };
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), v4.port());
    let mut all = targets(0..40, *v4);
    all.extend(targets(40..80, *v6));
    all.extend(targets(80..100, mapped));
    for slot in [3, 55, 99] {
        assert!(node.pause_machine(&CONTEXT.board, slot));
    }
    let report = probe(&prober(7), &all, &QUICK).await;

    let silent: HashSet<u32> = (0..100).filter(|slot| !report.answers.contains_key(slot)).collect();
    assert_eq!(silent, HashSet::from([3, 55, 99]));
    // Each answer is kept in a form that convinces others.
    for (slot, answer) in &report.answers {
        answer.verify(&public(&key(*slot))).unwrap();
        assert_eq!((answer.challenge.slot, answer.challenge.round), (*slot, CONTEXT.round));
        assert_eq!(
            answer.challenge.keeper,
            public(&leasehold_client::probe::SigningKey::from_bytes(&[7; 32]))
        );
    }
    let submission = report.submission(100);
    assert_eq!(submission.bitmap.len(), 13);
    assert_eq!(submission.bitmap[0], 0b1111_0111);
    assert_eq!(submission.bitmap[12], 0b0000_0111);
    let ones: u32 = submission.bitmap.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones as usize, report.answers.len());
    let tree = PongTree::of(&report.answers);
    let proof = tree.proof(3).unwrap();
    assert!(verify_proof(&submission.pong_root, &report.answers[&4].leaf(), 3, ones as usize, &proof));
    // The silent three were asked three times each; a busy host may have to ask others twice.
    assert!(report.stats.sent >= 97 + 3 * 3);
    assert!(node.count(Outcome::Paused) >= 3);
    assert!(report.refused.is_empty() && report.unsent.is_empty());
}

#[tokio::test]
async fn an_address_of_another_machine_or_generation_proves_nothing() {
    let node = node(&["127.0.0.1:0"], 0..10).await;
    let mut all = targets(0..10, node.local_addr());
    all[2].generation = 2;
    all[5].node_key = public(&key(6));
    let report = probe(&prober(7), &all, &QUICK).await;
    assert_eq!(report.submission(10).bitmap, [0b1101_1011, 0b11]);
    assert!((1..=4).contains(&report.stats.bad_signature));
    assert!(node.count(Outcome::UnknownMachine) >= 1);
}

#[test]
fn every_attempt_fits_into_the_time_there_is() {
    for secs in [1, 10, 600] {
        let available = Duration::from_secs(secs);
        let timing = ProbeTiming::within(available);
        assert_eq!((timing.deadline, timing.attempts), (available, 3));
        assert!(timing.window + timing.attempt_timeout * (1 + 2 + 4) < available);
        assert!(timing.attempt_timeout <= Duration::from_secs(2));
    }
}

#[tokio::test]
async fn nobody_to_ask_is_an_empty_report() {
    let report = prober(7).probe_round(&CONTEXT, &[], &QUICK).await.unwrap();
    assert!(report.answers.is_empty() && !report.is_blind());
}

#[tokio::test]
async fn a_slot_given_twice_is_refused() {
    let at = "127.0.0.1:1".parse().unwrap();
    let twice = prober(7).probe_round(&CONTEXT, &[target(4, at), target(4, at)], &QUICK).await;
    assert!(matches!(twice, Err(ProberError::SameSlot(4))));
}

#[tokio::test]
async fn endpoints_that_are_no_machines_are_not_sent_to() {
    let node = node(&["127.0.0.1:0"], 0..3).await;
    let public_only = prober_of(7, ProberConfig::default());
    let report = public_only.probe_round(&CONTEXT, &targets(0..3, node.local_addr()), &QUICK).await.unwrap();
    assert_eq!(report.refused, [0, 1, 2]);
    assert_eq!((report.stats.sent, report.stats.send_failed), (0, 0));

    let all = [
        target(0, node.local_addr()),
        target(1, "255.255.255.255:9".parse().unwrap()),
        target(2, "127.0.0.1:0".parse().unwrap()),
    ];
    let report = probe(&prober(7), &all, &QUICK).await;
    assert_eq!(report.refused, [1, 2]);
    assert_eq!(report.submission(3).bitmap, [0b001]);
}

#[tokio::test]
async fn a_silent_board_ends_when_its_attempts_do_and_at_the_deadline() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let all = targets(0..50, silent.local_addr().unwrap());
    // It does not wait for its deadline, however far that is.
    let (start, hour) = (Instant::now(), ProbeTiming { deadline: Duration::from_secs(3_600), ..QUICK });
    let report = prober(7).probe_round(&CONTEXT, &all, &hour).await.unwrap();
    assert!(report.is_blind());
    assert_eq!(report.stats.sent, 150);
    // 0.1 s window, then 0.2 + 0.4 + 0.8 s.
    assert!(start.elapsed() > Duration::from_millis(1300));

    // The third attempt would be 0.6 s after the first.
    let timing = ProbeTiming { deadline: Duration::from_millis(300), ..QUICK };
    let report = prober(7).probe_round(&CONTEXT, &all, &timing).await.unwrap();
    assert!(report.answers.is_empty() && report.stats.sent <= 100);
}

#[tokio::test]
async fn a_board_that_is_silent_is_voted_on_only_while_something_is_heard() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let all = targets(0..5, silent.local_addr().unwrap());
    let prober = prober(7);
    let report = prober.probe_round(&CONTEXT, &all, &QUICK).await.unwrap();
    assert!(report.is_blind() && report.fault.is_some());
    // The RPC node answers meanwhile, as it does when only the board is dark.
    assert!(probe(&prober, &all, &QUICK).await.is_blind());
}

// On one thread, which is held up for as long as all attempts take.
#[tokio::test(flavor = "current_thread")]
async fn a_keeper_that_is_held_up_calls_nobody_down() {
    let node = node(&["127.0.0.1:0"], 0..200).await;
    let dark = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut all = targets(0..200, node.local_addr());
    all.push(target(200, dark.local_addr().unwrap()));
    let hold_up = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            std::thread::sleep(Duration::from_millis(900));
        }
    };
    let prober = prober(7);
    let (report, ()) = tokio::join!(prober.probe_round(&CONTEXT, &all, &QUICK), hold_up);
    let report = report.unwrap();
    assert!(report.fault.is_some() || report.answers.len() == 200, "{:?}", report.stats);
    assert_eq!(probe(&prober, &all, &QUICK).await.answers.len(), 200, "once it is not held up any more");
}

#[tokio::test]
async fn a_round_can_be_given_up_half_way() {
    let node = node(&["127.0.0.1:0"], 0..50).await;
    let all = targets(0..50, node.local_addr());
    let slow = ProbeTiming { window: Duration::from_secs(60), ..QUICK };
    let prober = prober(7);
    let given_up =
        tokio::time::timeout(Duration::from_millis(100), prober.probe_round(&CONTEXT, &all, &slow));
    assert!(given_up.await.is_err());
    let report = probe(&prober, &all, &QUICK).await;
    assert_eq!(report.answers.len(), 50);
}

#[tokio::test]
async fn few_in_flight_at_a_time_still_reach_everybody() {
    let node = node(&["127.0.0.1:0"], 0..200).await;
    let mut all = targets(0..200, node.local_addr());
    // A fifth is dead, and there are more of them than may be in flight.
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for target in all.iter_mut().filter(|target| target.slot % 5 == 0) {
        target.endpoint = dead.local_addr().unwrap();
    }
    let config = ProberConfig { max_in_flight: 8, allow_private: true, ..ProberConfig::default() };
    let prober = prober_of(7, config);
    let timing = ProbeTiming {
        attempt_timeout: Duration::from_millis(100),
        deadline: Duration::from_secs(30),
        ..QUICK
    };
    let report = probe(&prober, &all, &timing).await;
    assert_eq!(report.answers.len(), 160);
    assert!(report.answers.keys().all(|slot| slot % 5 != 0));
}

/// Passes datagrams on between probers and a node, but drops every third one, both ways.
struct LossyRelay {
    address: SocketAddr,
    dropped: Arc<AtomicU64>,
}

impl LossyRelay {
    async fn start(node: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { address: front.local_addr().unwrap(), dropped: Arc::default() };
        let dropped = relay.dropped.clone();
        tokio::spawn(async move {
            let (mut ping, mut pong) = ([0; 512], [0; 512]);
            let mut askers: HashMap<[u8; 32], SocketAddr> = HashMap::new();
            let mut count = 0u64;
            loop {
                let (to_node, length) = tokio::select! {
                    received = front.recv_from(&mut ping) => {
                        let (length, asker) = received.unwrap();
                        let challenge = leasehold_client::probe::SignedChallenge::decode(&ping[..length]).unwrap();
                        askers.insert(challenge.challenge.hash(), asker);
                        (true, length)
                    }
                    received = back.recv_from(&mut pong) => (false, received.unwrap().0),
                };
                count += 1;
                if count.is_multiple_of(3) {
                    dropped.fetch_add(1, Relaxed);
                } else if to_node {
                    back.send_to(&ping[..length], node).await.unwrap();
                } else {
                    let hash: [u8; 32] = pong[16..48].try_into().unwrap();
                    front.send_to(&pong[..length], askers[&hash]).await.unwrap();
                }
            }
        });
        relay
    }
}

#[tokio::test]
async fn retries_make_up_for_lost_packets() {
    let node = node(&["127.0.0.1:0"], 0..300).await;
    let relay = LossyRelay::start(node.local_addr()).await;
    let all: Vec<Target> = targets(0..300, relay.address);
    let timing = ProbeTiming {
        window: Duration::from_millis(300),
        attempts: 12,
        attempt_timeout: Duration::from_millis(2),
        deadline: Duration::from_secs(30),
    };
    let report = probe(&prober(7), &all, &timing).await;
    assert_eq!(report.answers.len(), 300);
    assert!(relay.dropped.load(Relaxed) >= 100);
    assert!(report.stats.sent > 300);
}
