//! The end of a board's account, and the fees that its market withdraws.

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

/// Payment units that the market's authority can withdraw: the fees and, of a board without machines and leases, the
/// keeper pool. May be 0.
pub fn fees(board: &Board) -> Result<u64> {
    Ok(add(board.ledger.fees, free_pool(board))?)
}

/// Takes the fees out of the ledger. Returns the payment units taken, which may be 0.
pub fn take_fees(board: &mut Board) -> Result<u64> {
    let fees = fees(board)?;
    board.ledger.keeper_pool = sub(board.ledger.keeper_pool, free_pool(board))?;
    board.ledger.fees = 0;
    Ok(fees)
}

/// Part of the keeper pool that is no longer set aside: all of it once there are no machines to judge.
fn free_pool(board: &Board) -> u64 {
    if board.machines == 0 && board.leases == 0 { board.ledger.keeper_pool } else { 0 }
}
