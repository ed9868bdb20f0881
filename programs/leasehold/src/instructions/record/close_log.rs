use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    rules,
    state::{ComputeLog, Supplier},
};

#[derive(Accounts)]
pub struct CloseLog<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut, close = authority, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub log: AccountLoader<'info, ComputeLog>,
}

/// Closes the log of a supplier that has no machines. The rent goes to its authority; its receipts can no longer be
/// verified.
pub fn close_log(ctx: Context<CloseLog>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    rules::log::require_closable(&ctx.accounts.supplier)
}
