use anchor_lang::prelude::*;

use crate::{
    constants::{LOG_SEED, PROFILES_SEED},
    error::LeaseholdError,
    instructions::refuse_stray,
    math::sub32,
    rules,
    state::{Market, Supplier},
};

#[derive(Accounts)]
pub struct CloseSupplier<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut)]
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        close = authority,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub supplier: Account<'info, Supplier>,
    /// CHECK: its address; must not be an account of this program any more.
    #[account(seeds = [LOG_SEED, supplier.key().as_ref()], bump)]
    pub log: UncheckedAccount<'info>,
    /// CHECK: its address; must not be an account of this program any more.
    #[account(seeds = [PROFILES_SEED, supplier.key().as_ref()], bump)]
    pub profiles: UncheckedAccount<'info>,
}

/// Closes the account of a supplier that has no machines, stake, log or profiles. Its lamports go to its authority.
pub fn close_supplier(ctx: Context<CloseSupplier>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseSupplier { market, supplier, log, profiles, .. } = ctx.accounts;
    let exists = |account: &UncheckedAccount| *account.owner == crate::ID;
    rules::supplier::require_closable(supplier, exists(log), exists(profiles))?;
    market.members = sub32(market.members, 1)?;
    Ok(())
}
