use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::now,
    math::{add, sub},
    state::{Board, Slot, SlotState, board_len, slot_rent, split_mut},
};

#[derive(Accounts)]
pub struct TrimBoard<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    // Remaining accounts, writable: former suppliers of the vacant slots at the end, the last slot's first.
}

/// Removes vacant slots from the end of a board. Their rent goes to their last suppliers. Anybody may.
pub fn trim_board<'info>(ctx: Context<'info, TrimBoard<'info>>) -> Result<()> {
    require!(!ctx.remaining_accounts.is_empty(), LeaseholdError::FormerSupplierMissing);
    let board = ctx.accounts.board.to_account_info();
    let round = ctx.accounts.board.load()?.round_at(now()?)?;
    for supplier in ctx.remaining_accounts {
        require!(shrink(&board, round, supplier, 1)? == 1, LeaseholdError::StrayAccount);
    }
    Ok(())
}

/// Removes at most `most` of the last slots, as long as they are vacant and their rent is owed to `supplier`. Returns
/// how many.
pub fn shrink(info: &AccountInfo, round: u32, supplier: &AccountInfo, most: usize) -> Result<usize> {
    let (cut, slots) = {
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        let theirs = |slot: &&Slot| slot.is(SlotState::Vacant) && slot.supplier == *supplier.key;
        let mut cut = 0usize;
        for slot in slots.iter().rev().take(most).take_while(theirs) {
            board.outgrow(slot.generation);
            cut = cut.saturating_add(1);
        }
        let left = slots.len().saturating_sub(cut);
        if cut > 0 {
            board.resize(round, u32::try_from(left).map_err(|_| LeaseholdError::MathOverflow)?);
        }
        (cut, left)
    };
    if cut > 0 {
        info.resize(board_len(slots))?;
        // As much as listing them costs now: the rest goes to whoever closes the board.
        let surplus = info.lamports().saturating_sub(Rent::get()?.minimum_balance(board_len(slots)));
        let rent = slot_rent(board_len(slots))?.saturating_mul(cut as u64).min(surplus);
        **info.try_borrow_mut_lamports()? = sub(info.lamports(), rent)?;
        **supplier.try_borrow_mut_lamports()? = add(supplier.lamports(), rent)?;
    }
    Ok(cut)
}
