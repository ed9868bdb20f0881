use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::AccessSet,
    instructions::{now, refuse_stray},
    rules,
    state::Lease,
};

#[event_cpi]
#[derive(Accounts)]
pub struct SetAccess<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ LeaseholdError::WrongAuthority)]
    pub lease: Box<Account<'info, Lease>>,
}

/// Sets the SSH key that is let into the machines of a lease that is not over: `access` is the SHA-256 of the public key, `None`
/// lets nobody in. Cuts all sessions, also if the key stays the same. With `wipe` the machines are wiped before anybody is let
/// in.
pub fn set_access(ctx: Context<SetAccess>, access: Option<[u8; 32]>, wipe: bool) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let lease = &mut ctx.accounts.lease;
    rules::access::set(lease, access, wipe, now()?)?;
    let (access_epoch, data_epoch) = (lease.access_epoch, lease.data_epoch);
    emit_cpi!(AccessSet { lease: ctx.accounts.lease.key(), access, access_epoch, data_epoch });
    Ok(())
}
