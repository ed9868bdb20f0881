//! Booking what leaves a lease's escrow and its machines' bonds.

use anchor_lang::prelude::*;

use crate::{
    math::{settlement::Payment, slashing::Split},
    state::{Board, Keeper, Lease},
};

/// Books a payment to machines and what their bonds lose.
pub fn book(
    board: &mut Board,
    lease: &mut Lease,
    payment: Payment,
    slashed: u64,
    keeper: Option<&mut Keeper>,
) -> Result<()> {
    board.ledger.pay(payment, lease.pay(payment)?)?;
    if slashed == 0 {
        return Ok(());
    }
    let split = lease.terms.split.of(slashed)?;
    book_slash(board, lease, split, keeper)
}

/// Books a slash that is split already. The caller's part goes to its keeper's account; without one it is burned.
pub fn book_slash(
    board: &mut Board,
    lease: &mut Lease,
    split: Split,
    keeper: Option<&mut Keeper>,
) -> Result<()> {
    lease.compensate(split.total()?, split.buyer)?;
    let callers = board.ledger.slash(split, keeper.is_some())?;
    if let Some(keeper) = keeper {
        keeper.stake.unbond(callers)?;
    }
    Ok(())
}
