//! The end of a keeper's account.

use anchor_lang::prelude::*;

use crate::{error::LeaseholdError, state::Keeper};

/// Refuses to close the account of a keeper that has seats or stake.
pub fn require_closable(keeper: &Keeper) -> Result<()> {
    require!(keeper.seats == 0, LeaseholdError::SeatsLeft);
    require!(keeper.stake.is_empty(), LeaseholdError::StakeLeft);
    Ok(())
}
