use anchor_lang::prelude::*;

use crate::{
    constants::DISPUTE_ROUNDS,
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::{Board, Lease, LeaseState},
};

#[derive(Accounts)]
pub struct CloseLease<'info> {
    /// CHECK: only gets the rent that it paid.
    #[account(mut)]
    pub buyer: UncheckedAccount<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        close = buyer,
        has_one = buyer @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
}

/// Closes the account of a settled lease that holds no money, a day after its end. Rent goes to whoever
/// opened it. Anybody may.
pub fn close_lease(ctx: Context<CloseLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseLease { board, lease, .. } = ctx.accounts;
    require!(lease.state == LeaseState::Settled, LeaseholdError::LeaseNotSettled);
    require!(lease.demands == 0, LeaseholdError::DemandsLeft);
    let empty = lease.refund_due == 0 && lease.compensation_due == 0;
    require!(empty, LeaseholdError::LeaseHoldsMoney);
    let mut board = board.load_mut()?;
    let disputable = board.round_at(now()?)? < lease.until.saturating_add(DISPUTE_ROUNDS);
    require!(!disputable, LeaseholdError::DisputesOpen);
    board.leases = board.leases.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?;
    Ok(())
}
