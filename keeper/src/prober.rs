//! Probes the machines of a board: sends each a challenge and collects the signed answers.
//!
//! [`Prober::probe_round`] is one round of one board: first attempts at random times in a window, a limit of open
//! challenges in all and for each address, retries with growing timeouts, a deadline. It opens one socket for each address family and tells answers
//! apart by the hash of their challenge, so that thousands of machines take two file descriptors, and answers after the
//! round find a closed port. Nothing that a machine sends ends the round: a datagram that is not a valid answer of that
//! machine to that challenge, from the address that was probed, is counted and dropped.
//!
//! A round that could not be probed as it should be has a [`Fault`], and no vote: see [`watch`].
//!
//! Of the slots that answered with one key, the lowest counts: one computer that is listed many times is up once. Slots
//! that did not answer play no part in that, so nobody puts a machine out by listing its key or its address elsewhere.

mod challenges;
mod controls;
mod endpoint;
mod fault;
mod hearing;
mod lanes;
mod ports;
mod receive;
mod report;
mod round;
mod schedule;
mod watch;

pub use fault::Fault;
pub use hearing::Hearing;
pub use ports::Ports;
pub use report::{ProbeReport, ProbeStats, Submission};

use leasehold_client::probe::{ProbeError, Pubkey, SigningKey};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The board and round to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundContext {
    pub program: Pubkey,
    pub market: Pubkey,
    pub board: Pubkey,
    /// The round that runs, as the board counts rounds.
    pub round: u32,
    /// The cluster, as challenges name it.
    pub cluster: [u8; 4],
}

/// A machine to probe, from its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub slot: u32,
    pub generation: u32,
    /// Ed25519 key that must sign the answer.
    pub node_key: Pubkey,
    /// Where the challenge goes. A mapped IPv4 address is taken as IPv4.
    pub endpoint: SocketAddr,
}

/// When challenges are sent, relative to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// First attempts are spread at random over this time.
    pub window: Duration,
    /// Attempts for a machine that does not answer, at least one. All send the same challenge, so that an answer to any
    /// counts.
    pub attempts: u32,
    /// Timeout of the first attempt; each later one has twice as long.
    pub attempt_timeout: Duration,
    /// The call returns no later than this, with the answers so far.
    pub deadline: Duration,
}

impl ProbeTiming {
    /// Three attempts within `available`: first attempts in its first half, timeouts as long as the other half allows,
    /// 2 s, 4 s and 8 s at most.
    pub fn within(available: Duration) -> Self {
        let window = available / 2;
        Self {
            window,
            attempts: 3,
            // 1 + 2 + 4 timeouts, and one to spare, in the second half.
            attempt_timeout: (window / 8).min(Duration::from_secs(2)),
            deadline: available,
        }
    }

    /// Timeout of an attempt, counted from 1.
    fn timeout_of(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        self.attempt_timeout.saturating_mul(2u32.saturating_pow(doublings))
    }
}

/// Limits of a prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProberConfig {
    /// Challenges under way at a time, for each board.
    pub max_in_flight: usize,
    /// Challenges under way at a time for one IP address, over all boards, and a few more for each board.
    pub max_in_flight_per_address: usize,
    /// A challenge without an answer takes room at its address for this time at most.
    pub settle: Duration,
    /// Probe private, loopback and other non-public addresses too. For test networks: elsewhere a supplier could make
    /// every keeper send packets into the keeper's own network.
    pub allow_private: bool,
}

impl Default for ProberConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 2_048,
            max_in_flight_per_address: 256,
            settle: Duration::from_millis(250),
            allow_private: false,
        }
    }
}

/// Why a round could not be probed; never because of a machine.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    #[error(
        "cannot open a UDP socket for {family} ({source}): check this host's network and its limit of open files"
    )]
    Socket { family: &'static str, source: std::io::Error },
    #[error("cannot open a UDP socket on a loopback address ({0}): check this host's network")]
    Control(std::io::Error),
    #[error("slot {0} is given twice among the machines to probe")]
    SameSlot(u32),
    #[error("cannot sign challenges: {0}")]
    Sign(#[from] ProbeError),
    #[error("a task of the prober was aborted: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Probes boards for one keeper, several at a time.
#[derive(Clone, Debug)]
pub struct Prober {
    keeper: SigningKey,
    config: ProberConfig,
    hearing: Arc<Hearing>,
    flights: lanes::Flights,
}

/// Counts of ports that are being tried.
#[derive(Debug)]
pub struct PortsGuard {
    pub ports: Arc<Ports>,
    _trying: JoinSet<()>,
}

impl Prober {
    /// A prober that signs with the keeper's key.
    pub fn new(keeper: SigningKey, config: ProberConfig) -> Self {
        Self { keeper, config, hearing: Arc::default(), flights: lanes::Flights::default() }
    }

    /// What was heard from outside, for the keeper to add what its RPC node says.
    pub fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    /// Probes `targets` and returns their answers, once each has answered or used up its attempts, or at the deadline.
    /// Dropping the future stops everything.
    ///
    /// # Errors
    /// [`ProberError`]. The keeper must not vote on the round then: without votes the verdict is unknown, while an empty
    /// bitmap says that every machine is down.
    pub async fn probe_round(
        &self,
        context: &RoundContext,
        targets: &[Target],
        timing: &ProbeTiming,
    ) -> Result<ProbeReport, ProberError> {
        let mut slots = BTreeSet::new();
        if let Some(same) = targets.iter().find(|target| !slots.insert(target.slot)) {
            return Err(ProberError::SameSlot(same.slot));
        }
        round::run(self, context, targets, timing).await
    }

    /// Counts the machines that accept TCP connections, until the guard is dropped.
    pub fn try_ports(&self, targets: &[Target]) -> PortsGuard {
        let allowed = |target: &Target| endpoint::probeable(target.endpoint, self.config.allow_private);
        let endpoints = targets.iter().filter_map(allowed).collect();
        let (ports, mut trying) = (Arc::<Ports>::default(), JoinSet::new());
        let counted = ports.clone();
        trying.spawn(async move { counted.count(endpoints).await });
        PortsGuard { ports, _trying: trying }
    }
}
