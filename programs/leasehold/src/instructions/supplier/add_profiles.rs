use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{Profile, Profiles, Supplier},
};

#[derive(Accounts)]
#[instruction(entries: Vec<Profile>)]
pub struct AddProfiles<'info> {
    /// Pays the rent by which the account grows.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(
        mut,
        has_one = supplier @ LeaseholdError::WrongSupplier,
        realloc = profiles.grown_len(entries.len()),
        realloc::payer = authority,
        realloc::zero = false
    )]
    pub profiles: Account<'info, Profiles>,
    pub system_program: Program<'info, System>,
}

/// Appends to a supplier's profiles, which machines name by their indices. Entries never change.
pub fn add_profiles(ctx: Context<AddProfiles>, entries: Vec<Profile>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.profiles.append(&entries)
}
