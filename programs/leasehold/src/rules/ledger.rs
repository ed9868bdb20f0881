//! Booking what leaves a lease's escrow and its machines' bonds.

use anchor_lang::prelude::*;

use crate::{
    math::{add, settlement::Payment},
    state::{Board, Lease},
};

/// Books a payment to machines.
pub fn book(board: &mut Board, lease: &mut Lease, payment: Payment) -> Result<()> {
    board.ledger.pay(payment, lease.pay(payment)?)
}

/// Books payment units of a lease that are burned.
pub fn book_burn(board: &mut Board, lease: &mut Lease, amount: u64) -> Result<()> {
    lease.burned = add(lease.burned, amount)?;
    board.ledger.burn(amount)
}

/// Books stake units that machines of a lease lost: they are burned.
pub fn book_slash(board: &mut Board, lease: &mut Lease, amount: u64) -> Result<()> {
    lease.slashed = add(lease.slashed, amount)?;
    board.ledger.slash(amount)
}

/// Books payment units of a lease that go back to its owner.
pub fn book_refund(board: &mut Board, lease: &mut Lease, amount: u64) -> Result<()> {
    lease.refund(amount)?;
    board.ledger.refund(amount)
}
