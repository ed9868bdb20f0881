use anchor_lang::prelude::*;

use crate::instructions::{Govern, refuse_stray};

/// Offers the market to a new authority, which has to accept. Pass `None` to withdraw the offer.
pub fn propose_authority(ctx: Context<Govern>, authority: Option<Pubkey>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.market.pending_authority = authority;
    Ok(())
}
