use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::{
        add, sub,
        tally::{Quorum, Verdicts},
    },
    state::{Board, Market, Slot, ring_bit, split_mut},
};

#[derive(Accounts)]
pub struct CloseRound<'info> {
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
}

/// Counts the round that was voted on and steps over those before it that nobody voted on; where no vote
/// waits, steps over every round whose time to submit is over. Anybody may.
pub fn close_round(ctx: Context<CloseRound>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let now = now()?;
    let info = ctx.accounts.board.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    if !board.is_voting() {
        let over = board.round_at(now.saturating_sub(i64::from(board.submit_secs)).saturating_sub(1))?;
        require!(over > board.next_round, LeaseholdError::NothingToClose);
        board.pass_over(over);
        return Ok(());
    }
    let round = board.tally.round;
    let everybody = board.tally.submitted & board.taken_seats() == board.taken_seats();
    let over = now > board.round_end(round).saturating_add(i64::from(board.submit_secs));
    require!(everybody || over, LeaseholdError::NothingToClose);

    board.pass_over(round);
    record(board, slots, round);
    pay_keepers(board, ctx.accounts.market.params.keeper_fee)?;
    bytemuck::bytes_of_mut(&mut board.tally).fill(0);
    board.next_round = round.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    Ok(())
}

/// Writes the verdicts of a round into counters and history.
fn record(board: &mut Board, slots: &mut [Slot], round: u32) {
    let submitted = board.tally.submitted;
    if let Some(votes) = board.votes.get_mut(ring_bit(round) as usize) {
        *votes = submitted;
    }
    let pass = Pass {
        round,
        bit: 1u64.wrapping_shl(ring_bit(round)),
        voted: board.voted_rounds(),
        abandon_rounds: u32::from(board.abandon_rounds),
    };
    let quorum = Quorum::new(submitted.count_ones(), u32::from(board.threshold));
    for (index, chunk) in slots.chunks_mut(64).enumerate() {
        pass.over(chunk, quorum.verdicts(&board.tally.planes, index));
    }
}

/// One round's way over the slots. Counters wrap after 2³² rounds, which is 1,300 years of ten seconds.
struct Pass {
    round: u32,
    /// The round's place in the history.
    bit: u64,
    /// Rounds of the history that had votes, this one included.
    voted: u64,
    abandon_rounds: u32,
}

impl Pass {
    /// Writes the verdicts of 64 machines. Most are up, so runs of those have a loop of their own.
    fn over(&self, mut slots: &mut [Slot], Verdicts { mut up, mut down }: Verdicts) {
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
                self.unknown(slot);
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
            return self.unknown(slot);
        }
        slot.history_up |= self.bit;
        slot.up = slot.up.wrapping_add(1);
        if self.is_leased(slot) {
            slot.lease_up = slot.lease_up.wrapping_add(1);
        }
    }

    fn down(&self, slot: &mut Slot) {
        if slot.attested_from > self.round {
            return self.unknown(slot);
        }
        slot.history_up &= !self.bit;
        slot.history_down |= self.bit;
        slot.down = slot.down.wrapping_add(1);
        if !self.is_leased(slot) {
            return;
        }
        slot.lease_down = slot.lease_down.wrapping_add(1);
        if slot.lease != 0 && self.down_in_a_row(slot) >= self.abandon_rounds {
            slot.flags |= Slot::ABANDONED;
        }
    }

    #[inline(always)]
    fn unknown(&self, slot: &mut Slot) {
        slot.history_up &= !self.bit;
        slot.history_down &= !self.bit;
    }

    /// Verdicts of down up to this round without a gap, within the lease; at most 64.
    fn down_in_a_row(&self, slot: &Slot) -> u32 {
        let down = slot.history_down & !slot.history_up & self.voted;
        // Turned so that this round is the highest bit and earlier ones follow below.
        let turned = down.rotate_left(63u32.wrapping_sub(ring_bit(self.round)));
        let in_lease = self.round.wrapping_sub(slot.lease_from).saturating_add(1);
        turned.leading_ones().min(in_lease)
    }
}

/// Pays everybody who submitted in a round that reached its quorum, whatever they voted.
fn pay_keepers(board: &mut Board, keeper_fee: u64) -> Result<()> {
    let submitted = board.tally.submitted;
    let count = submitted.count_ones();
    if count < u32::from(board.threshold) {
        return Ok(());
    }
    let fee = keeper_fee.min(board.ledger.keeper_pool / u64::from(count));
    for (index, seat) in board.seats.iter_mut().enumerate() {
        if submitted & (1 << index) != 0 {
            seat.earned = add(seat.earned, fee)?;
            board.ledger.keeper_pool = sub(board.ledger.keeper_pool, fee)?;
            board.ledger.keeper_fees = add(board.ledger.keeper_fees, fee)?;
        }
    }
    Ok(())
}
