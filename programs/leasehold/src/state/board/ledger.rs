use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::math::{Exact, add, settlement::Payment, sub};

/// Ledger of a board's money. Each entry is the sum of entries elsewhere, which are named beside it.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Ledger {
    // Payment units: together what the payment vault holds.
    /// Unspent deposits of leases: deposit − paid − fees − refunded − burned.
    pub escrow: u64,
    /// `accrued` of the slots.
    pub accrued: u64,
    /// Fees of the market.
    pub fees: u64,
    /// Part of the fees that is set aside to pay keepers.
    pub keeper_pool: u64,
    /// `earned` of the seats.
    pub keeper_fees: u64,
    /// `refund_due` of the leases.
    pub refunds: u64,
    /// Payment units that are to be burned.
    pub burning: u64,
    // Stake units, held in the market's stake vault.
    /// `bond` of the slots.
    pub bonds: u64,
    /// Slashed stake that is to be burned.
    pub slashed: u64,
}

impl Ledger {
    /// Payment units that the payment vault must hold.
    pub fn payments(&self) -> Exact<u64> {
        [self.accrued, self.fees, self.keeper_pool, self.keeper_fees, self.refunds, self.burning]
            .into_iter()
            .try_fold(self.escrow, add)
    }

    /// Stake units that the stake vault must hold for this board.
    pub fn stake(&self) -> Exact<u64> {
        add(self.bonds, self.slashed)
    }

    pub fn is_empty(&self) -> bool {
        *self == Ledger::zeroed()
    }

    /// Moves a payment from escrow to machines, market and keepers, who get `keepers` of the fee.
    pub fn pay(&mut self, payment: Payment, keepers: u64) -> Result<()> {
        self.escrow = sub(self.escrow, payment.gross()?)?;
        self.accrued = add(self.accrued, payment.net)?;
        self.keeper_pool = add(self.keeper_pool, keepers)?;
        self.fees = add(self.fees, sub(payment.fee, keepers)?)?;
        Ok(())
    }

    /// Moves a refund from escrow to a lease's owner.
    pub fn refund(&mut self, amount: u64) -> Result<()> {
        self.escrow = sub(self.escrow, amount)?;
        self.refunds = add(self.refunds, amount)?;
        Ok(())
    }

    /// Moves payment units from escrow to those that are to be burned.
    pub fn burn(&mut self, amount: u64) -> Result<()> {
        self.escrow = sub(self.escrow, amount)?;
        self.burning = add(self.burning, amount)?;
        Ok(())
    }

    /// Moves slashed stake from bonds to what is to be burned.
    pub fn slash(&mut self, amount: u64) -> Result<()> {
        self.bonds = sub(self.bonds, amount)?;
        self.slashed = add(self.slashed, amount)?;
        Ok(())
    }
}
