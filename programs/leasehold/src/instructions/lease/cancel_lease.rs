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

/// Cancels a lease: it ends with the running round, or with its first one if it has not begun. The owner owes each
/// machine that kept its promise an hour or 5 percent of the time left, whichever is less.
pub fn cancel_lease(ctx: Context<CancelLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CancelLease { board, lease, .. } = &mut *ctx.accounts;
    let now = now()?;
    let Cancellation { until, cancel_secs, .. } =
        on_board(board, |board, slots| rules::cancel::apply(board, slots, lease, now))?;
    emit_cpi!(LeaseCancelled { lease: ctx.accounts.lease.key(), until, cancel_secs });
    Ok(())
}
