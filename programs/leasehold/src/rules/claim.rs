//! Claims and withdrawals: whether anything is due.

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// The amount that a claim or a withdrawal pays out. Refuses 0.
pub fn due(amount: u64) -> Result<u64> {
    require!(amount > 0, LeaseholdError::NothingToWithdraw);
    Ok(amount)
}
