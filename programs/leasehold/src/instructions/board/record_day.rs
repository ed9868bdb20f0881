use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::DayRecorded,
    instructions::{now, refuse_stray},
    rules,
    state::{Board, PriceIndex},
};

#[event_cpi]
#[derive(Accounts)]
pub struct RecordDay<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub price_index: AccountLoader<'info, PriceIndex>,
}

/// Records the day before (UTC) in a price index: the average price of what was paid since the last record, which bounds the
/// prices that count from now on. Anybody may, once a day, twelve hours after the last time at the earliest.
pub fn record_day(ctx: Context<RecordDay>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let (class, entry) = {
        let (mut board, mut index) = (ctx.accounts.board.load_mut()?, ctx.accounts.price_index.load_mut()?);
        (index.class, rules::index::record(&mut board, &mut index, now()?)?)
    };
    emit_cpi!(DayRecorded {
        board: ctx.accounts.board.key(),
        class,
        day: entry.day,
        paid: entry.paid().into(),
        gpu_rounds: entry.gpu_rounds,
        index: entry.index,
    });
    Ok(())
}
