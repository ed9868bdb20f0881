use anchor_lang::prelude::*;

use crate::instructions::{Govern, refuse_stray};

/// Pauses or resumes the market. A pause stops listing, opening and extending, and nothing else.
pub fn set_paused(ctx: Context<Govern>, paused: bool) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.market.paused = paused;
    Ok(())
}
