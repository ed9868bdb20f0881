use anchor_lang::prelude::*;

use crate::{
    instructions::{now, refuse_stray},
    rules,
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
    rules::market::apply_params(&mut ctx.accounts.market, now()?)
}
