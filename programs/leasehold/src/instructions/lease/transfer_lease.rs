use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, instructions::refuse_stray, state::Lease};

#[derive(Accounts)]
pub struct TransferLease<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ LeaseholdError::WrongAuthority)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Transfers a lease, and everything still to be claimed from it, to another owner.
pub fn transfer_lease(ctx: Context<TransferLease>, new_owner: Pubkey) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    // The spender of a metered lease could spend a new owner's refund.
    ctx.accounts.lease.require_hourly()?;
    ctx.accounts.lease.owner = new_owner;
    Ok(())
}
