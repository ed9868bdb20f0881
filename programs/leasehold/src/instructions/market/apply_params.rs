use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::Market,
};

#[derive(Accounts)]
pub struct ApplyParams<'info> {
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
}

/// Applies the proposed parameters after their timelock. Anybody may.
pub fn apply_params(ctx: Context<ApplyParams>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let market = &mut ctx.accounts.market;
    let pending = market.pending_params.take().ok_or(LeaseholdError::NothingProposed)?;
    require!(now()? >= pending.effective_at, LeaseholdError::TimelockRunning);
    market.params = pending.params;
    Ok(())
}
