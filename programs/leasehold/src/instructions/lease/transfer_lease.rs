use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError, events::LeaseTransferred, instructions::refuse_stray, rules, state::Lease,
};

#[event_cpi]
#[derive(Accounts)]
pub struct TransferLease<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ LeaseholdError::WrongAuthority)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Transfers a lease, and everything still to be claimed from it, to another owner. All sessions on its machines are cut, and
/// nobody is let in until the new owner calls `set_access`.
pub fn transfer_lease(ctx: Context<TransferLease>, new_owner: Pubkey) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let lease = &mut ctx.accounts.lease;
    rules::access::transfer(lease, new_owner)?;
    let access_epoch = lease.access_epoch;
    emit_cpi!(LeaseTransferred { lease: ctx.accounts.lease.key(), owner: new_owner, access_epoch });
    Ok(())
}
