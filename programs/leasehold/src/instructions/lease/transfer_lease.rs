use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, instructions::refuse_stray, state::Lease};

#[derive(Accounts)]
pub struct TransferLease<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ LeaseholdError::WrongAuthority)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Gives the right to a lease, and to all that is still to be claimed from it, to somebody else.
pub fn transfer_lease(ctx: Context<TransferLease>, new_owner: Pubkey) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    // Whoever signs its vouchers spends the refund: the two stay together.
    ctx.accounts.lease.require_hourly()?;
    ctx.accounts.lease.owner = new_owner;
    Ok(())
}
