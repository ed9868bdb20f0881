use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::math::{Exact, add, settlement::Payment, slashing::Split, sub};

/// Who owns what of a board's money. Every entry is the sum of entries elsewhere, named beside it.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Ledger {
    // Payment units; they add up to the payment vault.
    /// What open leases have left: deposit − paid − fees.
    pub escrow: u64,
    /// `accrued` of the slots.
    pub accrued: u64,
    /// The market's.
    pub fees: u64,
    /// Set aside to pay keepers.
    pub keeper_pool: u64,
    /// `earned` of the seats.
    pub keeper_fees: u64,
    /// `refund_due` of the leases.
    pub refunds: u64,
    // Stake units; they lie in the market's stake vault.
    /// `bond` of the slots.
    pub bonds: u64,
    /// `compensation_due` of the leases.
    pub compensation: u64,
    /// Slashed, the market's.
    pub market_stake: u64,
    /// Slashed, to be burned.
    pub to_burn: u64,
}

impl Ledger {
    /// What the payment vault must hold, in payment units.
    pub fn payments(&self) -> Exact<u64> {
        [self.accrued, self.fees, self.keeper_pool, self.keeper_fees, self.refunds]
            .into_iter()
            .try_fold(self.escrow, add)
    }

    /// What the stake vault must hold for this board, in stake units.
    pub fn stake(&self) -> Exact<u64> {
        [self.compensation, self.market_stake, self.to_burn].into_iter().try_fold(self.bonds, add)
    }

    pub fn is_empty(&self) -> bool {
        *self == Ledger::zeroed()
    }

    /// From a lease's escrow to the machines, the market and, `keepers` of the fee, the keepers.
    pub fn pay(&mut self, payment: Payment, keepers: u64) -> Result<()> {
        self.escrow = sub(self.escrow, payment.gross()?)?;
        self.accrued = add(self.accrued, payment.net)?;
        self.keeper_pool = add(self.keeper_pool, keepers)?;
        self.fees = add(self.fees, sub(payment.fee, keepers)?)?;
        Ok(())
    }

    /// From a lease's escrow to its owner.
    pub fn refund(&mut self, amount: u64) -> Result<()> {
        self.escrow = sub(self.escrow, amount)?;
        self.refunds = add(self.refunds, amount)?;
        Ok(())
    }

    /// From a bond to whom the split names. The caller's part leaves the board as the
    /// return value, or is burned where the caller has no keeper's account to keep it in.
    pub fn slash(&mut self, split: Split, caller_is_keeper: bool) -> Result<u64> {
        self.bonds = sub(self.bonds, split.total()?)?;
        self.compensation = add(self.compensation, split.buyer)?;
        self.market_stake = add(self.market_stake, split.market)?;
        self.to_burn = add(self.to_burn, split.burn)?;
        if caller_is_keeper {
            return Ok(split.caller);
        }
        self.to_burn = add(self.to_burn, split.caller)?;
        Ok(0)
    }
}
