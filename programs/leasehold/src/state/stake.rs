use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{add, sub},
};

/// Stake of a supplier or a keeper that is not bonded to a machine or a seat, in stake units.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StakeLedger {
    /// Can be bonded, or requested back.
    pub free: u64,
    /// Was requested back and is unbonding.
    pub unbonding: u64,
    /// Unix seconds from which `unbonding` can be withdrawn.
    pub unbonding_until: i64,
}

impl StakeLedger {
    pub fn deposit(&mut self, amount: u64) -> Result<()> {
        require!(amount > 0, LeaseholdError::AmountIsZero);
        self.free = add(self.free, amount)?;
        Ok(())
    }

    /// Requests `amount` back. A second request joins the first, and the unbonding time of both starts again.
    pub fn request(&mut self, amount: u64, now: i64, unbonding_secs: u32) -> Result<()> {
        require!(amount > 0, LeaseholdError::AmountIsZero);
        require!(amount <= self.free, LeaseholdError::InsufficientStake);
        self.free = sub(self.free, amount)?;
        self.unbonding = add(self.unbonding, amount)?;
        self.unbonding_until =
            now.checked_add(i64::from(unbonding_secs)).ok_or(LeaseholdError::MathOverflow)?;
        Ok(())
    }

    /// Takes out everything that has unbonded.
    pub fn withdraw(&mut self, now: i64) -> Result<u64> {
        require!(self.unbonding > 0, LeaseholdError::NothingToWithdraw);
        require!(now >= self.unbonding_until, LeaseholdError::StakeStillUnbonding);
        Ok(core::mem::take(&mut self.unbonding))
    }

    /// Moves `amount` from free stake to a bond.
    pub fn bond(&mut self, amount: u64) -> Result<()> {
        require!(amount <= self.free, LeaseholdError::InsufficientStake);
        self.free = sub(self.free, amount)?;
        Ok(())
    }

    /// Moves `amount` from a bond back to free stake.
    pub fn unbond(&mut self, amount: u64) -> Result<()> {
        self.free = add(self.free, amount)?;
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.free == 0 && self.unbonding == 0
    }
}
