//! Seats, votes, the closing of rounds and keepers' pay.

use std::collections::{BTreeMap, BTreeSet};

use leasehold::error::LeaseholdError::*;

use super::{Board, Machine, Model, Outcome, Refusal, Rules, Verdict, Who, market::claim, naive, require};

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
    pub fn submit_end(&self, board: u32, round: u32) -> i64 {
        self.round_end(board, round) + i64::from(self.market.rules.submit_secs)
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
        let last_round = self.round(board);
        let taken = Seat { keeper: by, bond, earned: 0, last_round, submissions: 0 };
        self.board_mut(board)?.seats[usize::from(seat)] = Some(taken);
        Ok(())
    }

    pub(super) fn leave_seat(
        &mut self,
        by: Who,
        keeper: Who,
        board: u32,
        seat: u8,
        forfeit_fees: bool,
    ) -> Outcome {
        self.keeper_mut(keeper)?;
        let state = self.board(board)?;
        let Some(held) = state.seat(seat)?.cloned() else { return Err(vec![Refusal::Rule(SeatVacant)]) };
        let mut rules = Rules::default();
        rules.require(held.keeper == keeper, WrongKeeper);
        rules.require(by == keeper || self.now > self.idle_from(board, &held), SeatInUse);
        rules.require(!state.has_voted(seat), VoteNotCounted);
        let forfeits = if by == keeper { forfeit_fees } else { self.now > self.lost_from(board, &held) };
        rules.require(held.earned == 0 || forfeits, FeesLeft);
        rules.hold()?;
        let state = self.board_mut(board)?;
        state.seats[usize::from(seat)] = None;
        state.keeper_pool += held.earned;
        self.keeper_mut(keeper)?.free += held.bond;
        Ok(())
    }

    /// Last second in which a seat can't be vacated by others: a day or two rounds after its last vote, whichever is
    /// longer.
    pub fn idle_from(&self, board: u32, seat: &Seat) -> i64 {
        self.round_end(board, seat.last_round) + (2 * i64::from(self.market.rules.round_secs)).max(86_400)
    }

    /// Last second in which it can't be vacated by others while its fees are not claimed.
    pub fn lost_from(&self, board: u32, seat: &Seat) -> i64 {
        self.round_end(board, seat.last_round) + 30 * 86_400
    }

    pub(super) fn submit_round(
        &mut self,
        by: Who,
        board: u32,
        seat: u8,
        round: u32,
        bitmap: &[u8],
    ) -> Outcome {
        let running = self.round(board);
        let state = self.board(board)?;
        let held = state.seat(seat)?;
        let mut rules = Rules::default();
        rules.require(held.is_some_and(|held| held.keeper == by), WrongKeeper);
        let has_ended = running == round + 1;
        rules.require(has_ended && self.now <= self.submit_end(board, round), OutsideSubmitWindow);
        rules.require(round >= state.next_round, RoundClosed);
        let other = state.voting.as_ref().is_some_and(|voting| voting.round != round);
        rules.require(!other, EarlierRoundOpen);
        let machines = state.size_at(running);
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
    fn first_votable(&self, board: u32) -> u32 {
        let mut round = self.round(board);
        while self.now <= self.submit_end(board, round) {
            let Some(earlier) = round.checked_sub(1) else { return 0 };
            round = earlier;
        }
        round + 1
    }

    pub(super) fn close_round(&mut self, board: u32) -> Outcome {
        self.board(board)?;
        let first_votable = self.first_votable(board);
        let state = self.board(board)?;
        let Some(voting) = state.voting.clone() else {
            require(first_votable > state.next_round, NothingToClose)?;
            let up_votes = self.market.params.up_votes;
            let state = self.board_mut(board)?;
            (state.next_round, state.up_votes) = (first_votable, up_votes);
            return Ok(());
        };
        let seats = (0u8..).zip(&state.seats);
        let mut held = seats.filter(|(_, seat)| seat.is_some()).map(|(index, _)| index);
        let everybody = held.all(|seat| voting.votes.contains_key(&seat));
        require(everybody || self.now > self.submit_end(board, voting.round), NothingToClose)?;

        let up_votes = usize::from(state.up_votes);
        if voting.votes.len() >= up_votes {
            let rules = self.market.rules;
            let state = self.board_mut(board)?;
            state.quorate.insert(voting.round);
            state.judge(&voting, up_votes, &rules);
            self.pay_keepers(board, &voting);
        }
        // A new number of votes counts for the rounds after this.
        let up_votes = self.market.params.up_votes;
        let state = self.board_mut(board)?;
        state.up_votes = up_votes;
        state.voters.insert(voting.round, voting.votes.keys().copied().collect::<BTreeSet<_>>());
        state.next_round = voting.round + 1;
        state.voting = None;
        Ok(())
    }

    /// Pays each seat that voted; as much for each other seat that is held is burned, and what the pool holds beyond four
    /// weeks of the highest fee.
    fn pay_keepers(&mut self, board: u32, voting: &Voting) {
        let (rules, params) = (self.market.rules, &self.market.params);
        let (least, most) = (u128::from(params.keeper_fee), u128::from(params.keeper_fee_max));
        let votes_in =
            |secs: u32| u128::from(rules.seats) * u128::from(naive::rounds_in(rules.round_secs, secs));
        let state = self.boards.get_mut(&board).expect("exists");
        let held = state.seats.iter().flatten().count() as u128;
        let pool = u128::from(state.keeper_pool);
        let fee = (pool / votes_in(naive::WEEK)).max(least).min(most).min(pool / held);
        let paid = fee * voting.votes.len() as u128;
        for seat in voting.votes.keys() {
            state.seats[usize::from(*seat)].as_mut().expect("still held").earned += naive::narrow(fee);
        }
        let left = pool - fee * held;
        let kept = left.min(votes_in(4 * naive::WEEK) * most);
        state.keeper_pool = naive::narrow(kept);
        state.burning += naive::narrow(pool - paid - kept);
    }

    pub(super) fn fund_keepers(&mut self, by: Who, board: u32, amount: u64) -> Outcome {
        self.board(board)?;
        let mut rules = Rules::default();
        rules.require(amount > 0, AmountIsZero);
        let pool = self.boards[&board].keeper_pool;
        rules.require(pool.checked_add(amount).is_some(), MathOverflow);
        rules.require_or(amount <= self.wallet(by).payments, Refusal::Tokens);
        rules.hold()?;
        self.wallet_mut(by).payments -= amount;
        self.board_mut(board)?.keeper_pool += amount;
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
    fn judge(&mut self, voting: &Voting, up_votes: usize, rules: &leasehold::state::RoundRules) {
        let (round, submitted) = (voting.round, voting.votes.len());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(machine) = &mut slot.machine else { continue };
            if machine.attested_from.is_none_or(|first| round < first) {
                continue;
            }
            let ones = voting.ones(index);
            let verdict = if ones >= up_votes {
                Verdict::Up
            } else if submitted - ones >= usize::from(rules.threshold) {
                Verdict::Down
            } else {
                Verdict::Unseen
            };
            machine.verdicts.insert(round, verdict);
            if verdict == Verdict::Down {
                machine.note_abandonment(round, rules);
                let stint = machine.stint.filter(|stint| stint.left.is_some() && round >= stint.until);
                let pending = stint.map(|stint| {
                    let lease = self.leases.values().find(|lease| lease.serial == stint.serial);
                    stint.until + lease.expect("its account exists").reckon(machine, &stint).bound
                });
                self.slashed += machine.note_abandonment_while_bound(round, pending, rules);
            }
        }
    }
}

impl Machine {
    /// Rounds down of the last 64 before round `until`, none before round `first`.
    fn lately_down(&self, first: u32, until: u32) -> u32 {
        self.count(first.max(until.saturating_sub(64)), until).down
    }

    /// Marks a machine that is abandoned with round `round` of its lease.
    fn note_abandonment(&mut self, round: u32, rules: &leasehold::state::RoundRules) {
        let Some(stint) = self.stint.filter(|stint| (stint.from..stint.until).contains(&round)) else {
            return;
        };
        let promised = (stint.agreed - stint.from).max(naive::rounds_in(rules.round_secs, naive::WEEK));
        let is_abandoned = self.count(stint.from, round + 1).down > naive::allow(promised, rules.sla_bps)
            && self.lately_down(stint.from, round + 1) >= u32::from(rules.abandon_rounds);
        if is_abandoned && let Some(stint) = &mut self.stint {
            stint.abandoned = true;
        }
    }

    /// Marks a bound machine that is abandoned with round `round`. `pending`: its owner left it before that round, and its
    /// settlement will bind it until then. Returns the stake that it loses at once, unless it serves a lease.
    fn note_abandonment_while_bound(
        &mut self,
        round: u32,
        pending: Option<u32>,
        rules: &leasehold::state::RoundRules,
    ) -> u64 {
        if !self.is_bound(round) && pending.is_none_or(|until| round >= until) {
            return 0;
        }
        let left = self.stint.map_or(0, |stint| stint.until);
        let from = self.bound.map_or(left, |bound| bound.from);
        let week = naive::rounds_in(rules.round_secs, naive::WEEK);
        let is_abandoned = self.count(from, round + 1).down > naive::allow(week, rules.sla_bps)
            && self.lately_down(0, round + 1) >= u32::from(rules.abandon_rounds);
        if !is_abandoned {
            return 0;
        }
        self.bound = None;
        match &mut self.stint {
            Some(stint) if pending.is_some() => stint.faded = true,
            Some(stint) => {
                stint.abandoned = true;
                return 0;
            }
            None => self.suspended = !self.barred,
        }
        std::mem::take(&mut self.bond)
    }
}
