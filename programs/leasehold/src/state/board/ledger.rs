use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::math::{Exact, add, settlement::Payment, slashing::Split, sub};

/// Ledger of a board's money. Each entry is the sum of entries elsewhere, which are named beside it.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Ledger {
    // Payment units: together what the payment vault holds.
    /// Unspent deposits of leases: deposit − paid − fees − refunded.
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
    // Stake units, held in the market's stake vault.
    /// `bond` of the slots.
    pub bonds: u64,
    /// `compensation_due` of the leases.
    pub compensation: u64,
    /// Slashed stake that goes to the market.
    pub market_stake: u64,
    /// Slashed stake that is to be burned.
    pub to_burn: u64,
}

impl Ledger {
    /// Payment units that the payment vault must hold.
    pub fn payments(&self) -> Exact<u64> {
        [self.accrued, self.fees, self.keeper_pool, self.keeper_fees, self.refunds]
            .into_iter()
            .try_fold(self.escrow, add)
    }

    /// Stake units that the stake vault must hold for this board.
    pub fn stake(&self) -> Exact<u64> {
        [self.compensation, self.market_stake, self.to_burn].into_iter().try_fold(self.bonds, add)
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

    /// Moves slashed stake from bonds to the recipients of the split. Returns the caller's part, which leaves the board;
    /// it is 0 and that part is burned if the caller has no keeper's account.
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
