use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::FeesWithdrawn,
    instructions::{refuse_stray, tokens::*},
    rules::{board::take_fees, claim::due},
    state::{Board, Market},
};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawFees<'info> {
    /// The market's authority, or anybody on its behalf.
    pub signer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

impl WithdrawFees<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)?;
        self.tokens.validate_claim(self.signer.key, &self.market.authority)
    }
}

/// Pays a board's fees to the market's authority.
pub fn withdraw_fees(ctx: Context<WithdrawFees>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let (fees, board) = {
        let mut board = ctx.accounts.board.load_mut()?;
        (due(take_fees(&mut board))?, board.signer())
    };
    ctx.accounts.tokens.give(ctx.accounts.board.to_account_info(), &board.seeds(), fees)?;
    emit_cpi!(FeesWithdrawn { board: ctx.accounts.board.key(), fees });
    Ok(())
}
