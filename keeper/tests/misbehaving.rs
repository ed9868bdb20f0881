//! Machines that answer wrongly get no bit in the vote, and don't keep other machines from theirs.

mod common;

use common::*;
use leasehold_client::probe::{Challenge, Pong, SignedChallenge};
use leasehold_keeper::prober::{ProbeReport, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Serves one machine on a socket of its own, as `behave` does, with the challenge and its sender.
async fn serve<F>(behave: impl Fn(Arc<UdpSocket>, Challenge, SocketAddr) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let challenge = SignedChallenge::decode(&buffer[..length]).unwrap().challenge;
            behave(socket.clone(), challenge, from).await;
        }
    });
    address
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    // The round may be over and its port closed.
    let _ = socket.send_to(bytes, to).await;
}

/// Probes the machine in slot 0 at `bad` together with twenty good ones.
async fn round_with(bad: SocketAddr) -> ProbeReport {
    let node = node(&["127.0.0.1:0"], 1..21).await;
    let mut all: Vec<Target> = targets(1..21, node.local_addr());
    all.push(target(0, bad));
    let report = probe(&prober(7), &all, &QUICK).await;
    for slot in 1..21 {
        assert!(report.answers.contains_key(&slot), "good machine {slot} has lost its bit");
    }
    report
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let bad = serve(|socket, challenge, from| async move {
        let valid = challenge.answer(&key(0)).encode();
        send(&socket, &[], from).await;
        send(&socket, &valid[..111], from).await;
        send(&socket, &[valid.to_vec(), vec![0]].concat(), from).await;
        send(&socket, &[0xff; 1400], from).await;
        send(&socket, &challenge.body(), from).await;
    })
    .await;
    let report = round_with(bad).await;
    assert!(!report.answers.contains_key(&0));
    assert!((5..=15).contains(&report.stats.malformed));
}

#[tokio::test]
async fn a_signature_by_another_key_is_no_answer_and_is_looked_at_four_times_at_most() {
    let bad = serve(|socket, challenge, from| async move {
        for n in 0..50 {
            send(&socket, &challenge.answer(&key(1000 + n)).encode(), from).await;
        }
    })
    .await;
    let report = round_with(bad).await;
    assert!(!report.answers.contains_key(&0));
    assert_eq!(report.stats.bad_signature, 4);
    assert!(report.stats.surplus >= 46);
}

#[tokio::test]
async fn an_answer_to_another_challenge_is_no_answer() {
    let bad = serve(|socket, challenge, from| async move {
        let others = [
            Challenge { round: challenge.round - 1, ..challenge.clone() },
            Challenge { slot: 1, ..challenge.clone() },
            Challenge { keeper: CONTEXT.board, ..challenge.clone() },
            Challenge { seed: [0; 32], ..challenge.clone() },
        ];
        for other in others {
            let pong = other.answer(&key(0));
            send(&socket, &pong.encode(), from).await;
            // And under the hash of the challenge that was asked.
            send(&socket, &Pong { challenge: challenge.hash(), ..pong }.encode(), from).await;
        }
    })
    .await;
    let report = round_with(bad).await;
    assert!(!report.answers.contains_key(&0));
    assert_eq!(report.stats.bad_signature, 4);
    assert!((4..=12).contains(&report.stats.stray));
}

#[tokio::test]
async fn an_answer_from_another_address_is_no_answer() {
    let bad = serve(|_, challenge, from| async move {
        let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        send(&elsewhere, &challenge.answer(&key(0)).encode(), from).await;
    })
    .await;
    let report = round_with(bad).await;
    assert!(!report.answers.contains_key(&0));
    assert!((1..=3).contains(&report.stats.wrong_source));
}

#[tokio::test]
async fn duplicates_count_once() {
    let bad = serve(|socket, challenge, from| async move {
        for _ in 0..10 {
            send(&socket, &challenge.answer(&key(0)).encode(), from).await;
        }
    })
    .await;
    let report = round_with(bad).await;
    assert_eq!(report.answers.len(), 21);
    assert!(report.answers[&0].verify(&public(&key(0))).is_ok());
}

#[tokio::test]
async fn a_valid_answer_after_wrong_ones_counts() {
    let bad = serve(|socket, challenge, from| async move {
        for n in 0..3 {
            send(&socket, &challenge.answer(&key(1000 + n)).encode(), from).await;
        }
        send(&socket, &challenge.answer(&key(0)).encode(), from).await;
    })
    .await;
    let report = round_with(bad).await;
    assert!(report.answers.contains_key(&0));
    assert_eq!(report.stats.bad_signature, 3);
}

#[tokio::test]
async fn an_answer_later_than_its_attempt_counts_but_not_after_the_round() {
    // It answers the first attempt when the second comes.
    let waiting = Arc::new(AtomicBool::new(false));
    let bad = serve(move |socket, challenge, from| {
        let was_waiting = waiting.fetch_xor(true, Relaxed);
        async move {
            if was_waiting {
                send(&socket, &challenge.answer(&key(0)).encode(), from).await;
            }
        }
    });
    let report = round_with(bad.await).await;
    assert!(report.answers.contains_key(&0));
    assert!(report.stats.sent >= 22);
    let bad = serve(|socket, challenge, from| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        send(&socket, &challenge.answer(&key(0)).encode(), from).await;
    });
    let report = round_with(bad.await).await;
    assert!(!report.answers.contains_key(&0));
}

#[tokio::test]
async fn an_answer_with_another_key_is_told_from_silence() {
    let bad = serve(|socket, challenge, from| async move {
        send(&socket, &challenge.answer(&key(1_000)).encode(), from).await;
    });
    let report = round_with(bad.await).await;
    assert_eq!(report.other_key.iter().map(|target| target.slot).collect::<Vec<_>>(), [0]);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let report = round_with(silent.local_addr().unwrap()).await;
    assert!(report.other_key.is_empty() && !report.answers.contains_key(&0));
}
