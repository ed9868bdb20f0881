//! Rounds: when they are voted on and closed, what a vote must be, and how votes become verdicts.

use anchor_lang::prelude::*;

pub use crate::math::rounds::{at, end, start};

use crate::{
    constants::{POOL_SECS, WEEK_SECS},
    error::LeaseholdError,
    math::{
        add, add32,
        slashing::abandon_allowance,
        sub,
        tally::{self, Quorum, Verdicts},
    },
    rules::lease::{blame_rounds, bound_until},
    state::{Board, Params, Slot, SlotState, Tally, ring_bit, ring_mask},
};

/// A round that can be voted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    pub round: u32,
    /// Slots that a vote covers: as many as there were when the round ended.
    pub slots: u32,
    /// Bit for each seat that has voted on it already.
    pub submitted: u16,
}

impl Ballot {
    /// True if the seat has voted already.
    pub fn has_voted(&self, seat: u8) -> bool {
        self.submitted.checked_shr(u32::from(seat)).is_some_and(|mask| mask & 1 == 1)
    }
}

/// Bytes of the bitmap of a vote that covers so many slots.
pub const fn bitmap_len(slots: u32) -> usize {
    slots.div_ceil(8) as usize
}

/// Seconds in which a round runs and can be voted on, all of them inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub round: u32,
    /// First and last Unix second of the round.
    pub begins: i64,
    pub ends: i64,
    /// First and last Unix second at which a vote on it is taken.
    pub opens: i64,
    pub closes: i64,
}

/// Last Unix second of a round's submit window.
#[inline(always)]
fn submit_ends(board: &Board, round: u32) -> i64 {
    board.round_end(round).saturating_add(i64::from(board.submit_secs))
}

/// When a round runs and is voted on.
pub fn window(board: &Board, round: u32) -> Window {
    let opens = board.round_end(round);
    let round_secs = i64::from(board.round_secs);
    // A vote is taken only while the next round runs, which ends a second before a submit window of the same length.
    let next_ends = opens.saturating_add(round_secs).saturating_sub(1);
    let closes = submit_ends(board, round).min(next_ends);
    Window { round, begins: opens.saturating_sub(round_secs), ends: opens.saturating_sub(1), opens, closes }
}

/// The vote that can be given on a round at Unix time `now`. Refused unless the round ended last, its submit window is open,
/// it is not closed, and no votes on an earlier round wait to be counted.
#[inline(always)]
pub fn ballot(board: &Board, round: u32, now: i64) -> Result<Ballot> {
    let running = board.round_at(now)?;
    let in_window = round.checked_add(1) == Some(running) && now <= submit_ends(board, round);
    require!(in_window, LeaseholdError::OutsideSubmitWindow);
    require!(round >= board.next_round, LeaseholdError::RoundClosed);
    let is_voting = board.is_voting();
    require!(!is_voting || board.tally.round == round, LeaseholdError::EarlierRoundOpen);
    Ok(Ballot { round, slots: board.slots_at(running), submitted: board.tally.submitted })
}

/// Counts a seat's vote on the round that ended last.
pub fn submit(
    board: &mut Board,
    seat: u8,
    round: u32,
    pong_root: [u8; 32],
    bitmap: &[u8],
    now: i64,
) -> Result<()> {
    let ballot = ballot(board, round, now)?;
    require!(bitmap.len() == bitmap_len(ballot.slots), LeaseholdError::BitmapLength);
    require!(tally::is_padded(bitmap, ballot.slots), LeaseholdError::BitmapPadding);
    require!(!ballot.has_voted(seat), LeaseholdError::AlreadySubmitted);

    let Tally { round: voted, submitted, planes, .. } = &mut board.tally;
    *voted = round;
    *submitted |= 1u16.wrapping_shl(u32::from(seat));
    tally::add_vote(planes, bitmap);

    let seat = board.seat_mut(seat)?;
    seat.pong_root = pong_root;
    seat.last_round = round;
    seat.submissions = seat.submissions.wrapping_add(1);
    Ok(())
}

/// Effect of closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Skips all rounds before this one: nobody voted on them, and their submit windows are over.
    Skip(u32),
    /// Skips the rounds before this one, and counts the votes on it.
    Count(u32),
}

impl Closing {
    /// First round that is not closed then.
    pub fn next_round(&self) -> Option<u32> {
        match self {
            Closing::Skip(until) => Some(*until),
            Closing::Count(round) => round.checked_add(1),
        }
    }
}

/// Last Unix second until which the waiting votes are counted only if every seat has voted; `None` if no vote waits.
pub fn count_waits_until(board: &Board) -> Option<i64> {
    board.is_voting().then(|| submit_ends(board, board.tally.round))
}

/// Effect of closing at Unix time `now`. Votes are counted once every seat has voted or the submit window is over.
/// Without votes, every round whose submit window is over is skipped.
#[inline(always)]
pub fn closing(board: &Board, now: i64) -> Result<Closing> {
    let Some(waits_until) = count_waits_until(board) else {
        let over = board.round_at(now.saturating_sub(i64::from(board.submit_secs)).saturating_sub(1))?;
        require!(over > board.next_round, LeaseholdError::NothingToClose);
        return Ok(Closing::Skip(over));
    };
    let everybody = board.tally.submitted & board.taken_seats() == board.taken_seats();
    require!(everybody || now > waits_until, LeaseholdError::NothingToClose);
    Ok(Closing::Count(board.tally.round))
}

/// Closes what can be closed, under the market's parameters.
#[inline(always)]
pub fn close(board: &mut Board, slots: &mut [Slot], params: &Params, now: i64) -> Result<()> {
    match closing(board, now)? {
        Closing::Skip(until) => board.pass_over(until),
        Closing::Count(round) => {
            board.pass_over(round);
            let next_round = add32(round, 1)?;
            let submitted = board.tally.submitted;
            if is_quorate(submitted, board.up_votes) {
                let lost = record(board, slots, round);
                board.ledger.slash(lost)?;
                pay_keepers(board, params)?;
            } else {
                board.pass_over(next_round);
            }
            if let Some(votes) = board.votes.get_mut(ring_bit(round) as usize) {
                *votes = submitted;
            }
            bytemuck::bytes_of_mut(&mut board.tally).fill(0);
            board.next_round = next_round;
        }
    }
    // A new number counts for the rounds after this, whoever closes it.
    board.up_votes = params.up_votes;
    Ok(())
}

/// True if enough seats voted that a machine could be up: its keepers are paid, and a machine without a verdict was unseen.
pub fn is_quorate(submitted: u16, up_votes: u8) -> bool {
    submitted.count_ones() >= u32::from(up_votes)
}

/// Writes the verdicts of a quorate round into counters and histories. Returns the stake units of bound machines that were
/// abandoned. Apart from its caller, so that the loop has the registers.
#[inline(never)]
fn record(board: &mut Board, slots: &mut [Slot], round: u32) -> u64 {
    let bit = 1u64.wrapping_shl(ring_bit(round));
    board.quorate |= bit;
    board.last_quorate = round;
    let board = &*board;
    let mut pass = Pass {
        board,
        round,
        bit,
        quorate: board.quorate,
        abandon_rounds: u32::from(board.abandon_rounds),
        round_secs: board.round_secs,
        sla_bps: board.sla_bps,
        blame_rounds: blame_rounds(board),
        lost: 0,
    };
    let quorum = Quorum::new(board.tally.submitted.count_ones(), board.up_votes, board.threshold);
    for (index, chunk) in slots.chunks_mut(64).enumerate() {
        pass.over(chunk, quorum.verdicts(&board.tally.planes, index));
    }
    pass.lost
}

/// What the loop over the machines knows of the round that is closed.
struct Pass<'a> {
    board: &'a Board,
    round: u32,
    /// The round's bit in the histories.
    bit: u64,
    /// Remembered quorate rounds, this one included.
    quorate: u64,
    abandon_rounds: u32,
    round_secs: u32,
    sla_bps: u16,
    /// Rounds before its end in which a machine that is down is not blameless.
    blame_rounds: u32,
    /// Stake units that bound machines lost.
    lost: u64,
}

impl Pass<'_> {
    /// Writes the verdicts of 64 machines. Most are up, so runs of those have a loop of their own.
    fn over(&mut self, mut slots: &mut [Slot], Verdicts { mut up, mut down }: Verdicts) {
        loop {
            let run = (up.trailing_ones() as usize).min(slots.len());
            let (ups, others) = slots.split_at_mut(run);
            for slot in ups {
                self.up(slot);
            }
            let Some((slot, rest)) = others.split_first_mut() else { return };
            // A slot is left, so the run is shorter than a word.
            down >>= run;
            if down & 1 != 0 {
                self.down(slot);
            } else {
                self.unseen(slot);
            }
            (up, down) = ((up >> run) >> 1, down >> 1);
            slots = rest;
        }
    }

    #[inline(always)]
    fn is_leased(&self, slot: &Slot) -> bool {
        self.round >= slot.lease_from && self.round < slot.lease_until
    }

    #[inline(always)]
    fn up(&self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.skip(slot);
        }
        slot.history_up |= self.bit;
        slot.up = slot.up.wrapping_add(1);
        if self.is_leased(slot) {
            slot.lease_up = slot.lease_up.wrapping_add(1);
        }
    }

    #[inline(always)]
    fn down(&mut self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.skip(slot);
        }
        slot.history_up &= !self.bit;
        slot.history_down |= self.bit;
        slot.down = slot.down.wrapping_add(1);
        if self.is_leased(slot) {
            slot.lease_down = slot.lease_down.wrapping_add(1);
            if slot.lease != 0 {
                self.down_in_lease(slot);
            }
        }
        let was_left = slot.lease != 0 && slot.has(Slot::LEFT) && self.round >= slot.lease_until;
        if was_left || slot.has(Slot::BOUND) {
            self.down_while_bound(slot, was_left);
        }
    }

    #[inline(always)]
    fn unseen(&self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.skip(slot);
        }
        self.skip(slot);
        slot.unseen = slot.unseen.wrapping_add(1);
        if self.is_leased(slot) {
            slot.lease_unseen = slot.lease_unseen.wrapping_add(1);
        }
    }

    /// Clears what a slot without a verdict had 64 rounds ago.
    #[inline(always)]
    fn skip(&self, slot: &mut Slot) {
        slot.history_up &= !self.bit;
        slot.history_down &= !self.bit;
    }

    /// Marks a leased machine that is abandoned with this round, and one that was down in the hour before its owner left.
    #[inline(always)]
    fn down_in_lease(&self, slot: &mut Slot) {
        if slot.has(Slot::LEFT) && self.round.saturating_add(self.blame_rounds) >= slot.lease_until {
            slot.flags |= Slot::DARK;
        }
        let agreed = slot.lease_agreed.wrapping_sub(slot.lease_from);
        if slot.lease_down > abandon_allowance(agreed, self.round_secs, self.sla_bps) {
            let promised = self.round.wrapping_sub(slot.lease_from).saturating_add(1);
            if self.is_abandoned(slot, promised) {
                slot.flags |= Slot::ABANDONED;
            }
        }
    }

    /// Counts a round down of a bound machine, also of one that will be bound when the lease is settled which its owner left.
    /// If it is abandoned with this round, it loses its whole bond: at once, unless it serves another lease; then when that is
    /// settled.
    #[inline(never)]
    fn down_while_bound(&mut self, slot: &mut Slot, was_left: bool) {
        let left_until = if was_left { bound_until(self.board, slot) } else { 0 };
        if !slot.is_bound(self.round) && self.round >= left_until {
            return;
        }
        slot.bound_down = slot.bound_down.saturating_add(1);
        let allowed = abandon_allowance(0, self.round_secs, self.sla_bps);
        if u32::from(slot.bound_down) <= allowed || !self.is_abandoned(slot, u64::BITS) {
            return;
        }
        slot.flags &= !Slot::BOUND;
        if slot.lease != 0 && !was_left {
            slot.flags |= Slot::ABANDONED;
            return;
        }
        // No more than all bonds of the board, whose sum fits.
        self.lost = self.lost.wrapping_add(core::mem::take(&mut slot.bond));
        if slot.lease != 0 {
            slot.flags |= Slot::FADED;
        } else if !slot.is(SlotState::Barred) {
            slot.state = SlotState::Suspended as u8;
        }
    }

    /// True if the machine was down in so many of the last 64 rounds, `promised` at most, that it is abandoned.
    #[inline(always)]
    fn is_abandoned(&self, slot: &Slot, promised: u32) -> bool {
        let rounds = ring_mask(self.round.wrapping_add(1), promised);
        let down = slot.history_down & !slot.history_up & self.quorate & rounds;
        down.count_ones() >= self.abandon_rounds
    }
}

/// Payment units that a vote in the next quorate round is paid: the pool's part of a week's votes, between the market's least
/// and most fee, as far as the pool reaches for all seats that are held.
pub fn fee_per_vote(board: &Board, params: &Params) -> u64 {
    let held = u64::from(board.taken_seats().count_ones());
    let pool = board.ledger.keeper_pool;
    let week = u64::from(board.seat_count).saturating_mul(u64::from(board.rounds_in(WEEK_SECS)));
    let fair = pool.checked_div(week).unwrap_or_default();
    let fee = fair.max(params.keeper_fee).min(params.keeper_fee_max);
    pool.checked_div(held).unwrap_or_default().min(fee)
}

/// Payment units that a board's keeper pool holds at most: four weeks of the highest fee.
pub fn pool_at_most(board: &Board, params: &Params) -> u64 {
    let votes = u64::from(board.seat_count).saturating_mul(u64::from(board.rounds_in(POOL_SECS)));
    votes.saturating_mul(params.keeper_fee_max)
}

/// Pays every seat that voted in a quorate round, however it voted. As much for each held seat that did not vote is burned,
/// so that nobody gains by keeping a keeper from voting; and so is what the pool holds beyond its bound.
fn pay_keepers(board: &mut Board, params: &Params) -> Result<()> {
    let fee = fee_per_vote(board, params);
    let held = board.taken_seats();
    let mut voted = board.tally.submitted;
    let (mut paid, mut burned) = (0u64, 0u64);
    let mut holding = held | voted;
    for seat in &mut board.seats {
        if holding & 1 == 1 {
            if voted & 1 == 1 {
                seat.earned = add(seat.earned, fee)?;
                paid = add(paid, fee)?;
            } else {
                burned = add(burned, fee)?;
            }
        }
        (holding, voted) = (holding >> 1, voted >> 1);
    }
    let pool = sub(sub(board.ledger.keeper_pool, paid)?, burned)?;
    let overflow = pool.saturating_sub(pool_at_most(board, params));
    board.ledger.keeper_fees = add(board.ledger.keeper_fees, paid)?;
    board.ledger.keeper_pool = sub(pool, overflow)?;
    board.ledger.burning = add(board.ledger.burning, add(burned, overflow)?)?;
    Ok(())
}

/// Adds to a board's keeper pool.
pub fn fund(board: &mut Board, amount: u64) -> Result<()> {
    require!(amount > 0, LeaseholdError::AmountIsZero);
    board.ledger.keeper_pool = add(board.ledger.keeper_pool, amount)?;
    Ok(())
}
