use anchor_lang::prelude::*;

use crate::instructions::{Govern, refuse_stray};

/// Stops or resumes listing, opening and extending; nothing else ever stops.
pub fn set_paused(ctx: Context<Govern>, paused: bool) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.market.paused = paused;
    Ok(())
}
