//! The end of a lease's account.

use anchor_lang::prelude::*;

use crate::{
    constants::DISPUTE_ROUNDS,
    error::LeaseholdError,
    state::{Board, Lease, LeaseState},
};

/// First round after the lease's dispute window.
pub fn undisputed_from(lease: &Lease) -> u32 {
    lease.until.saturating_add(DISPUTE_ROUNDS)
}

/// Refuses to close the account of a lease that is not settled, whose receipts are demanded or can still be, or that
/// holds money of its owner.
pub fn require_closable(board: &Board, lease: &Lease, now: i64) -> Result<()> {
    require!(lease.state == LeaseState::Settled, LeaseholdError::LeaseNotSettled);
    require!(lease.demands == 0, LeaseholdError::DemandsLeft);
    let empty = lease.refund_due == 0 && lease.compensation_due == 0;
    require!(empty, LeaseholdError::LeaseHoldsMoney);
    require!(board.round_at(now)? >= undisputed_from(lease), LeaseholdError::DisputesOpen);
    Ok(())
}
