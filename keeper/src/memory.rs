//! What the keeper remembers between two looks at the chain.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use solana_pubkey::Pubkey;

use crate::{
    clock::millis,
    planner::{Policy, chores_for_all},
    prober::ProbeReport,
    snapshot::Snapshot,
    troubles::pause,
};

/// Where no machine answers, they are believed to be down, and not this keeper's own network, if it has
/// heard anybody within this time: six hours.
const HEARING_MS: i64 = 6 * 3_600_000;
/// Rounds of answers that are kept in memory: the one that runs and the one that is voted on.
const ROUNDS: usize = 2;
/// Failures older than this say nothing any more: ten minutes.
const STALE_MS: i64 = 600_000;

/// One thing to do, by what it is done to. Nothing is done twice at the same time.
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
    /// `next_round` is the first round not closed before.
    CloseRound {
        board: Pubkey,
        next_round: u32,
    },
    SettleLease {
        board: Pubkey,
        serial: u32,
    },
    ClaimKeeperFees {
        board: Pubkey,
    },
}

/// The answers of a round, and whether they are fit for a vote.
#[derive(Clone, Debug)]
pub struct Answers {
    pub report: ProbeReport,
    /// Not set where nobody answered and the likelier cause is this keeper's own network.
    pub fit: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// By board and round.
    answers: HashMap<Pubkey, BTreeMap<u32, Arc<Answers>>>,
    /// What everybody may do: since when it was to be done, in milliseconds of the cluster's time.
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
    /// Notes what has become possible, and forgets what is past. To be called with every snapshot before
    /// planning.
    pub fn observe(&mut self, snapshot: &Snapshot, policy: &Policy) {
        let now = snapshot.now_ms;
        let chores: HashSet<_> = chores_for_all(snapshot, policy).collect();
        self.since.retain(|chore, _| chores.contains(chore));
        for chore in chores {
            self.since.entry(chore).or_insert(now);
        }
        self.pauses.retain(|_, pause| now.saturating_sub(pause.until_ms) < STALE_MS);
    }

    /// Since when somebody should have done this.
    pub fn since(&self, chore: &Chore) -> Option<i64> {
        self.since.get(chore).copied()
    }

    /// Until when not to try this, and with it whether it is being done now.
    pub fn held_back(&self, chore: &Chore, now_ms: i64) -> Option<Held> {
        if self.under_way.contains(chore) {
            return Some(Held::UnderWay);
        }
        let until_ms = self.pauses.get(chore)?.until_ms;
        (until_ms > now_ms).then_some(Held::Until(until_ms))
    }

    /// Whether a chore is under way or was lately.
    pub fn knows(&self, chore: &Chore) -> bool {
        self.under_way.contains(chore) || self.pauses.contains_key(chore)
    }

    /// Whether any chore of that sort is being done.
    pub fn is_under_way(&self, sort: impl Fn(&Chore) -> bool) -> bool {
        self.under_way.iter().any(sort)
    }

    /// Notes that a chore is begun.
    pub fn begin(&mut self, chore: Chore) {
        self.under_way.insert(chore);
    }

    /// Notes that a chore was ended well, by this keeper or by another. The next look may still show the
    /// chain as it was before, so it is not done again at once.
    pub fn end(&mut self, chore: &Chore, now_ms: i64) {
        self.under_way.remove(chore);
        self.pauses.insert(*chore, Pause { failures: 0, until_ms: now_ms.saturating_add(millis(pause(2))) });
    }

    /// Notes that a chore failed, and returns how many times in a row it did.
    pub fn fail(&mut self, chore: &Chore, now_ms: i64) -> u32 {
        self.under_way.remove(chore);
        let failures = self.pauses.get(chore).map_or(0, |pause| pause.failures).saturating_add(1);
        let until_ms = now_ms.saturating_add(millis(pause(failures)));
        self.pauses.insert(*chore, Pause { failures, until_ms });
        failures
    }

    /// Keeps the answers of a round, and returns them. A keeper that heard nobody, and hasn't for long,
    /// doesn't vote on them: that would call every machine down where unknown is the truth.
    pub fn keep(&mut self, board: Pubkey, report: ProbeReport, now_ms: i64) -> Arc<Answers> {
        if !report.answers.is_empty() {
            self.heard_ms = self.heard_ms.max(Some(now_ms));
        }
        let hears = self.heard_ms.is_some_and(|heard| now_ms.saturating_sub(heard) <= HEARING_MS);
        let answers = Arc::new(Answers { fit: hears || !report.is_blind(), report });
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

/// Why something is not done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    UnderWay,
    /// Milliseconds of the cluster's time.
    Until(i64),
}
