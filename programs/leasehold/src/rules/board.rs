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

/// Payment units that can be burned: those set aside for it and, of a board without machines and leases, the keeper pool,
/// since nobody is judged there any more. May be 0.
pub fn burnable(board: &Board) -> Result<u64> {
    Ok(add(board.ledger.burning, unused_pool(board))?)
}

/// Takes them out of the ledger.
pub fn take_burnable(board: &mut Board) -> Result<u64> {
    let amount = burnable(board)?;
    board.ledger.keeper_pool = sub(board.ledger.keeper_pool, unused_pool(board))?;
    board.ledger.burning = 0;
    Ok(amount)
}

/// Part of the keeper pool that nobody can earn: all of it once there are no machines to judge.
fn unused_pool(board: &Board) -> u64 {
    if board.machines == 0 && board.leases == 0 { board.ledger.keeper_pool } else { 0 }
}
