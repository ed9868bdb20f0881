use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{refuse_stray, tokens::*},
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

/// Closes a market that nobody is in any more, and its stake vault. Rent goes to the authority.
///
/// Nobody's stake can be left: every owner of stake has an account that counts.
pub fn close_market(ctx: Context<CloseMarket>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CloseMarket { authority, market, tokens } = ctx.accounts;
    tokens.validate_stake(market)?;
    require!(market.boards == 0 && market.members == 0, LeaseholdError::MarketInUse);
    tokens.close_vault(market.to_account_info(), &market.signer().seeds(), authority.to_account_info())
}
