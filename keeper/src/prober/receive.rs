//! From datagrams to verified answers: a task for each socket sorts out what can be an answer at all,
//! one thread verifies signatures.

use super::challenges::Challenges;
use super::report::Counters;
use leasehold_client::probe::{PONG_LEN, Pong, SignedPong};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Answers of one machine whose signature is looked at. More than one, so that a garbled answer can be
/// made up for; few, so that no machine keeps the thread from the others.
const MAX_CLAIMS: u8 = 4;

/// What the round's tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) challenges: Challenges,
    pub(super) counters: Counters,
    /// By position of the probe.
    claims: Box<[Claims]>,
}

/// How many answers of one machine were taken up.
#[derive(Debug, Default)]
struct Claims {
    /// Passed on to be verified.
    passed: AtomicU8,
    /// Of these, found to be wrong.
    refuted: AtomicU8,
}

/// An answer to verify, with the position of its probe.
pub(super) type Claim = (usize, Pong);

impl Shared {
    pub(super) fn new(challenges: Challenges) -> Self {
        let claims = challenges.probes.iter().map(|_| Claims::default()).collect();
        Self { challenges, counters: Counters::default(), claims }
    }

    /// Whether something that may be the machine's answer waits to be verified. It need not be asked
    /// again then: on a host that falls behind, more challenges would only make it fall further.
    pub(super) fn is_waiting(&self, index: usize) -> bool {
        let claims = &self.claims[index];
        claims.passed.load(Relaxed) > claims.refuted.load(Relaxed)
    }

    /// The answer in a datagram, if it may be one to a challenge of this round.
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
        // Flow label and scope may differ; the buyer will use the address and the port.
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

/// Receives until it is aborted.
pub(super) async fn receive(socket: Arc<UdpSocket>, shared: Arc<Shared>, claims: mpsc::Sender<Claim>) {
    // One byte more than an answer, so that a longer datagram is seen to be longer.
    let mut buffer = [0; PONG_LEN + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                if let Some(claim) = shared.claim(&buffer[..length], source)
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

/// Verifies until the last receiver is gone, and returns the valid answers by slot. Blocks its thread.
pub(super) fn verify(
    shared: &Shared,
    mut claims: mpsc::Receiver<Claim>,
    answered: &mpsc::UnboundedSender<usize>,
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
                shared.claims[index].passed.store(MAX_CLAIMS, Relaxed);
                // The round may be past caring; the answer counts all the same.
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
