use anchor_lang::prelude::*;

use crate::{
    constants::INDEX_SEED,
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    rules,
    state::{Board, Market, PriceIndex},
};

#[derive(Accounts)]
#[instruction(class: u16)]
pub struct CreateIndex<'info> {
    /// Pays, and gets the rent back when the index is closed.
    #[account(mut)]
    pub payer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        init,
        payer = payer,
        space = PriceIndex::LEN,
        seeds = [INDEX_SEED, board.key().as_ref(), &class.to_le_bytes()],
        bump
    )]
    pub price_index: AccountLoader<'info, PriceIndex>,
    pub system_program: Program<'info, System>,
}

/// Creates the price index of a hardware class on a board. Anybody may.
///
/// It covers all that was paid on the board before, too: its first day is the average since the board's beginning.
pub fn create_index(ctx: Context<CreateIndex>, class: u16) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let CreateIndex { payer, market, board, price_index, .. } = ctx.accounts;
    market.params.class(class)?;
    rules::index::begin(&mut *board.load_mut()?, class)?;
    let mut index = price_index.load_init()?;
    index.version = PriceIndex::VERSION;
    index.bump = ctx.bumps.price_index;
    index.board = board.key();
    index.payer = payer.key();
    index.class = class;
    index.recorded_at = now()?;
    Ok(())
}
