use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{refuse_stray, tokens::*},
    rules,
    state::Market,
};

#[derive(Accounts)]
pub struct CloseMarket<'info> {
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(mut, close = authority, has_one = authority @ LeaseholdError::WrongAuthority)]
    pub market: Box<Account<'info, Market>>,
    pub tokens: Tokens<'info>,
}

/// Closes a market without boards, suppliers and keepers, and its stake vault. The rent goes to the authority.
///
/// No stake can be left: everybody who has stake has an account that is counted.
pub fn close_market(ctx: Context<CloseMarket>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseMarket { authority, market, tokens } = ctx.accounts;
    tokens.validate_stake(market)?;
    rules::market::require_closable(market)?;
    tokens.close_vault(market.to_account_info(), &market.signer().seeds(), authority.to_account_info())
}
