use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    rules,
    state::{Profiles, Supplier},
};

#[derive(Accounts)]
pub struct CloseProfiles<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(mut, close = authority, has_one = supplier @ LeaseholdError::WrongSupplier)]
    pub profiles: Account<'info, Profiles>,
}

/// Closes the profiles of a supplier that has no machines. The rent goes to its authority.
pub fn close_profiles(ctx: Context<CloseProfiles>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    rules::supplier::require_no_machines(&ctx.accounts.supplier)
}
