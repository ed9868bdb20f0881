use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseExtended,
    instructions::{now, refuse_stray, tokens::*},
    math::{add, pricing::Span, sub},
    state::{Board, Lease, Market, Slot, SlotState, split_mut},
};

#[event_cpi]
#[derive(Accounts)]
pub struct ExtendLease<'info> {
    pub owner: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
}

impl ExtendLease<'_> {
    fn validate(&self, rounds: u32) -> Result<()> {
        let board = self.board.load()?;
        self.tokens.validate_payment(&self.board.key(), &board)?;
        require!(!self.market.paused, LeaseholdError::MarketPaused);
        self.lease.require_open()?;
        require!(board.round_at(now()?)? < self.lease.until, LeaseholdError::LeaseOver);
        let total = self.lease.terms.rounds.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
        let allowed = rounds > 0 && total <= self.market.params.max_rounds;
        require!(allowed, LeaseholdError::LeaseLength);
        Ok(())
    }
}

/// Lets a lease run for more rounds, at the prices and terms it was opened with. One that is paid by use
/// costs nothing more.
pub fn extend_lease(ctx: Context<ExtendLease>, rounds: u32, max_deposit: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(rounds)?;
    let ExtendLease { board, lease, owner, tokens, .. } = &mut *ctx.accounts;
    lease.terms.rounds = lease.terms.rounds.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    lease.until = lease.until.checked_add(rounds).ok_or(LeaseholdError::MathOverflow)?;
    let deposit = {
        let info = board.to_account_info();
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        let deposit = prolong(slots, lease)?;
        board.ledger.escrow = add(board.ledger.escrow, deposit)?;
        deposit
    };
    require!(deposit <= max_deposit, LeaseholdError::CostsTooMuch);
    lease.deposit = add(lease.deposit, deposit)?;
    let until = lease.until;
    if deposit > 0 {
        tokens.take(owner, deposit)?;
    }
    emit_cpi!(LeaseExtended { lease: ctx.accounts.lease.key(), until, deposit });
    Ok(())
}

/// Moves the end of the lease's machines to that of the lease. Returns what that costs: for each machine,
/// the deposit for its whole time less the deposit it had.
fn prolong(slots: &mut [Slot], lease: &Lease) -> Result<u64> {
    let mut deposit = 0;
    for slot in slots.iter_mut().filter(|slot| slot.lease == lease.serial) {
        let committed = slot.is(SlotState::Leased) && slot.committed_until >= lease.until;
        require!(committed, LeaseholdError::MachineNotCommitted);
        let price = if lease.meter.is_some() { 0 } else { slot.price };
        let cost = |until: u32| {
            Span::of_rounds(lease.terms.round_secs, until.wrapping_sub(slot.lease_from)).cost_ceil(price)
        };
        deposit = add(deposit, sub(cost(lease.until)?, cost(slot.lease_until)?)?)?;
        slot.lease_until = lease.until;
    }
    Ok(deposit)
}
