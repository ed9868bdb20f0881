use anchor_lang::prelude::*;

use crate::{
    events::KeeperFeesClaimed,
    instructions::{refuse_stray, tokens::*},
    math::sub,
    rules::claim::due,
    state::Board,
};

#[event_cpi]
#[derive(Accounts)]
pub struct ClaimKeeperFees<'info> {
    /// The seat's holder, or anybody on its behalf.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    pub tokens: Tokens<'info>,
}

/// Pays a keeper the fees that its seat has earned.
pub fn claim_keeper_fees(ctx: Context<ClaimKeeperFees>, seat: u8) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (amount, keeper, board) = {
        let ClaimKeeperFees { signer, board, tokens, .. } = &*ctx.accounts;
        let key = board.key();
        let mut board = board.load_mut()?;
        tokens.validate_payment(&key, &board)?;
        let seat = board.seat_mut(seat)?;
        tokens.validate_claim(signer.key, &seat.keeper)?;
        let (amount, keeper) = (due(core::mem::take(&mut seat.earned))?, seat.keeper);
        board.ledger.keeper_fees = sub(board.ledger.keeper_fees, amount)?;
        (amount, keeper, board.signer())
    };
    ctx.accounts.tokens.give(ctx.accounts.board.to_account_info(), &board.seeds(), amount)?;
    emit_cpi!(KeeperFeesClaimed { board: ctx.accounts.board.key(), keeper, amount });
    Ok(())
}
