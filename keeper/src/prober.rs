//! Probes the machines of a board: sends every one of them a challenge and keeps the signed answers.
//!
//! [`Prober::probe_round`] is one round of one board: starts spread at random over a window, a bound on
//! how many challenges are open, retries with a growing timeout, a deadline. It opens one socket for
//! each address family and tells answers apart by the hash of their challenge, so that thousands of
//! machines cost two file descriptors, and an answer that comes after the round finds a closed port.
//! Nothing that a machine sends ends the round: what isn't a valid answer of that machine to that
//! challenge, from the address that was asked, is counted and dropped.

mod challenges;
mod endpoint;
mod receive;
mod report;
mod round;
mod schedule;

pub use report::{ProbeReport, ProbeStats, Submission};

use leasehold_client::probe::{ProbeError, Pubkey, SigningKey};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The board and the round that are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundContext {
    pub program: Pubkey,
    pub market: Pubkey,
    pub board: Pubkey,
    /// Unix time divided by the board's `round_secs`.
    pub round: u32,
}

/// A machine to probe, as its slot has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub slot: u32,
    pub generation: u16,
    /// ed25519 key that has to sign the answer.
    pub node_key: Pubkey,
    /// Where the challenge goes. A mapped IPv4 address is taken as IPv4.
    pub endpoint: SocketAddr,
}

/// When challenges are sent, counted from the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// First attempts are spread at random over this time.
    pub window: Duration,
    /// Challenges sent to a machine that doesn't answer, at least one. All are the same, so that any
    /// answer counts, to whichever of them.
    pub attempts: u32,
    /// How long to wait for an answer to the first attempt; for each later one twice as long.
    pub attempt_timeout: Duration,
    /// The call ends no later than this, with the answers it has.
    pub deadline: Duration,
}

impl ProbeTiming {
    /// Three attempts within `available`: first attempts in its first half, and timeouts as long as the
    /// other half allows, but no longer than 2 s, 4 s and 8 s.
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
}

/// What a prober may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProberConfig {
    /// Challenges under way at one time, per board.
    pub max_in_flight: usize,
    /// Whether endpoints in private, loopback and other networks that aren't the Internet are probed.
    /// For test networks. Elsewhere a supplier could have every keeper send packets into its own network.
    pub allow_private: bool,
}

impl Default for ProberConfig {
    fn default() -> Self {
        Self { max_in_flight: 2_048, allow_private: false }
    }
}

/// Why a round could not be probed. Machines are never the reason.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    #[error(
        "cannot open a UDP socket for {family} ({source}): check this host's network and its limit of open files"
    )]
    Socket { family: &'static str, source: std::io::Error },
    #[error("slot {0} is given twice among the machines to probe")]
    SameSlot(u32),
    #[error("cannot sign challenges: {0}")]
    Sign(#[from] ProbeError),
    #[error("a task of the prober ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Probes boards on behalf of one keeper. Rounds of several boards may be probed at the same time.
#[derive(Clone, Debug)]
pub struct Prober {
    keeper: SigningKey,
    config: ProberConfig,
}

impl Prober {
    /// A prober that signs with the keeper's key.
    pub fn new(keeper: SigningKey, config: ProberConfig) -> Self {
        Self { keeper, config }
    }

    /// Probes `targets` and returns their answers, when all have answered or have been given up, or at
    /// the deadline. Dropping the future ends everything it began.
    ///
    /// # Errors
    /// [`ProberError`]. A keeper that gets one has no answers and should not vote on the round: no vote
    /// counts as unknown, an empty bitmap says that every machine is down.
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
}
