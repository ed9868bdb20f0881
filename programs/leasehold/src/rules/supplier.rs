//! The end of a supplier's account.

use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, state::Supplier};

/// Refuses to close the account of a supplier that has a log, profiles, machines or stake. `has_log` and `has_profiles` are
/// true if those accounts exist.
pub fn require_closable(supplier: &Supplier, has_log: bool, has_profiles: bool) -> Result<()> {
    require!(!has_log, LeaseholdError::LogLeft);
    require!(!has_profiles, LeaseholdError::ProfilesLeft);
    require_no_machines(supplier)?;
    require!(supplier.stake.is_empty(), LeaseholdError::StakeLeft);
    Ok(())
}

/// Refuses a supplier that has machines on a board.
pub fn require_no_machines(supplier: &Supplier) -> Result<()> {
    require!(supplier.machines == 0, LeaseholdError::MachinesLeft);
    Ok(())
}
