//! The end of a board's account, the fees that its market withdraws, and what is burned.

use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add, sub},
    state::Board,
};

/// Refuses to close a board that has slots, leases, seats that are held or money.
pub fn require_closable(board: &Board) -> Result<()> {
    let unused = board.slots == 0 && board.leases == 0 && board.taken_seats() == 0;
    require!(unused && board.ledger.is_empty(), LeaseholdError::BoardInUse);
    Ok(())
}

/// Takes the fees of the market's authority out of the ledger. Returns the payment units taken, which may be 0.
pub fn take_fees(board: &mut Board) -> u64 {
    core::mem::take(&mut board.ledger.fees)
}

/// Payment units that can be burned: those set aside for it and, if the board's creator is about to close it, its keeper
/// pool. May be 0.
pub fn burnable(board: &Board, by_creator: bool) -> Result<u64> {
    Ok(add(board.ledger.burning, unused_pool(board, by_creator))?)
}

/// Takes them out of the ledger.
pub fn take_burnable(board: &mut Board, by_creator: bool) -> Result<u64> {
    let amount = burnable(board, by_creator)?;
    board.ledger.keeper_pool = sub(board.ledger.keeper_pool, unused_pool(board, by_creator))?;
    board.ledger.burning = 0;
    Ok(amount)
}

/// Part of the keeper pool that nobody can earn: all of it once the board has no machines and leases. Only the creator may
/// say that none will come.
fn unused_pool(board: &Board, by_creator: bool) -> u64 {
    if by_creator && board.machines == 0 && board.leases == 0 { board.ledger.keeper_pool } else { 0 }
}
