use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::now,
    math::{add, sub},
    state::{Board, SlotState, board_len, split_mut},
};

#[derive(Accounts)]
pub struct TrimBoard<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    // Remaining accounts, writable: suppliers of the vacant slots at the end, from the last on.
}

/// Cuts vacant slots off the end of a board. Their rent goes to the suppliers that left them. Anybody may.
pub fn trim_board<'info>(ctx: Context<'info, TrimBoard<'info>>) -> Result<()> {
    require!(!ctx.remaining_accounts.is_empty(), LeaseholdError::FormerSupplierMissing);
    let board = ctx.accounts.board.to_account_info();
    let round = ctx.accounts.board.load()?.round_at(now()?)?;
    for supplier in ctx.remaining_accounts {
        require!(shrink(&board, round, supplier)?, LeaseholdError::StrayAccount);
    }
    Ok(())
}

/// Cuts off the last slot if it is vacant and its rent is owed to `supplier`; says whether it was.
pub fn shrink(info: &AccountInfo, round: u32, supplier: &AccountInfo) -> Result<bool> {
    let slots = {
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        match slots.last() {
            Some(slot) if slot.is(SlotState::Vacant) && slot.supplier == *supplier.key => {
                board.fresh_generation = board.fresh_generation.max(slot.generation);
            }
            _ => return Ok(false),
        }
        board.resize(round, board.slots.checked_sub(1).ok_or(LeaseholdError::MathOverflow)?);
        board.slots as usize
    };
    info.resize(board_len(slots))?;
    let rent = info.lamports().saturating_sub(Rent::get()?.minimum_balance(board_len(slots)));
    **info.try_borrow_mut_lamports()? = sub(info.lamports(), rent)?;
    **supplier.try_borrow_mut_lamports()? = add(supplier.lamports(), rent)?;
    Ok(true)
}
