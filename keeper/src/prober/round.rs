//! One round of one board, from the challenges to the report.

use super::challenges::Challenges;
use super::lanes::Lanes;
use super::receive::{Shared, receive, verify};
use super::schedule::Schedule;
use super::{ProbeReport, ProbeTiming, Prober, ProberError, RoundContext, Target};
use leasehold_client::probe::Pubkey;
use leasehold_daemon::udp;
use rand::Rng;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// Answers that wait for the verifier; more wait in the sockets' buffers.
const CLAIMS: usize = 1_024;
/// Size of the receive buffer in bytes: some 10,000 answers. The kernel may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams sent before answers are handled again.
const BURST: usize = 32;

pub(super) async fn run(
    prober: &Prober,
    context: &RoundContext,
    targets: &[Target],
    timing: &ProbeTiming,
) -> Result<ProbeReport, ProberError> {
    let start = Instant::now();
    let challenges = {
        let (prober, context, targets) = (prober.clone(), *context, targets.to_vec());
        spawn_blocking(move || Challenges::new(&prober.keeper, &prober.config, &context, &targets)).await??
    };
    let shared = Arc::new(Shared::new(challenges));
    let sockets = Sockets::open(&shared)?;

    let (claim, claims) = mpsc::channel(CLAIMS);
    let (answer, mut answered) = mpsc::unbounded_channel();
    let verifier = {
        let shared = shared.clone();
        spawn_blocking(move || verify(&shared, claims, &answer))
    };
    // If this future is dropped, the set aborts the receivers, and that ends the verifier.
    let mut receivers = JoinSet::new();
    for socket in sockets.all() {
        receivers.spawn(receive(socket.clone(), shared.clone(), claim.clone()));
    }
    drop(claim);

    let probes = &shared.challenges.probes;
    let mut reached = vec![false; probes.len()];
    let offsets: Vec<_> =
        probes.iter().map(|_| rand::rng().random_range(std::time::Duration::ZERO..=timing.window)).collect();
    let addresses: Vec<_> = probes.iter().map(|probe| probe.endpoint.ip()).collect();
    let lanes = Lanes::new(&prober.flights, &addresses, &prober.config);
    // What this host has no room for would be lost.
    let max_in_flight = prober.config.max_in_flight.min(sockets.room);
    let mut schedule = Schedule::new(start, &offsets, timing, max_in_flight, lanes);
    let deadline = start + timing.deadline;
    loop {
        while let Ok(index) = answered.try_recv() {
            schedule.answered(index);
        }
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        let mut sent = 0;
        while sent < BURST
            && let Some(index) = schedule.next(now)
        {
            if !shared.is_waiting(index) {
                reached[index] |= sockets.send(&shared, index).await;
            }
            sent += 1;
        }
        if sent == BURST {
            tokio::task::yield_now().await;
            continue;
        }
        if schedule.is_over() {
            break;
        }
        let wake = schedule.wake().map_or(deadline, |wake| wake.min(deadline));
        tokio::select! {
            Some(index) = answered.recv() => schedule.answered(index),
            () = sleep_until(wake) => {}
        }
    }
    receivers.shutdown().await;
    let answers = verifier.await?;

    let unreached = |(index, probe): (usize, &super::challenges::Probe)| {
        (!reached[index]).then_some(probe.challenge.slot)
    };
    let mut report = ProbeReport {
        round: context.round,
        answers,
        repeated: Vec::new(),
        refused: shared.challenges.refused.clone(),
        unsent: probes.iter().enumerate().filter_map(unreached).collect(),
        stats: shared.counters.stats(targets.len()),
    };
    let keys: HashMap<u32, Pubkey> =
        probes.iter().map(|probe| (probe.challenge.slot, probe.node_key)).collect();
    // Every answer is one to a probe.
    report.count_keys_once(|slot| keys.get(&slot).copied().unwrap_or_default());
    Ok(report)
}

/// A socket for each address family of the endpoints.
struct Sockets {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
    /// Answers that may wait at a time.
    room: usize,
}

impl Sockets {
    fn open(shared: &Shared) -> Result<Self, ProberError> {
        let wanted = |v6: bool| shared.challenges.probes.iter().any(|probe| probe.endpoint.is_ipv6() == v6);
        let mut room = usize::MAX;
        let mut open = |family, address| match bind(address) {
            Ok((socket, waiting)) => {
                room = room.min(waiting);
                Ok(Some(Arc::new(socket)))
            }
            Err(source) => Err(ProberError::Socket { family, source }),
        };
        let v4 = if wanted(false) { open("IPv4", (Ipv4Addr::UNSPECIFIED, 0).into())? } else { None };
        // A host without IPv6 still probes the others; the IPv6 machines are reported as unsent.
        let v6 = if wanted(true) {
            open("IPv6", (Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|error| {
                tracing::warn!("{error}");
                if v4.is_some() { Ok(None) } else { Err(error) }
            })?
        } else {
            None
        };
        Ok(Self { v4, v6, room })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<UdpSocket>> {
        self.v4.iter().chain(&self.v6)
    }

    /// Returns true if the datagram was sent. One that was not counts as lost.
    async fn send(&self, shared: &Shared, index: usize) -> bool {
        let probe = &shared.challenges.probes[index];
        let socket = if probe.endpoint.is_ipv4() { &self.v4 } else { &self.v6 };
        let sent = match socket {
            Some(socket) => socket.send_to(&probe.datagram, probe.endpoint).await.is_ok(),
            None => false,
        };
        let counter = if sent { &shared.counters.sent } else { &shared.counters.send_failed };
        counter.fetch_add(1, Relaxed);
        sent
    }
}

/// A socket, and the answers that may wait in it and before the verifier.
fn bind(address: SocketAddr) -> io::Result<(UdpSocket, usize)> {
    let bound = udp::bind(address, true, RECEIVE_BUFFER)?;
    Ok((UdpSocket::from_std(bound.socket)?, bound.buffer.datagrams().saturating_add(CLAIMS)))
}
