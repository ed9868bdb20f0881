//! State of the keeper between two polls of the chain.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use leasehold_daemon::backoff::pause;
use solana_pubkey::Pubkey;

use crate::{
    clock::millis,
    prober::{Fault, ProbeReport},
};

/// If no machine answers a round, the keeper votes them down only if it had an answer within this time; else its own
/// network may have failed. Six hours.
const HEARING_MS: i64 = 6 * 3_600_000;
/// Rounds whose answers are kept in memory: the one that runs and the one that is voted on.
const ROUNDS: usize = 2;
/// Failures older than this are forgotten: ten minutes.
const STALE_MS: i64 = 600_000;

/// Identifies a step by what it works on. No two steps of one chore run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chore {
    TakeSeat {
        board: Pubkey,
    },
    ProbeRound {
        board: Pubkey,
        round: u32,
    },
    SubmitRound {
        board: Pubkey,
        round: u32,
    },
    /// `next_round` is the first round that was not closed.
    CloseRound {
        board: Pubkey,
        next_round: u32,
    },
    SettleLease {
        board: Pubkey,
        serial: u32,
    },
    /// Ends a metered lease whose deposit is used up.
    GiveNotice {
        board: Pubkey,
        serial: u32,
    },
    EnforceDemand {
        board: Pubkey,
        demand: Pubkey,
    },
    RecordDay {
        board: Pubkey,
        class: u16,
    },
    BurnPayments {
        board: Pubkey,
    },
    BurnSlashed {
        board: Pubkey,
    },
    ClaimKeeperFees {
        board: Pubkey,
    },
}

impl Chore {
    pub fn board(&self) -> &Pubkey {
        match self {
            Self::TakeSeat { board }
            | Self::ProbeRound { board, .. }
            | Self::SubmitRound { board, .. }
            | Self::CloseRound { board, .. }
            | Self::SettleLease { board, .. }
            | Self::GiveNotice { board, .. }
            | Self::EnforceDemand { board, .. }
            | Self::RecordDay { board, .. }
            | Self::BurnPayments { board }
            | Self::BurnSlashed { board }
            | Self::ClaimKeeperFees { board } => board,
        }
    }
}

/// What of the board the chore works on, as logs name it: "lease 7", "round 2900000".
impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakeSeat { board } => write!(f, "seat of {board}"),
            Self::ProbeRound { round, .. } | Self::SubmitRound { round, .. } => write!(f, "round {round}"),
            Self::CloseRound { next_round, .. } => write!(f, "from round {next_round} on"),
            Self::SettleLease { serial, .. } | Self::GiveNotice { serial, .. } => write!(f, "lease {serial}"),
            Self::EnforceDemand { demand, .. } => write!(f, "demand {demand}"),
            Self::RecordDay { class, .. } => write!(f, "class {class}"),
            Self::BurnPayments { board } | Self::BurnSlashed { board } | Self::ClaimKeeperFees { board } => {
                write!(f, "{board}")
            }
        }
    }
}

/// The answers of a round, and whether they are fit for a vote.
#[derive(Clone, Debug)]
pub struct Answers {
    pub report: ProbeReport,
    /// Why they are not fit for a vote; `None` if they are.
    pub fault: Option<Fault>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// By board and round.
    answers: HashMap<Pubkey, BTreeMap<u32, Arc<Answers>>>,
    /// Chores that any keeper may do: since when they have been possible, in milliseconds of the cluster's time.
    since: HashMap<Chore, i64>,
    under_way: HashSet<Chore>,
    pauses: HashMap<Chore, Pause>,
    /// When a machine was last heard, in milliseconds of the cluster's time.
    heard_ms: Option<i64>,
}

/// When a chore may be tried again.
#[derive(Clone, Copy, Debug)]
struct Pause {
    failures: u32,
    until_ms: i64,
}

impl Memory {
    /// Notes the chores that any keeper may do now (the planner's `shared_chores`) and forgets those of
    /// the past. Call it with every snapshot before planning.
    pub fn observe(&mut self, now_ms: i64, chores: impl IntoIterator<Item = Chore>) {
        let now = now_ms;
        let chores: HashSet<_> = chores.into_iter().collect();
        self.since.retain(|chore, _| chores.contains(chore));
        for chore in chores {
            self.since.entry(chore).or_insert(now);
        }
        self.pauses.retain(|_, pause| now.saturating_sub(pause.until_ms) < STALE_MS);
    }

    /// Since when the chore has been possible.
    pub fn since(&self, chore: &Chore) -> Option<i64> {
        self.since.get(chore).copied()
    }

    /// Why the chore must wait; `None` if it may begin.
    pub fn held_back(&self, chore: &Chore, now_ms: i64) -> Option<Held> {
        if self.under_way.contains(chore) {
            return Some(Held::UnderWay);
        }
        let until_ms = self.pauses.get(chore)?.until_ms;
        (until_ms > now_ms).then_some(Held::Until(until_ms))
    }

    /// True if a chore is under way or ended lately.
    pub fn knows(&self, chore: &Chore) -> bool {
        self.under_way.contains(chore) || self.pauses.contains_key(chore)
    }

    /// True if any chore of a kind is under way.
    pub fn is_under_way(&self, sort: impl Fn(&Chore) -> bool) -> bool {
        self.under_way.iter().any(sort)
    }

    /// Notes that a chore has begun.
    pub fn begin(&mut self, chore: Chore) {
        self.under_way.insert(chore);
    }

    /// Notes that a chore is done, by this keeper or another. It is not repeated at once, since the next poll may still
    /// show the chain as it was before.
    pub fn end(&mut self, chore: &Chore, now_ms: i64) {
        self.under_way.remove(chore);
        self.pauses.insert(*chore, Pause { failures: 0, until_ms: now_ms.saturating_add(millis(pause(2))) });
    }

    /// Notes that a chore failed, which is tried again after `longest` at the latest. Returns how many times in a row.
    pub fn fail(&mut self, chore: &Chore, now_ms: i64, longest: Duration) -> u32 {
        self.under_way.remove(chore);
        let failures = self.pauses.get(chore).map_or(0, |pause| pause.failures).saturating_add(1);
        let until_ms = now_ms.saturating_add(millis(pause(failures).min(longest)));
        self.pauses.insert(*chore, Pause { failures, until_ms });
        failures
    }

    /// Stores and returns the answers of a round. Besides the prober's own reasons, they are not fit for a vote if no machine
    /// answered for hours: the vote would call every machine down, and the truth is unknown.
    pub fn keep(&mut self, board: Pubkey, report: ProbeReport, now_ms: i64) -> Arc<Answers> {
        if !report.answers.is_empty() {
            self.heard_ms = self.heard_ms.max(Some(now_ms));
        }
        let hears = self.heard_ms.is_some_and(|heard| now_ms.saturating_sub(heard) <= HEARING_MS);
        let deaf = (report.is_blind() && !hears).then_some(Fault::Deaf);
        let answers = Arc::new(Answers { fault: report.fault.or(deaf), report });
        let kept = self.answers.entry(board).or_default();
        kept.insert(answers.report.round, Arc::clone(&answers));
        while kept.len() > ROUNDS {
            kept.pop_first();
        }
        answers
    }

    /// The answers of a round, if the keeper probed it.
    pub fn answers(&self, board: &Pubkey, round: u32) -> Option<&Arc<Answers>> {
        self.answers.get(board)?.get(&round)
    }
}

/// Why a chore must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    UnderWay,
    /// Milliseconds of the cluster's time.
    Until(i64),
}
