use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseSettled,
    instructions::{on_board, refuse_stray},
    rules,
    state::{Board, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct SettleLease<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Pays the machines of a lease for the rounds they were up, but for what is kept until their end. A machine whose rounds are
/// all closed is settled for good: paid what was kept, slashed, and set free; with the last one, the rest is refunded. Anybody
/// may, at any time and as often as they like.
pub fn settle_lease(ctx: Context<SettleLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let SettleLease { board, lease, .. } = &mut *ctx.accounts;
    let settled = on_board(board, |board, slots| rules::settle::apply(board, slots, lease))?;
    emit_cpi!(LeaseSettled {
        lease: ctx.accounts.lease.key(),
        state: ctx.accounts.lease.state,
        paid: settled.payment.net,
        fees: settled.payment.fee,
        refunded: settled.refunded,
        burned: settled.burned,
        slashed: settled.slashed,
        slashed_machines: settled.slashed_machines,
    });
    Ok(())
}
