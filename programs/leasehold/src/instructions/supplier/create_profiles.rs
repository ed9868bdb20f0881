use anchor_lang::prelude::*;

use crate::{
    constants::PROFILES_SEED,
    error::LeaseholdError,
    instructions::refuse_stray,
    state::{Profiles, Supplier},
};

#[derive(Accounts)]
pub struct CreateProfiles<'info> {
    /// Pays the rent, and gets it back when the profiles are closed.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(has_one = authority @ LeaseholdError::WrongAuthority)]
    pub supplier: Account<'info, Supplier>,
    #[account(
        init,
        payer = authority,
        space = Profiles::len(0),
        seeds = [PROFILES_SEED, supplier.key().as_ref()],
        bump
    )]
    pub profiles: Account<'info, Profiles>,
    pub system_program: Program<'info, System>,
}

/// Creates a supplier's empty list of profiles.
pub fn create_profiles(ctx: Context<CreateProfiles>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CreateProfiles { supplier, profiles, .. } = ctx.accounts;
    profiles.set_inner(Profiles {
        version: Profiles::VERSION,
        bump: ctx.bumps.profiles,
        supplier: supplier.key(),
        entries: Vec::new(),
    });
    Ok(())
}
