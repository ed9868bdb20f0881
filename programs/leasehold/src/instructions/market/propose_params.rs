use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    state::{Market, Params, PendingParams},
};

/// What only a market's authority may do.
#[derive(Accounts)]
pub struct Govern<'info> {
    pub authority: Signer<'info>,
    #[account(mut, has_one = authority @ LeaseholdError::WrongAuthority)]
    pub market: Box<Account<'info, Market>>,
}

/// Announces parameters; a second proposal takes the place of the first, and none takes it back.
pub fn propose_params(ctx: Context<Govern>, params: Option<Params>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let market = &mut ctx.accounts.market;
    market.pending_params = match params {
        Some(params) => {
            market.params.validate_successor(&params)?;
            let effective_at =
                now()?.checked_add(i64::from(market.timelock_secs)).ok_or(LeaseholdError::MathOverflow)?;
            Some(PendingParams { params, effective_at })
        }
        None => None,
    };
    Ok(())
}
