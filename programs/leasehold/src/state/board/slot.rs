use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    constants::DISPUTE_ROUNDS,
    math::{
        Exact, add,
        settlement::{Outcome, Service},
        sub,
    },
    state::{Endpoint, Traits},
};

/// A slot of a board, which holds one machine or is vacant. All fields are little-endian and none is padding.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Slot {
    /// Ed25519 key of the machine: it signs answers to probes, and receipts.
    pub node_key: [u8; 32],
    /// Address of the supplier's account; while vacant, of the last supplier, to whom the slot's rent is owed.
    pub supplier: Pubkey,
    pub traits: Traits,
    /// Payment units per machine and hour.
    pub price: u64,
    pub endpoint: Endpoint,
    /// Grows by one each time the slot is vacated.
    pub generation: u16,
    /// Reputation, 0 to 10,000.
    pub score: u16,
    /// A [`SlotState`].
    pub state: u8,
    /// [`Slot::ABANDONED`] or 0.
    pub flags: u8,
    /// First round after its commitment.
    pub committed_until: u32,
    /// Serial of its lease until that is settled, 0 for none.
    pub lease: u32,
    /// Number of up and down verdicts since the machine was listed.
    pub up: u32,
    pub down: u32,
    /// Number of up and down verdicts within its lease; without one, within its last lease.
    pub lease_up: u32,
    pub lease_down: u32,
    /// First round of that lease, and the first after it.
    pub lease_from: u32,
    pub lease_until: u32,
    /// Rounds up of that lease that are paid.
    pub lease_settled: u32,
    /// First round with a verdict on this machine; [`Slot::UNATTESTED`] while it gets none.
    pub attested_from: u32,
    /// Stake units that can be slashed.
    pub bond: u64,
    /// Payment units earned and not claimed.
    pub accrued: u64,
    /// Reserved: stake units rewarded and not claimed.
    pub reward: u64,
    /// Bit `r % 64`: up in round r.
    pub history_up: u64,
    /// Bit `r % 64`, if not set in `history_up`: down in round r.
    pub history_down: u64,
}

const _: () = assert!(core::mem::size_of::<Slot>() == 184 && core::mem::align_of::<Slot>() == 8);

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// Holds no machine.
    Vacant = 0,
    /// Its machine can be leased.
    Idle = 1,
    /// Its machine serves a lease.
    Leased = 2,
    /// Its machine can't be leased until its bond is topped up: it was slashed, or its supplier forfeited it, which takes
    /// it out of a lease that still runs.
    Suspended = 3,
    /// Its machine lost its bond over a receipt: it can only retire.
    Barred = 4,
}

impl Slot {
    /// `flags`: was down in `abandon_rounds` rounds in a row of its lease.
    pub const ABANDONED: u8 = 1;
    /// `attested_from` of a slot that gets no verdicts.
    pub const UNATTESTED: u32 = u32::MAX;

    pub fn is(&self, state: SlotState) -> bool {
        self.state == state as u8
    }

    /// True if it is in a lease and was forfeited, barred or abandoned: it broke its promise for good.
    pub fn has_broken_promise(&self) -> bool {
        self.lease != 0 && (!self.is(SlotState::Leased) || self.flags & Slot::ABANDONED != 0)
    }

    /// True if the dispute window of its last lease is open: a receipt may still cost it its bond.
    pub fn is_disputable(&self, round: u32) -> bool {
        self.bond > 0 && round < self.lease_until.saturating_add(DISPUTE_ROUNDS)
    }

    /// Puts a lease on an idle machine.
    pub fn begin_lease(&mut self, serial: u32, from: u32, until: u32) {
        self.state = SlotState::Leased as u8;
        self.flags = 0;
        self.lease = serial;
        self.lease_up = 0;
        self.lease_down = 0;
        self.lease_from = from;
        self.lease_until = until;
        self.lease_settled = 0;
    }

    /// Service of the machine in its lease, if that ended before round `until`. See [`Lease::service`].
    ///
    /// [`Lease::service`]: crate::state::Lease::service
    #[inline(always)]
    pub(crate) fn service(&self, until: u32, agreed: u32) -> Service {
        Service {
            price: self.price,
            agreed,
            rounds: until.wrapping_sub(self.lease_from),
            up: self.lease_up,
            down: self.lease_down,
            settled: self.lease_settled,
            bond: self.bond,
            broke_promise: self.has_broken_promise(),
        }
    }

    /// True if it was up in every round of its lease and was not forfeited or barred: it is neither abandoned nor to be
    /// slashed.
    #[inline(always)]
    pub fn served_all(&self) -> bool {
        self.lease_up == self.lease_until.wrapping_sub(self.lease_from) && self.is(SlotState::Leased)
    }

    /// Releases the machine from its lease and books the outcome. A machine that lost stake or was forfeited is suspended
    /// until its bond is topped up. A barred one stays barred.
    pub fn leave(&mut self, outcome: &Outcome) -> Exact<()> {
        let (accrued, bond) = self.after(outcome)?;
        self.leave_with(accrued, bond, outcome.slash > 0);
        Ok(())
    }

    /// Earnings and bond of the machine after that outcome.
    #[inline(always)]
    pub(crate) fn after(&self, outcome: &Outcome) -> Exact<(u64, u64)> {
        Ok((add(self.accrued, outcome.payment.net)?, sub(self.bond, outcome.slash)?))
    }

    /// As [`Slot::leave`], with the earnings and the bond computed already.
    #[inline(always)]
    pub(crate) fn leave_with(&mut self, accrued: u64, bond: u64, slashed: bool) {
        self.accrued = accrued;
        self.bond = bond;
        self.release(if self.is(SlotState::Barred) {
            SlotState::Barred
        } else if slashed || self.is(SlotState::Suspended) {
            SlotState::Suspended
        } else {
            SlotState::Idle
        });
    }

    /// Clears the lease; books nothing.
    #[inline(always)]
    pub fn release(&mut self, state: SlotState) {
        self.state = state as u8;
        self.flags = 0;
        self.lease = 0;
    }

    /// Empties the slot. Supplier and generation stay: the supplier is owed the rent, the generation distinguishes the
    /// next machine from this one.
    pub fn vacate(&mut self) {
        *self = Slot {
            supplier: self.supplier,
            generation: self.generation.wrapping_add(1),
            attested_from: Slot::UNATTESTED,
            ..Slot::zeroed()
        };
    }
}
