//! Turns datagrams into verified answers: a task for each socket drops datagrams that can't be answers, one thread
//! verifies signatures.

use super::Target;
use super::challenges::Challenges;
use super::hearing::Hearing;
use super::report::Counters;
use leasehold_client::probe::{PONG_LEN, Pong, SignedPong};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Answers of one machine whose signatures are verified: several, so that a corrupted answer does no harm; few, so that
/// no machine blocks the thread.
const MAX_CLAIMS: u8 = 4;
/// At the end of a round, datagrams are read until none has come for this time, but no more than so many.
const REST: Duration = Duration::from_millis(5);
const MAX_REST: usize = 1 << 14;

/// State shared by the round's tasks.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) challenges: Challenges,
    pub(super) counters: Counters,
    /// By position of the probe.
    claims: Box<[Claims]>,
}

/// Answers of one machine that were accepted for verification.
#[derive(Debug, Default)]
struct Claims {
    /// Passed to the verifier.
    passed: AtomicU8,
    /// Of these, refuted.
    refuted: AtomicU8,
}

/// An answer to verify, with the position of its probe.
pub(super) type Claim = (usize, Pong);

impl Shared {
    pub(super) fn new(challenges: Challenges) -> Self {
        let claims = challenges.probes.iter().map(|_| Claims::default()).collect();
        Self { challenges, counters: Counters::default(), claims }
    }

    /// True if a possible answer of the machine waits to be verified. It is not probed again then: that would only slow
    /// down a host that is busy already.
    pub(super) fn is_waiting(&self, index: usize) -> bool {
        let claims = &self.claims[index];
        claims.passed.load(Relaxed) > claims.refuted.load(Relaxed)
    }

    /// Machines whose answers all had a signature by another key. `answered`: by position of the probe.
    pub(super) fn other_key(&self, answered: impl Fn(usize) -> bool) -> Vec<Target> {
        let probes = self.challenges.probes.iter().zip(&self.claims).enumerate();
        probes
            .filter(|(index, (_, claims))| claims.refuted.load(Relaxed) > 0 && !answered(*index))
            .map(|(_, (probe, _))| Target {
                slot: probe.challenge.slot,
                generation: probe.challenge.generation,
                node_key: probe.node_key,
                endpoint: probe.endpoint,
            })
            .collect()
    }

    /// The possible answer in a datagram; `None` if it answers no challenge of this round.
    fn claim(&self, datagram: &[u8], source: SocketAddr) -> Option<Claim> {
        let counters = &self.counters;
        let Ok(pong) = Pong::decode(datagram) else {
            counters.malformed.fetch_add(1, Relaxed);
            return None;
        };
        let Some(&index) = self.challenges.by_hash.get(&pong.challenge) else {
            counters.stray.fetch_add(1, Relaxed);
            return None;
        };
        // Flow label and scope may differ: buyers use address and port.
        let asked = self.challenges.probes[index].endpoint;
        if (source.ip(), source.port()) != (asked.ip(), asked.port()) {
            counters.wrong_source.fetch_add(1, Relaxed);
            return None;
        }
        let more = |claims: u8| (claims < MAX_CLAIMS).then_some(claims + 1);
        if self.claims[index].passed.fetch_update(Relaxed, Relaxed, more).is_err() {
            counters.surplus.fetch_add(1, Relaxed);
            return None;
        }
        Some((index, pong))
    }
}

/// Receives until `stop` changes, and then what has come before that.
pub(super) async fn receive(
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    claims: mpsc::Sender<Claim>,
    mut stop: watch::Receiver<bool>,
) {
    // One byte more than an answer, so that a longer datagram is recognised.
    let mut buffer = [0; PONG_LEN + 1];
    let mut rest = MAX_REST;
    while rest > 0 {
        let is_over = *stop.borrow();
        let received = if is_over {
            rest = rest.saturating_sub(1);
            match timeout(REST, socket.recv_from(&mut buffer)).await {
                Ok(received) => received,
                Err(_) => return,
            }
        } else {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                // An error means that the round was dropped.
                Ok(()) = stop.changed() => continue,
                else => return,
            }
        };
        match received {
            Ok((length, source)) => {
                let claim = buffer.get(..length).and_then(|datagram| shared.claim(datagram, source));
                if let Some(claim) = claim
                    && claims.send(claim).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "receiving answers failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Verifies until the last receiver is dropped. Returns the valid answers by slot. Blocks its thread.
pub(super) fn verify(
    shared: &Shared,
    mut claims: mpsc::Receiver<Claim>,
    answered: &mpsc::UnboundedSender<usize>,
    hearing: &Hearing,
) -> BTreeMap<u32, SignedPong> {
    let mut answers = BTreeMap::new();
    while let Some((index, pong)) = claims.blocking_recv() {
        let probe = &shared.challenges.probes[index];
        let slot = probe.challenge.slot;
        if answers.contains_key(&slot) {
            shared.counters.surplus.fetch_add(1, Relaxed);
            continue;
        }
        match SignedPong::new(&probe.challenge, &pong, &probe.node_key) {
            Ok(answer) => {
                answers.insert(slot, answer);
                if !probe.is_control {
                    hearing.note();
                }
                shared.claims[index].passed.store(MAX_CLAIMS, Relaxed);
                // An error means that the schedule has ended; the answer counts all the same.
                let _ = answered.send(index);
            }
            Err(_) => {
                shared.claims[index].refuted.fetch_add(1, Relaxed);
                shared.counters.bad_signature.fetch_add(1, Relaxed);
            }
        }
    }
    answers
}
