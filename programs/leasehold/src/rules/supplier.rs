//! The end of a supplier's account.

use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, state::Supplier};

/// Refuses to close the account of a supplier that has a log, machines or stake. `has_log` is true if the supplier's
/// log exists.
pub fn require_closable(supplier: &Supplier, has_log: bool) -> Result<()> {
    require!(!has_log, LeaseholdError::LogLeft);
    require!(supplier.machines == 0, LeaseholdError::MachinesLeft);
    require!(supplier.stake.is_empty(), LeaseholdError::StakeLeft);
    Ok(())
}
