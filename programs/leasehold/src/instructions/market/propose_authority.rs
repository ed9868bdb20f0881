use anchor_lang::prelude::*;

use crate::instructions::{Govern, refuse_stray};

/// Names who may become the authority; none takes the offer back.
pub fn propose_authority(ctx: Context<Govern>, authority: Option<Pubkey>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.market.pending_authority = authority;
    Ok(())
}
