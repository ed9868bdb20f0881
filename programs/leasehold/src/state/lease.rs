use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        matching::Criteria,
        pricing::{Span, rate},
        rounds,
        settlement::{Left, Payment, Service, Terms},
        sub,
    },
    state::Slot,
};

/// A lease of one or more machines of one board. Address: `["lease", board, buyer, nonce u64]`.
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
    /// Number of the lease on its board; never used again.
    pub serial: u32,
    /// Number chosen by the buyer, part of this account's address.
    pub nonce: u64,
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
    /// Number of GPUs asked for.
    pub gpus: u32,
    /// Number of machines that serve it, or served it to its end.
    pub machines: u32,
    /// Number of machines, replaced ones included, that are not settled for good.
    pub unsettled: u32,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Payment units paid in.
    pub deposit: u64,
    /// Of the deposit: paid to suppliers, kept as fees, refunded to the owner, burned. The rest is in escrow.
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub burned: u64,
    /// Payment units refunded and not yet claimed.
    pub refund_due: u64,
    /// Stake units that machines of this lease lost.
    pub slashed: u64,
    /// Set if the lease is paid by use, `None` if by the hour.
    pub meter: Option<Meter>,
    /// Number of open demands for receipts of this lease.
    pub demands: u32,
    /// SHA-256 of the SSH public key that is let into its machines, as `ssh-keygen -lf` shows it; `None` if nobody is let in.
    pub access: Option<[u8; 32]>,
    /// Raised by each `set_access` and `transfer_lease`; never falls. A machine that let somebody in under an earlier one cuts
    /// all sessions and makes its host key anew.
    pub access_epoch: u32,
    /// Access epoch with which the machines were last to be wiped. One whose data are of an earlier epoch is wiped before
    /// anybody is let in.
    pub data_epoch: u32,
    pub reserved: [u8; 7],
    /// Machines that were replaced: they are not picked again. Last, since it grows.
    #[max_len(0)]
    pub replaced: Vec<MachineId>,
}

const _: () = assert!(Lease::INIT_SPACE == 370);

/// A machine of a board: its slot, and the slot's generation.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineId {
    pub slot: u16,
    pub generation: u32,
}

/// Meter of a lease that is paid by use: its buyer signs vouchers for what its one machine computed.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Ed25519 key that signs vouchers: held by the buyer's software, not the buyer's wallet.
    pub spender: Pubkey,
    /// Most receipts and compute units that a redeemed voucher paid for.
    pub seq: u64,
    pub units: u64,
    /// Payment units that vouchers paid, fees included.
    pub paid: u64,
    /// True if its owner owes a blameless machine for at least an hour: its supplier did not end it.
    pub owes_hour: bool,
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

    /// Bytes of the account of a lease with so many replaced machines.
    pub const fn len(replaced: usize) -> usize {
        (8 + Lease::INIT_SPACE).saturating_add(replaced.saturating_mul(MachineId::INIT_SPACE))
    }

    /// Payment units left in escrow.
    pub fn remaining(&self) -> Exact<u64> {
        [self.paid, self.fees, self.refunded, self.burned].into_iter().try_fold(self.deposit, sub)
    }

    /// Payment units that its machines were paid but for vouchers, fees included.
    pub fn standby_paid(&self) -> Exact<u64> {
        let vouchers = self.meter.as_ref().map_or(0, |meter| meter.paid);
        sub(add(self.paid, self.fees)?, vouchers)
    }

    /// Payment units per hour that a machine of the lease is paid for rounds up: its price, or its standby price if the lease
    /// is metered.
    #[inline(always)]
    pub fn hourly(&self, slot: &Slot) -> Exact<u64> {
        if self.meter.is_some() { rate(slot.hourly(), self.terms.standby_bps) } else { Ok(slot.hourly()) }
    }

    /// Service of a machine in the lease.
    #[inline(always)]
    pub fn service(&self, slot: &Slot) -> Exact<Service> {
        Ok(slot.service(self.hourly(slot)?, self.left(slot)))
    }

    /// How the owner left a machine of the lease.
    #[inline(always)]
    pub fn left(&self, slot: &Slot) -> Left {
        if !slot.has(Slot::LEFT) {
            Left::No
        } else if let Some(meter) = &self.meter {
            Left::Ended { owes_hour: meter.owes_hour }
        } else if slot.has(Slot::REPLACED) {
            Left::Replaced { cheaper_q16: slot.cheaper_q16 }
        } else {
            Left::Cancelled
        }
    }

    /// Payment units deposited for a machine from its first round until round `until`, exclusive: ⌈price × time / 3600⌉; 0
    /// if the lease is metered.
    #[inline(always)]
    pub fn deposit_of(&self, slot: &Slot, until: u32) -> Exact<u64> {
        if self.meter.is_some() {
            return Ok(0);
        }
        self.terms.span(until.wrapping_sub(slot.lease_from)).cost_ceil(slot.hourly())
    }

    /// A machine of the lease can be settled for good once all rounds before this one are closed: a metered one waits for
    /// its last voucher.
    #[inline(always)]
    pub fn settles_from(&self, until: u32) -> u32 {
        until.saturating_add(self.voucher_rounds())
    }

    /// Rounds after the end in which vouchers are waited for: 0 if it is paid by the hour.
    #[inline(always)]
    pub fn voucher_rounds(&self) -> u32 {
        let wait = rounds::covering(self.terms.round_secs, crate::constants::VOUCHER_SECS);
        if self.meter.is_some() { wait } else { 0 }
    }

    /// Unix second at which it begins.
    pub fn begins(&self) -> i64 {
        rounds::start(self.terms.round_secs, self.terms.phase_secs, self.from)
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

    pub fn require_open(&self) -> Result<()> {
        require!(self.state == LeaseState::Open, LeaseholdError::LeaseNotOpen);
        Ok(())
    }

    /// Time that a machine of the lease would be paid for from round `from` to its end.
    pub fn rest(&self, from: u32) -> Span {
        self.terms.span(self.until.saturating_sub(from))
    }

    /// Books a payment to machines. Returns the keepers' part of the fee: their share of all fees so far less what they
    /// had, so that the number of settlements changes nothing.
    pub fn pay(&mut self, payment: Payment) -> Result<u64> {
        let before = rate(self.fees, self.terms.keeper_share_bps)?;
        self.paid = add(self.paid, payment.net)?;
        self.fees = add(self.fees, payment.fee)?;
        Ok(sub(rate(self.fees, self.terms.keeper_share_bps)?, before)?)
    }

    /// Refunds an amount to the owner.
    pub fn refund(&mut self, amount: u64) -> Result<()> {
        self.refunded = add(self.refunded, amount)?;
        self.refund_due = add(self.refund_due, amount)?;
        Ok(())
    }
}
