use anchor_lang::prelude::*;

use crate::{
    instructions::{now, refuse_stray},
    rules::{self, seat::Leaver},
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

/// Leaves a seat. Its bond returns to the keeper's free stake. Its fees must be claimed first, unless the keeper forfeits them
/// to the pool. Anybody may vacate a seat that has not voted for a day, two rounds at least; with its fees after 30 days.
pub fn leave_seat(ctx: Context<LeaveSeat>, seat: u8, forfeit_fees: bool) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let LeaveSeat { signer, keeper, board } = ctx.accounts;
    let leaver = if signer.key() == keeper.authority {
        Leaver::Keeper { forfeits_fees: forfeit_fees }
    } else {
        Leaver::Anybody { now: now()? }
    };
    rules::seat::leave(&mut *board.load_mut()?, keeper, seat, leaver)
}
