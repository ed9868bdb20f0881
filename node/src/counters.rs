//! Counts datagrams by outcome.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Outcome of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// Not a challenge: wrong length, tag or reserved bytes.
    Malformed,
    /// For a machine that is not in the configuration, or with another program, market or generation.
    UnknownMachine,
    /// For a slot in which, by the board, there is another machine or another supplier's.
    OtherMachine,
    /// For a machine under maintenance.
    Paused,
    /// For a machine whose begin hook has not succeeded for its lease.
    Unprepared,
    /// From a keeper that is not on the allow-list.
    KeeperNotAllowed,
    /// For a round too far from this host's clock.
    OtherRound,
    /// Beyond the rate limit of its source.
    RateLimited,
    /// Received while too many others waited to be verified.
    Overloaded,
    /// Without a valid signature of the keeper that it names.
    BadSignature,
    /// Answered, but the answer could not be sent.
    SendFailed,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Outcome; 12] = [
        Outcome::Answered,
        Outcome::Malformed,
        Outcome::UnknownMachine,
        Outcome::OtherMachine,
        Outcome::Paused,
        Outcome::Unprepared,
        Outcome::KeeperNotAllowed,
        Outcome::OtherRound,
        Outcome::RateLimited,
        Outcome::Overloaded,
        Outcome::BadSignature,
        Outcome::SendFailed,
    ];

    /// The outcome's name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Malformed => "malformed",
            Outcome::UnknownMachine => "unknown_machine",
            Outcome::OtherMachine => "other_machine",
            Outcome::Paused => "paused",
            Outcome::Unprepared => "unprepared",
            Outcome::KeeperNotAllowed => "keeper_not_allowed",
            Outcome::OtherRound => "other_round",
            Outcome::RateLimited => "rate_limited",
            Outcome::Overloaded => "overloaded",
            Outcome::BadSignature => "bad_signature",
            Outcome::SendFailed => "send_failed",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    receive_errors: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// Counts a call to the kernel that failed to receive.
    pub(crate) fn count_receive_error(&self) {
        self.receive_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn receive_errors(&self) -> u64 {
        self.receive_errors.load(Relaxed)
    }
}
