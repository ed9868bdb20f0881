use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        matching::Criteria,
        pricing::rate,
        settlement::{Payment, Service, Terms, settles_from},
        sub,
    },
    state::Slot,
};

/// A lease of one or more machines of one board. Address: `["lease", board, serial u64]`.
///
/// Its machines are in the slots that carry its serial.
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
    /// Has the right to use the machines, and to all refunds.
    pub owner: Pubkey,
    /// Criteria that the machines meet.
    pub criteria: Criteria,
    /// Copied from the market when the lease was opened.
    pub terms: Terms,
    /// Group of leases, on any boards, that it belongs to; the buyer's choice.
    pub group: Option<u64>,
    /// Number of machines.
    pub machines: u32,
    /// Number of them that are settled for good.
    pub settled: u32,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Payment units paid in.
    pub deposit: u64,
    /// Of the deposit: paid to suppliers, kept as fees, refunded to the owner. The rest is in escrow.
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    /// Payment units refunded and not yet claimed.
    pub refund_due: u64,
    /// Stake units that machines of this lease lost.
    pub slashed: u64,
    /// The owner's part of them that is not yet claimed.
    pub compensation_due: u64,
    /// Set if the lease is paid by use, `None` if by the hour.
    pub meter: Option<Meter>,
    /// Number of unanswered demands for receipts of this lease.
    pub demands: u32,
    pub reserved: [u8; 7],
}

/// Meter of a lease that is paid by use: its buyer signs vouchers for what its one machine computed.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Ed25519 key that signs vouchers: held by the buyer's software, not the buyer's wallet.
    pub spender: Pubkey,
    /// Most receipts and compute units that a redeemed voucher paid for.
    pub seq: u64,
    pub units: u64,
}

/// State of a lease.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Runs to the end of its term, or is over and not settled.
    Open,
    /// Was cancelled by its owner, or given notice; is settled as any other.
    Cancelled,
    /// All machines are settled and the rest is refunded.
    Settled,
}

impl Lease {
    pub const VERSION: u8 = 1;

    /// Payment units left in escrow.
    pub fn remaining(&self) -> Exact<u64> {
        [self.paid, self.fees, self.refunded].into_iter().try_fold(self.deposit, sub)
    }

    /// Service of a machine in the lease, if it left before round `until`. Its price is 0 if the lease is metered: vouchers
    /// pay for it, not rounds.
    #[inline(always)]
    pub fn service(&self, slot: &Slot, until: u32) -> Service {
        // Rounds from its own first one on: a replacement promised no more.
        let agreed = self.from.wrapping_add(self.terms.rounds).wrapping_sub(slot.lease_from);
        let price = if self.meter.is_some() { 0 } else { slot.price };
        Service { price, ..slot.service(until, agreed) }
    }

    /// Payment units deposited for a machine from its first round until round `until`, exclusive: ⌈price × time / 3600⌉; 0
    /// if the lease is metered.
    #[inline(always)]
    pub fn deposit_of(&self, slot: &Slot, until: u32) -> Exact<u64> {
        if self.meter.is_some() {
            return Ok(0);
        }
        self.terms.span(until.wrapping_sub(slot.lease_from)).cost_ceil(slot.price)
    }

    /// The lease can be settled for good once all rounds before this one are closed.
    pub fn settles_from(&self) -> u32 {
        settles_from(self.until, self.meter.is_some())
    }

    /// Refuses a metered lease.
    pub fn require_hourly(&self) -> Result<()> {
        require!(self.meter.is_none(), LeaseholdError::LeaseMetered);
        Ok(())
    }

    /// Refuses a lease by the hour.
    pub fn require_metered(&self) -> Result<()> {
        require!(self.meter.is_some(), LeaseholdError::LeaseNotMetered);
        Ok(())
    }

    /// Payment that a voucher for `price` in all adds to those before, as far as the deposit reaches.
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

    /// Books a payment to machines. Returns the keepers' part of the fee: their share of all fees so far less what they
    /// had, so that the number of settlements changes nothing.
    pub fn pay(&mut self, payment: Payment) -> Result<u64> {
        let before = rate(self.fees, self.terms.keeper_share_bps)?;
        self.paid = add(self.paid, payment.net)?;
        self.fees = add(self.fees, payment.fee)?;
        Ok(sub(rate(self.fees, self.terms.keeper_share_bps)?, before)?)
    }

    /// Refunds the rest to the owner: the lease is settled.
    pub fn finish(&mut self) -> Result<u64> {
        let refund = self.remaining()?;
        self.refunded = add(self.refunded, refund)?;
        self.refund_due = add(self.refund_due, refund)?;
        self.state = LeaseState::Settled;
        Ok(refund)
    }

    /// Books stake that a machine of this lease lost.
    pub fn compensate(&mut self, slashed: u64, owners_part: u64) -> Result<()> {
        self.slashed = add(self.slashed, slashed)?;
        self.compensation_due = add(self.compensation_due, owners_part)?;
        Ok(())
    }
}
