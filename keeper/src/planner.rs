//! Plans the next steps: a pure function of snapshot and memory. The conditions of voting and closing are the program's
//! own, by [`leasehold_client::rounds`], so that a plan from an up-to-date snapshot is not refused.

mod action;
mod advice;
mod leases;
mod rounds;
mod seats;
mod upkeep;

pub use action::Action;
pub use advice::Advice;

use std::time::Duration;

use crate::{
    clock::millis,
    memory::{Chore, Held, Memory},
    snapshot::{BoardSnapshot, Snapshot},
};
use leases::{closing_leases, payable_leases};
use rounds::can_close;
use upkeep::{due_demands, due_indexes, to_burn};

/// The operator's choices for the planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Take a vacant seat of every board that has one.
    pub take_seat: bool,
    /// For a seat, open the keeper's account and bond stake from the wallet if they are missing.
    pub bond: bool,
    /// Close rounds, settle leases and do what else anybody may also where the keeper has no seat.
    pub crank: bool,
    /// Probe and vote.
    pub probe: bool,
    /// Claim a seat's fees as soon as they are that many payment units.
    pub claim_fees: Option<u64>,
    /// How long each keeper waits for the one before it to do what any keeper may do. Shorter on boards with short
    /// rounds.
    pub turn: Duration,
    /// Longest time for probing a round; by default until the round ends.
    pub probe_for: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            take_seat: false,
            bond: false,
            crank: false,
            probe: true,
            claim_fees: None,
            turn: Duration::from_secs(3),
            probe_for: Duration::MAX,
        }
    }
}

/// Steps to begin now, when to plan again at the latest, and advice for the operator.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Milliseconds of the cluster's time; `None` if nothing is due.
    pub wake_ms: Option<i64>,
    pub advice: Vec<Advice>,
}

/// Plans from a snapshot that `memory` has observed.
pub fn plan(snapshot: &Snapshot, memory: &Memory, policy: &Policy) -> Plan {
    let mut planner = Planner { snapshot, memory, policy, plan: Plan::default() };
    for board in &snapshot.boards {
        planner.board(board);
    }
    planner.take_seat();
    planner.advise();
    planner.plan
}

/// Chores that any keeper may do now, on the boards that this keeper works on.
pub fn shared_chores(snapshot: &Snapshot, policy: &Policy) -> impl Iterator<Item = Chore> {
    let works = |board: &&BoardSnapshot| policy.crank || board.seat_of(&snapshot.me).is_some();
    let now = snapshot.now_ms.div_euclid(1_000);
    snapshot.boards.iter().filter(works).flat_map(move |board| {
        let address = board.board.address;
        let close = can_close(board, now)
            .then_some(Chore::CloseRound { board: address, next_round: board.header.next_round });
        let settle = payable_leases(board, &snapshot.params)
            .map(move |(serial, ..)| Chore::SettleLease { board: address, serial });
        let end = closing_leases(board).map(move |(serial, _)| Chore::GiveNotice { board: address, serial });
        let enforce = due_demands(board, now)
            .map(move |demand| Chore::EnforceDemand { board: address, demand: demand.address });
        let record = due_indexes(board, now).map(move |class| Chore::RecordDay { board: address, class });
        let burn = to_burn(board).map(|action| action.chore());
        close.into_iter().chain(settle).chain(end).chain(enforce).chain(record).chain(burn)
    })
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    memory: &'a Memory,
    policy: &'a Policy,
    plan: Plan,
}

impl Planner<'_> {
    fn board(&mut self, board: &BoardSnapshot) {
        let seat = board.seat_of(&self.snapshot.me);
        if let Some(seat) = seat {
            self.submit_round(board, seat);
            self.probe_round(board);
            self.claim_keeper_fees(board, seat);
        }
        if seat.is_some() || self.policy.crank {
            self.close_round(board, seat);
            self.settle_leases(board, seat);
            self.end_leases(board, seat);
            self.enforce_demands(board, seat);
            self.record_days(board, seat);
            self.burn(board, seat);
        }
    }

    /// Plans a step that any keeper may do, once it is this keeper's turn. Turns go round the seats, beginning with
    /// another seat for each `number`; keepers without a seat come last.
    fn propose_in_turn(&mut self, action: Action, board: &BoardSnapshot, seat: Option<u8>, number: u32) {
        self.propose_later(action, board, seat, number, 0);
    }

    /// Like [`Planner::propose_in_turn`], once the step has been possible for that many milliseconds.
    fn propose_later(
        &mut self,
        action: Action,
        board: &BoardSnapshot,
        seat: Option<u8>,
        number: u32,
        after_ms: i64,
    ) {
        let header = &board.header;
        let seats = header.taken_seats();
        let count = seats.count_ones();
        let turn = match seat {
            Some(seat) => {
                let before = (seats & ((1u16 << seat) - 1)).count_ones();
                (before + count - number % count.max(1)) % count.max(1)
            }
            None => count,
        };
        let longest_ms = i64::from(header.round_secs).saturating_mul(1_000) / (4 * i64::from(count.max(1)));
        let turn_ms = millis(self.policy.turn).min(longest_ms).saturating_mul(i64::from(turn));
        let since = self.memory.since(&action.chore()).unwrap_or(self.snapshot.now_ms);
        let at_ms = since.saturating_add(after_ms).saturating_add(turn_ms);
        if at_ms <= self.snapshot.now_ms {
            self.propose(action);
        } else {
            self.wake(at_ms);
        }
    }

    fn propose(&mut self, action: Action) {
        match self.memory.held_back(&action.chore(), self.snapshot.now_ms) {
            None => self.plan.actions.push(action),
            Some(Held::Until(ms)) => self.wake(ms),
            Some(Held::UnderWay) => {}
        }
    }

    /// Like [`Planner::wake`], in Unix seconds.
    fn wake_at(&mut self, secs: i64) {
        self.wake(secs.saturating_mul(1_000));
    }

    fn wake(&mut self, ms: i64) {
        if ms > self.snapshot.now_ms {
            self.plan.wake_ms = Some(self.plan.wake_ms.map_or(ms, |wake| wake.min(ms)));
        }
    }

    /// The cluster's time in Unix seconds, as the program counts it.
    fn now(&self) -> i64 {
        self.snapshot.now_ms.div_euclid(1_000)
    }
}
