//! Seats, votes and the closing of rounds.

use std::collections::{BTreeMap, BTreeSet};

use leasehold::error::LeaseholdError::*;

use super::{Board, Model, Outcome, Refusal, Rules, Who, market::claim, require};

/// A seat that a keeper holds.
#[derive(Clone, Debug)]
pub struct Seat {
    pub keeper: Who,
    pub bond: u64,
    pub earned: u64,
    /// Last round voted on, at first the round in which the seat was taken.
    pub last_round: u32,
    pub submissions: u32,
}

/// The round that is being voted on.
#[derive(Clone, Debug)]
pub struct Voting {
    pub round: u32,
    /// Votes by seat: true is up.
    pub votes: BTreeMap<u8, Vec<bool>>,
}

impl Voting {
    /// Number of votes that a machine was up.
    pub fn ones(&self, machine: usize) -> usize {
        self.votes.values().filter(|vote| vote.get(machine).copied().unwrap_or_default()).count()
    }
}

fn bits(bitmap: &[u8]) -> Vec<bool> {
    bitmap.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect()
}

impl Board {
    fn seat(&self, seat: u8) -> Result<Option<&Seat>, Vec<Refusal>> {
        let seat = self.seats.get(usize::from(seat)).ok_or_else(|| vec![Refusal::Rule(NoSuchSeat)])?;
        Ok(seat.as_ref())
    }

    fn has_voted(&self, seat: u8) -> bool {
        self.voting.as_ref().is_some_and(|voting| voting.votes.contains_key(&seat))
    }
}

impl Model {
    /// Last second in which votes on a round are accepted.
    fn submit_end(&self, round: u32) -> i64 {
        self.round_end(round) + i64::from(self.market.rules.submit_secs)
    }

    pub(super) fn take_seat(&mut self, by: Who, board: u32, seat: u8) -> Outcome {
        self.keeper_mut(by)?;
        let bond = self.market.params.keeper_bond;
        let state = self.board(board)?;
        let mut rules = Rules::default();
        rules.require(state.seats.iter().flatten().all(|seat| seat.keeper != by), SecondSeat);
        rules.require(self.keepers[&by].free >= bond, InsufficientStake);
        match state.seat(seat) {
            Ok(held) => rules.require(held.is_none(), SeatTaken),
            Err(_) => rules.require(false, NoSuchSeat),
        }
        rules.hold()?;
        self.keeper_mut(by)?.free -= bond;
        let last_round = self.round();
        let taken = Seat { keeper: by, bond, earned: 0, last_round, submissions: 0 };
        self.board_mut(board)?.seats[usize::from(seat)] = Some(taken);
        Ok(())
    }

    pub(super) fn leave_seat(&mut self, by: Who, keeper: Who, board: u32, seat: u8) -> Outcome {
        self.keeper_mut(keeper)?;
        let state = self.board(board)?;
        let Some(held) = state.seat(seat)? else { return Err(vec![Refusal::Rule(SeatVacant)]) };
        let mut rules = Rules::default();
        rules.require(held.keeper == keeper, WrongKeeper);
        let idle = self.now > self.idle_from(held);
        rules.require(by == keeper || idle, SeatInUse);
        rules.require(!state.has_voted(seat), VoteNotCounted);
        rules.require(held.earned == 0, FeesLeft);
        rules.hold()?;
        let bond = held.bond;
        self.board_mut(board)?.seats[usize::from(seat)] = None;
        self.keeper_mut(keeper)?.free += bond;
        Ok(())
    }

    /// Last second in which a seat can't be vacated by others: a day or two rounds after its last vote, whichever is
    /// longer.
    pub fn idle_from(&self, seat: &Seat) -> i64 {
        self.round_end(seat.last_round) + (2 * i64::from(self.market.rules.round_secs)).max(86_400)
    }

    pub(super) fn submit_round(
        &mut self,
        by: Who,
        board: u32,
        seat: u8,
        round: u32,
        bitmap: &[u8],
    ) -> Outcome {
        let state = self.board(board)?;
        let held = state.seat(seat)?;
        let mut rules = Rules::default();
        rules.require(held.is_some_and(|held| held.keeper == by), WrongKeeper);
        let has_ended = self.round() == round + 1;
        rules.require(has_ended && self.now <= self.submit_end(round), OutsideSubmitWindow);
        rules.require(round >= state.next_round, RoundClosed);
        let other = state.voting.as_ref().is_some_and(|voting| voting.round != round);
        rules.require(!other, EarlierRoundOpen);
        let machines = state.size_at(self.round());
        let votes = bits(bitmap);
        rules.require(bitmap.len() == machines.div_ceil(8), BitmapLength);
        rules.require(votes.iter().skip(machines).all(|bit| !bit), BitmapPadding);
        rules.require(!state.has_voted(seat), AlreadySubmitted);
        rules.hold()?;
        let state = self.board_mut(board)?;
        let voting = state.voting.get_or_insert_with(|| Voting { round, votes: BTreeMap::new() });
        voting.votes.insert(seat, votes);
        let held = state.seats[usize::from(seat)].as_mut().expect("checked");
        held.last_round = round;
        held.submissions += 1;
        Ok(())
    }

    /// The first round on which somebody may still vote.
    fn first_votable(&self) -> u32 {
        let mut round = self.round();
        while self.now <= self.submit_end(round) {
            let Some(earlier) = round.checked_sub(1) else { return 0 };
            round = earlier;
        }
        round + 1
    }

    pub(super) fn close_round(&mut self, board: u32) -> Outcome {
        let first_votable = self.first_votable();
        let state = self.board(board)?;
        let Some(voting) = state.voting.clone() else {
            require(first_votable > state.next_round, NothingToClose)?;
            self.board_mut(board)?.next_round = first_votable;
            return Ok(());
        };
        let seats = (0u8..).zip(&state.seats);
        let mut held = seats.filter(|(_, seat)| seat.is_some()).map(|(index, _)| index);
        let everybody = held.all(|seat| voting.votes.contains_key(&seat));
        require(everybody || self.now > self.submit_end(voting.round), NothingToClose)?;

        let rules = self.market.rules;
        let fee = self.market.params.keeper_fee;
        let state = self.board_mut(board)?;
        state.judge(&voting, rules.threshold.into(), rules.abandon_rounds.into());
        if voting.votes.len() >= usize::from(rules.threshold) {
            let voters = u64::try_from(voting.votes.len()).expect("few");
            let fee = fee.min(state.keeper_pool / voters);
            for seat in voting.votes.keys() {
                state.seats[usize::from(*seat)].as_mut().expect("still held").earned += fee;
            }
            state.keeper_pool -= fee * voters;
        }
        state.voters.insert(voting.round, voting.votes.keys().copied().collect::<BTreeSet<_>>());
        state.next_round = voting.round + 1;
        state.voting = None;
        Ok(())
    }

    pub(super) fn claim_keeper_fees(&mut self, by: Who, board: u32, seat: u8, to: Who) -> Outcome {
        let state = self.board_mut(board)?;
        state.seat(seat)?;
        let Some(held) = &mut state.seats[usize::from(seat)] else {
            return Err(vec![Refusal::Rule(WrongDestination), Refusal::Rule(NothingToWithdraw)]);
        };
        let amount = held.earned;
        claim(by, held.keeper, to, amount)?;
        held.earned = 0;
        self.wallet_mut(to).payments += amount;
        Ok(())
    }
}

impl Board {
    /// Adds the verdict of each machine.
    fn judge(&mut self, voting: &Voting, threshold: usize, abandon_rounds: u32) {
        let (round, submitted) = (voting.round, voting.votes.len());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(machine) = &mut slot.machine else { continue };
            if machine.attested_from.is_none_or(|first| round < first) {
                continue;
            }
            let ones = voting.ones(index);
            if ones >= threshold {
                machine.verdicts.insert(round, true);
            } else if submitted - ones >= threshold {
                machine.verdicts.insert(round, false);
                machine.note_abandonment(round, abandon_rounds);
            }
        }
    }
}

impl super::Machine {
    /// Marks a machine that was down in `abandon_rounds` rounds in a row, all within its lease. `round` is the last of
    /// them.
    fn note_abandonment(&mut self, round: u32, abandon_rounds: u32) {
        let Some(stint) = &mut self.stint else { return };
        let first = (round + 1).checked_sub(abandon_rounds);
        let in_lease = first.is_some_and(|first| first >= stint.from) && round < stint.until;
        let all_down = || (0..abandon_rounds).all(|past| self.verdicts.get(&(round - past)) == Some(&false));
        if in_lease && all_down() {
            stint.abandoned = true;
        }
    }
}
