use anchor_lang::prelude::*;

use crate::{
    constants::VOUCHER_ROUNDS,
    error::LeaseholdError,
    math::{
        Exact, add,
        matching::Criteria,
        pricing::rate,
        settlement::{Payment, Service, Terms},
        sub,
    },
    state::Slot,
};

/// A cluster of machines of one board, leased together. Address: `["lease", board, serial u64]`.
///
/// Its machines are the slots of the board that carry its serial.
#[account]
#[derive(InitSpace, Debug)]
pub struct Lease {
    /// Layout version of this account.
    pub version: u8,
    pub bump: u8,
    pub state: LeaseState,
    pub board: Pubkey,
    pub serial: u32,
    /// Opened the lease; paid this account's rent and gets it back.
    pub buyer: Pubkey,
    /// Has the right to the machines and to every refund.
    pub owner: Pubkey,
    /// What the machines had to be.
    pub criteria: Criteria,
    /// Copied from the market when the lease was opened.
    pub terms: Terms,
    /// Ties leases on several boards together; the buyer's choice.
    pub cluster: Option<u64>,
    /// Machines in the lease.
    pub machines: u32,
    /// Machines of them that are settled for good, once the lease is over.
    pub settled: u32,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Paid in, in payment units.
    pub deposit: u64,
    /// Of that: to suppliers, kept as fees, given back to the owner. The rest is in escrow.
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    /// Given back and not yet claimed, in payment units.
    pub refund_due: u64,
    /// Stake that machines of this lease lost, in stake units.
    pub slashed: u64,
    /// The owner's part of it, not yet claimed.
    pub compensation_due: u64,
    /// Set where the lease is paid by use, and not by the hour.
    pub meter: Option<Meter>,
    /// Demands to see receipts of this lease that are not answered.
    pub demands: u32,
    pub reserved: [u8; 7],
}

/// How a lease is paid by use: its one machine and its buyer keep a tab between them, which the buyer's
/// vouchers settle.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Ed25519 key that signs vouchers; a key that the buyer's software holds, not its wallet.
    pub spender: Pubkey,
    /// Receipts and compute units that the last redeemed voucher paid for.
    pub seq: u64,
    pub units: u64,
}

/// Where a lease stands.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Runs to the end of its term.
    Open,
    /// Was ended early by its owner; settles as any other.
    Cancelled,
    /// Everything is paid, refunded and slashed.
    Settled,
}

impl Lease {
    pub const VERSION: u8 = 1;

    /// What is left in escrow, in payment units.
    pub fn remaining(&self) -> Exact<u64> {
        [self.paid, self.fees, self.refunded].into_iter().try_fold(self.deposit, sub)
    }

    /// What a machine of the lease did, if it left the lease with round `until`.
    #[inline(always)]
    pub fn service(&self, slot: &Slot, until: u32) -> Service {
        // Rounds that were agreed on from its own first on: one that came as a replacement promised no more.
        let agreed = self.from.wrapping_add(self.terms.rounds).wrapping_sub(slot.lease_from);
        slot.service(until, agreed)
    }

    /// First round that must not be closed yet, if the lease is to be settled in mid-term only.
    pub fn settles_from(&self) -> u32 {
        let grace = if self.meter.is_some() { VOUCHER_ROUNDS } else { 0 };
        self.until.saturating_add(grace)
    }

    /// Refuses what only a lease by the hour can do.
    pub fn require_hourly(&self) -> Result<()> {
        require!(self.meter.is_none(), LeaseholdError::LeaseMetered);
        Ok(())
    }

    /// Pays what a voucher says is owed in all, as far as the deposit reaches, less what was paid before.
    pub fn redeem(&self, price: u64) -> Result<Payment> {
        let before = add(self.paid, self.fees)?;
        let owed = price.min(self.deposit);
        require!(owed > before, LeaseholdError::VoucherRedeemed);
        Ok(Payment::difference(owed, before, self.terms.fee_bps)?)
    }

    pub fn require_open(&self) -> Result<()> {
        require!(self.state == LeaseState::Open, LeaseholdError::LeaseNotOpen);
        Ok(())
    }

    /// Takes a payment to machines out of escrow. Returns the keepers' part of the fee, which is a share of
    /// the lease's fees so far: how often it is settled changes nothing.
    pub fn pay(&mut self, payment: Payment) -> Result<u64> {
        let before = rate(self.fees, self.terms.keeper_share_bps)?;
        self.paid = add(self.paid, payment.net)?;
        self.fees = add(self.fees, payment.fee)?;
        Ok(sub(rate(self.fees, self.terms.keeper_share_bps)?, before)?)
    }

    /// Gives what is left back to the owner: the lease is settled.
    pub fn finish(&mut self) -> Result<u64> {
        let refund = self.remaining()?;
        self.refunded = add(self.refunded, refund)?;
        self.refund_due = add(self.refund_due, refund)?;
        self.state = LeaseState::Settled;
        Ok(refund)
    }

    /// Notes stake that a machine of this lease lost.
    pub fn compensate(&mut self, slashed: u64, owners_part: u64) -> Result<()> {
        self.slashed = add(self.slashed, slashed)?;
        self.compensation_due = add(self.compensation_due, owners_part)?;
        Ok(())
    }
}
