use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseCancelled,
    instructions::{now, on_board, refuse_stray},
    rules::{self, cancel::Cancellation},
    state::{Board, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct CancelLease<'info> {
    pub owner: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard
    )]
    pub lease: Box<Account<'info, Lease>>,
}

/// Cancels a lease: it ends with the running round, or with its first one if it has not begun. The owner owes for leaving
/// each machine; see [`exit_secs`](crate::math::settlement::exit_secs). Of the machines in `contest`, the last two hours' pay
/// is burned instead, and half as much of the owner's money.
pub fn cancel_lease(ctx: Context<CancelLease>, contest: Vec<u16>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CancelLease { board, lease, .. } = &mut *ctx.accounts;
    let now = now()?;
    let Cancellation { until, .. } =
        on_board(board, |board, slots| rules::cancel::apply(board, slots, lease, &contest, now))?;
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, contested: contest });
    Ok(())
}
