use anchor_lang::prelude::*;

use crate::{
    instructions::{now, refuse_stray},
    rules,
    state::{Board, Keeper},
};

#[derive(Accounts)]
pub struct LeaveSeat<'info> {
    /// The keeper's authority; anybody, once the seat has not voted for a day, two rounds at least.
    pub signer: Signer<'info>,
    #[account(mut)]
    pub keeper: Account<'info, Keeper>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Leaves a seat. Its bond returns to the keeper's free stake; its fees must be claimed first. Anybody may vacate a
/// seat that has not voted for a day, two rounds at least.
pub fn leave_seat(ctx: Context<LeaveSeat>, seat: u8) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let LeaveSeat { signer, keeper, board } = ctx.accounts;
    let vacated_at = if signer.key() == keeper.authority { None } else { Some(now()?) };
    rules::seat::leave(&mut *board.load_mut()?, keeper, seat, vacated_at)
}
