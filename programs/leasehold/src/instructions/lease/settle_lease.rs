use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::LeaseSettled,
    instructions::{on_board, record::require_own_keeper, refuse_stray},
    rules,
    state::{Board, Keeper, Lease},
};

#[event_cpi]
#[derive(Accounts)]
pub struct SettleLease<'info> {
    pub caller: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// The caller's keeper account, which gets the caller's part of slashed stake; without it that part is burned.
    #[account(mut)]
    pub keeper: Option<Account<'info, Keeper>>,
}

impl SettleLease<'_> {
    fn validate(&self) -> Result<()> {
        require_own_keeper(self.keeper.as_deref(), self.caller.key, &self.board.load()?.market)
    }
}

/// Pays the machines of a lease for the rounds they were up. Once all rounds of the lease are closed, it also
/// slashes them and refunds the rest. Anybody may, at any time and as often as they like.
pub fn settle_lease(ctx: Context<SettleLease>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let SettleLease { board, lease, keeper, .. } = &mut *ctx.accounts;
    let settled =
        on_board(board, |board, slots| rules::settle::apply(board, slots, lease, keeper.as_deref_mut()))?;
    emit_cpi!(LeaseSettled {
        lease: ctx.accounts.lease.key(),
        state: ctx.accounts.lease.state,
        paid: settled.payment.net,
        fees: settled.payment.fee,
        refunded: settled.refunded,
        slashed: settled.slashed,
        slashed_machines: settled.slashed_machines,
    });
    Ok(())
}
