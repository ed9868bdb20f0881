use anchor_lang::prelude::*;

use crate::{
    events::KeepersFunded,
    instructions::{refuse_stray, tokens::*},
    rules,
    state::Board,
};

#[event_cpi]
#[derive(Accounts)]
pub struct FundKeepers<'info> {
    pub funder: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

/// Adds to a board's keeper pool. Anybody may; it does not come back.
pub fn fund_keepers(ctx: Context<FundKeepers>, amount: u64) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let FundKeepers { funder, board, tokens, .. } = &*ctx.accounts;
    {
        let key = board.key();
        let mut board = board.load_mut()?;
        tokens.validate_payment(&key, &board)?;
        rules::round::fund(&mut board, amount)?;
    }
    tokens.take(funder, amount)?;
    emit_cpi!(KeepersFunded { board: board.key(), funder: funder.key(), amount });
    Ok(())
}
