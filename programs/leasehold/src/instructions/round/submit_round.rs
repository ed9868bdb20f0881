use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    rules,
    state::Board,
};

#[derive(Accounts)]
pub struct SubmitRound<'info> {
    /// Holds the seat.
    pub keeper: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Votes on the round that ended last. Bit i of `bitmap` is set if machine i answered this keeper.
///
/// `pong_root` is the Merkle root of the signed answers, so that the keeper can be asked to show any.
pub fn submit_round(
    ctx: Context<SubmitRound>,
    seat: u8,
    round: u32,
    pong_root: [u8; 32],
    bitmap: Vec<u8>,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let now = now()?;
    let mut board = ctx.accounts.board.load_mut()?;
    let board = &mut *board;
    require_keys_eq!(board.seat(seat)?.keeper, ctx.accounts.keeper.key(), LeaseholdError::WrongKeeper);
    rules::round::submit(board, seat, round, pong_root, &bitmap, now)
}
