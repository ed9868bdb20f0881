use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::MarketStakeWithdrawn,
    instructions::{refuse_stray, tokens::*},
    rules::claim::due,
    state::{Board, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawMarketStake<'info> {
    /// The market's authority, or anybody on its behalf.
    pub signer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

impl WithdrawMarketStake<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_stake(&self.market)?;
        self.tokens.validate_claim(self.signer.key, &self.market.authority)
    }
}

/// Pays the market's part of the stake slashed on a board to its authority.
pub fn withdraw_market_stake(ctx: Context<WithdrawMarketStake>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let amount = due(core::mem::take(&mut ctx.accounts.board.load_mut()?.ledger.market_stake))?;
    let market = &ctx.accounts.market;
    ctx.accounts.tokens.give(market.to_account_info(), &market.signer().seeds(), amount)?;
    emit_cpi!(MarketStakeWithdrawn { board: ctx.accounts.board.key(), amount });
    Ok(())
}
