//! Plans probing, voting and closing on one board.

use std::{sync::Arc, time::Duration};

use leasehold::{
    constants::HISTORY_ROUNDS,
    rules::{claim::due, seat::idle_secs},
    state::Board,
};
use leasehold_client::{
    probe::cluster,
    rounds::{self, Ballot, Window},
};

use super::{Action, Planner, leases::waits_for};
use crate::{memory::Answers, prober::ProbeReport, snapshot::BoardSnapshot};

/// A vote is given at least so long to be confirmed, however short its window is.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// True if rounds can and should be closed at Unix time `now`. Votes are counted as soon as possible; rounds without
/// votes are skipped only when a lease waits for that, or the whole history is out of date.
pub(super) fn can_close(board: &BoardSnapshot, now: i64) -> bool {
    let header = &board.header;
    let Some(next) = rounds::closable(header, now) else { return false };
    let behind = next.saturating_sub(header.next_round) as usize;
    header.is_voting() || waits_for(board, next) || behind >= HISTORY_ROUNDS
}

impl Planner<'_> {
    /// Plans a vote on the round that ended last. If no machine gets a verdict, the keeper votes just often enough to keep
    /// its seat.
    pub(super) fn submit_round(&mut self, board: &BoardSnapshot, seat: u8) {
        let header = &board.header;
        // The next vote opens when the round that runs now ends.
        self.wake_at(rounds::window(header, self.running(board)).opens);
        let ballot = rounds::ballot(header, self.now()).filter(|ballot| !ballot.has_voted(seat));
        let Some(Ballot { round, slots, .. }) = ballot else { return };
        let answers = match self.memory.answers(&board.board.address, round) {
            Some(answers) => Arc::clone(answers),
            None if self.policy.probe && self.has_nobody_to_judge(board) && self.is_overdue(header, seat) => {
                Arc::new(Answers { report: ProbeReport { round, ..ProbeReport::default() }, fault: None })
            }
            None => return,
        };
        if answers.fault.is_none() {
            let Window { opens, closes, .. } = rounds::window(header, round);
            let secs = u64::try_from(closes.saturating_sub(opens)).unwrap_or_default();
            let patience = (Duration::from_secs(secs) / 4).max(LEAST_PATIENCE);
            self.propose(Action::SubmitRound { board: board.board, seat, round, slots, answers, patience });
        }
    }

    /// True if no machine gets a verdict in the running round. Then no machine got one in the round before either:
    /// machines get verdicts from some round on.
    fn has_nobody_to_judge(&self, board: &BoardSnapshot) -> bool {
        let round = self.running(board);
        board.fleet.as_ref().is_some_and(|fleet| fleet.round == round && fleet.targets.is_empty())
    }

    /// True if a seat has not voted for a third of the time after which anybody may vacate it.
    fn is_overdue(&self, header: &Board, seat: u8) -> bool {
        let voted = header.seat(seat).map(|seat| header.round_end(seat.last_round));
        voted.is_ok_and(|voted| self.now().saturating_sub(voted) > idle_secs(header) / 3)
    }

    /// Plans to probe every machine that gets a verdict in the round that runs.
    pub(super) fn probe_round(&mut self, board: &BoardSnapshot) {
        let header = &board.header;
        let round = self.running(board);
        let Some(fleet) = board.fleet.as_ref().filter(|fleet| fleet.round == round) else { return };
        let address = board.board.address;
        if !self.policy.probe || fleet.targets.is_empty() || self.memory.answers(&address, round).is_some() {
            return;
        }
        let left_ms = header.round_end(round).saturating_mul(1_000).saturating_sub(self.snapshot.now_ms);
        let round_ms = i64::from(header.round_secs).saturating_mul(1_000);
        // The cluster may be a little ahead of the estimate.
        let margin_ms = (round_ms / 10).min(3_000);
        // A hasty round would call machines down that only lost a packet.
        let least_ms = (round_ms / 4).min(15_000);
        let time_ms = left_ms.saturating_sub(margin_ms);
        if time_ms >= least_ms {
            self.propose(Action::ProbeRound {
                board: board.board,
                round,
                cluster: cluster(&header.genesis),
                targets: Arc::clone(&fleet.targets),
                time: Duration::from_millis(time_ms.unsigned_abs()).min(self.policy.probe_for),
                ends: header.round_end(round),
            });
        }
    }

    pub(super) fn claim_keeper_fees(&mut self, board: &BoardSnapshot, seat: u8) {
        let Some(least) = self.policy.claim_fees else { return };
        let earned = board.header.seat(seat).and_then(|seat| due(seat.earned));
        if earned.is_ok_and(|earned| earned >= least) {
            self.propose(Action::ClaimKeeperFees { board: board.board, seat });
        }
    }

    /// Plans to count the votes, or to skip rounds without any.
    pub(super) fn close_round(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        let header = &board.header;
        if let Some(counted_from) = rounds::counted_from(header) {
            self.wake_at(counted_from);
        }
        if can_close(board, self.now()) {
            let action = Action::CloseRound { board: board.board, next_round: header.next_round };
            self.propose_in_turn(action, board, seat, header.next_round);
        }
    }

    fn running(&self, board: &BoardSnapshot) -> u32 {
        board.round_at(self.now())
    }
}
