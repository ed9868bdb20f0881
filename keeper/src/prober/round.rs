//! One round of one board, from the challenges to the report.

use super::challenges::{Challenges, Probe};
use super::controls::Controls;
use super::lanes::Lanes;
use super::receive::{Shared, receive, verify};
use super::schedule::Schedule;
use super::watch::Watch;
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
use tokio::sync::{mpsc, watch};
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
    let controls = match targets {
        [] => None,
        some => Some(Controls::start(some.len()).await.map_err(ProberError::Control)?),
    };
    let challenges = {
        let (prober, context, targets) = (prober.clone(), *context, targets.to_vec());
        let controls = controls.iter().flat_map(|controls| controls.targets.clone()).collect::<Vec<_>>();
        let sign = move || Challenges::new(&prober.keeper, &prober.config, &context, &targets, &controls);
        spawn_blocking(sign).await??
    };
    let shared = Arc::new(Shared::new(challenges));
    let sockets = Sockets::open(&shared)?;

    let (claim, claims) = mpsc::channel(CLAIMS);
    let (answer, mut answered) = mpsc::unbounded_channel();
    let verifier = {
        let (shared, hearing) = (shared.clone(), prober.hearing.clone());
        spawn_blocking(move || verify(&shared, claims, &answer, &hearing))
    };
    // If this future is dropped, the set aborts the receivers, and that ends the verifier.
    let mut receivers = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    for socket in sockets.all() {
        receivers.spawn(receive(socket.clone(), shared.clone(), claim.clone(), stopped.clone()));
    }
    drop(claim);

    let probes = &shared.challenges.probes;
    let mut watch = Watch::new(start, probes.len());
    let offsets: Vec<_> =
        probes.iter().map(|_| rand::rng().random_range(std::time::Duration::ZERO..=timing.window)).collect();
    // Controls wait for nobody: they are to tell how busy this process is.
    let address = |probe: &Probe| (!probe.is_control).then(|| probe.endpoint.ip());
    let addresses: Vec<_> = probes.iter().map(address).collect();
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
        watch.look(now, schedule.wake());
        let mut sent = 0;
        while sent < BURST
            && let Some(index) = schedule.next(now)
        {
            if !shared.is_waiting(index) {
                let sent = sockets.send(&shared, index).await;
                watch.sent(index, Instant::now(), sent);
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
    // What came while this task was held up is read before anybody counts as silent.
    stop.send_replace(true);
    while receivers.join_next().await.is_some() {}
    let mut answers = verifier.await?;

    let mut stats = shared.counters.stats(targets.len());
    let slots: Vec<_> = probes.iter().map(|probe| probe.challenge.slot).collect();
    let answered = |index: usize| slots.get(index).is_some_and(|slot| answers.contains_key(slot));
    let fault = watch.judge(probes, answered, timing, &prober.hearing, &mut stats);
    let other_key = shared.other_key(answered);
    let machines = probes.iter().enumerate().filter(|(_, probe)| !probe.is_control);
    let unsent = machines.clone().filter(|(index, _)| watch.is_unsent(*index));
    let unsent = unsent.map(|(_, probe)| probe.challenge.slot).collect();
    let keys: HashMap<u32, Pubkey> =
        machines.map(|(_, probe)| (probe.challenge.slot, probe.node_key)).collect();
    answers.retain(|slot, _| keys.contains_key(slot));
    let refused = shared.challenges.refused.clone();
    let mut report = ProbeReport {
        round: context.round,
        answers,
        repeated: Vec::new(),
        refused,
        unsent,
        other_key,
        fault,
        stats,
    };
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
        counter.fetch_add(u64::from(!probe.is_control), Relaxed);
        sent
    }
}

/// A socket, and the answers that may wait in it and before the verifier.
fn bind(address: SocketAddr) -> io::Result<(UdpSocket, usize)> {
    let bound = udp::bind(address, true, RECEIVE_BUFFER)?;
    Ok((UdpSocket::from_std(bound.socket)?, bound.buffer.datagrams().saturating_add(CLAIMS)))
}
