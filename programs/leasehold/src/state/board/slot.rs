use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    error::LeaseholdError,
    math::{
        Exact, add,
        settlement::{Leaving, Left, Service},
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
    /// Payment units per GPU and hour. Times the number of GPUs it fits 64 bits.
    pub price: u64,
    /// Stake units that can be slashed.
    pub bond: u64,
    /// Payment units earned and not claimed.
    pub accrued: u64,
    /// Bit `r % 64`: up in round r.
    pub history_up: u64,
    /// Bit `r % 64`, if not set in `history_up`: down in round r.
    pub history_down: u64,
    /// Grows by one each time the slot is vacated, and never comes back.
    pub generation: u32,
    /// First round after its commitment.
    pub committed_until: u32,
    /// Serial of its lease until that is settled, 0 for none.
    pub lease: u32,
    /// Number of verdicts of each kind since the machine was listed.
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
    /// Number of verdicts of each kind within its lease; without one, within its last lease.
    pub lease_up: u32,
    pub lease_down: u32,
    pub lease_unseen: u32,
    /// First round of that lease, and the first after it.
    pub lease_from: u32,
    pub lease_until: u32,
    /// First round after the time agreed on: later than `lease_until` if the owner left early.
    pub lease_agreed: u32,
    /// Rounds up of that lease that are paid.
    pub lease_settled: u32,
    /// First round with a verdict on this machine; [`Slot::UNATTESTED`] while it gets none.
    pub attested_from: u32,
    pub endpoint: Endpoint,
    /// Reputation, 0 to 10,000.
    pub score: u16,
    /// Number of rounds down while it is bound; saturates.
    pub bound_down: u16,
    /// Number of open demands for its receipts.
    pub demands: u16,
    /// Part of its price that the machine which replaced it costs less, of 65,536.
    pub cheaper_q16: u16,
    /// A [`SlotState`].
    pub state: u8,
    /// [`Slot::ABANDONED`], [`Slot::LEFT`], [`Slot::REPLACED`], [`Slot::DARK`], [`Slot::CONTESTED`], [`Slot::BOUND`],
    /// [`Slot::FADED`].
    pub flags: u8,
    /// Index of its description in the supplier's [`Profiles`](crate::state::Profiles); [`Slot::NO_PROFILE`] for none.
    pub profile: u8,
    /// Minutes after a lease until it can be leased again.
    pub turnaround: u8,
    /// Reserved.
    pub reserved: [u8; 2],
}

const _: () = assert!(core::mem::size_of::<Slot>() == 200 && core::mem::align_of::<Slot>() == 8);

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
    /// Its machine can't be leased until its supplier offers it again: it was slashed or withheld, or its supplier forfeited
    /// it, which takes it out of a lease that still runs.
    Suspended = 3,
    /// Its machine lost its bond over a receipt: it can only retire.
    Barred = 4,
}

impl Slot {
    /// `flags`: was down in so many of the last 64 rounds of its promise that it loses its whole bond.
    pub const ABANDONED: u8 = 1;
    /// `flags`: its owner left it before the time agreed on.
    pub const LEFT: u8 = 2;
    /// `flags`: its owner left it by replacing it.
    pub const REPLACED: u8 = 32;
    /// `flags`: was down in the hour before its owner left.
    pub const DARK: u8 = 4;
    /// `flags`: its owner contested it when leaving.
    pub const CONTESTED: u8 = 8;
    /// `flags`: was abandoned after its owner left, while it was bound.
    pub const FADED: u8 = 64;
    /// `flags`: is bound until round `committed_until`: can't be withheld, retired, or offered for more.
    pub const BOUND: u8 = 16;
    /// `attested_from` of a slot that gets no verdicts.
    pub const UNATTESTED: u32 = u32::MAX;
    /// `profile` of a machine that states none.
    pub const NO_PROFILE: u8 = u8::MAX;

    pub fn is(&self, state: SlotState) -> bool {
        self.state == state as u8
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Payment units per hour of the whole machine. Fits: see [`Slot::price`].
    #[inline(always)]
    pub fn hourly(&self) -> u64 {
        self.price.wrapping_mul(u64::from(self.traits.gpus))
    }

    /// True if it must stay as it is until round `committed_until`.
    #[inline(always)]
    pub fn is_bound(&self, round: u32) -> bool {
        self.has(Slot::BOUND) && round < self.committed_until
    }

    /// True if it is in a lease and was forfeited, barred or abandoned: it broke its promise for good.
    pub fn has_broken_promise(&self) -> bool {
        self.lease != 0 && self.leaving() != Leaving::Served
    }

    /// How the machine of a lease leaves it, as it stands.
    #[inline(always)]
    pub fn leaving(&self) -> Leaving {
        if self.is(SlotState::Suspended) {
            Leaving::Forfeited
        } else if self.is(SlotState::Barred) {
            Leaving::Barred
        } else if self.has(Slot::ABANDONED) {
            Leaving::Abandoned
        } else {
            Leaving::Served
        }
    }

    /// Puts a lease on an idle machine. A bond that is bound stays so.
    #[inline(always)]
    pub fn begin_lease(&mut self, serial: u32, from: u32, until: u32) {
        self.state = SlotState::Leased as u8;
        self.flags &= Slot::BOUND;
        self.cheaper_q16 = 0;
        self.lease = serial;
        self.lease_up = 0;
        self.lease_down = 0;
        self.lease_unseen = 0;
        self.lease_from = from;
        self.lease_until = until;
        self.lease_agreed = until;
        self.lease_settled = 0;
    }

    /// True if it serves the lease until the time agreed on, as far as is known: it can be extended, replaced or cancelled.
    pub fn serves(&self, serial: u32) -> bool {
        self.lease == serial && !self.has(Slot::LEFT)
    }

    /// Service of the machine in its lease. See [`Lease::service`].
    ///
    /// [`Lease::service`]: crate::state::Lease::service
    #[inline(always)]
    pub(crate) fn service(&self, price: u64, left: Left) -> Service {
        Service {
            price,
            agreed: self.lease_agreed.wrapping_sub(self.lease_from),
            rounds: self.lease_until.wrapping_sub(self.lease_from),
            up: self.lease_up,
            down: self.lease_down,
            unseen: self.lease_unseen,
            settled: self.lease_settled,
            bond: self.bond,
            leaving: self.leaving(),
            left,
            dark: self.has(Slot::DARK),
            contested: self.has(Slot::CONTESTED),
        }
    }

    /// True if it was up in every round of its lease to the time agreed on, and was not forfeited or barred: it is owed for
    /// the rounds up and nothing else.
    #[inline(always)]
    pub fn served_all(&self) -> bool {
        self.lease_up == self.lease_agreed.wrapping_sub(self.lease_from)
            && self.is(SlotState::Leased)
            && !self.has(Slot::ABANDONED)
    }

    /// Earnings and bond of the machine once it is paid and slashed so much.
    #[inline(always)]
    pub(crate) fn after(&self, paid: u64, slashed: u64) -> Exact<(u64, u64)> {
        Ok((add(self.accrued, paid)?, sub(self.bond, slashed)?))
    }

    /// State of the machine after its lease: one that broke its promise for good or lost stake is suspended until it is
    /// offered again, but a bound one that has a bond is not, since that would withhold it. A barred one stays barred.
    #[inline(always)]
    pub(crate) fn state_after(&self, slashed: bool, bound: bool) -> SlotState {
        match self.leaving() {
            Leaving::Barred => SlotState::Barred,
            Leaving::Forfeited | Leaving::Abandoned => SlotState::Suspended,
            Leaving::Served if self.has(Slot::FADED) || (slashed && !bound) => SlotState::Suspended,
            Leaving::Served => SlotState::Idle,
        }
    }

    /// Clears the lease; books nothing.
    #[inline(always)]
    pub fn release(&mut self, state: SlotState) {
        self.state = state as u8;
        self.flags &= Slot::BOUND;
        self.lease = 0;
    }

    /// Binds the machine until round `until`, or for as long as it is bound already.
    pub fn bind(&mut self, until: u32) {
        let before = if self.has(Slot::BOUND) { self.committed_until } else { 0 };
        self.flags |= Slot::BOUND;
        self.committed_until = before.max(until);
    }

    /// Empties the slot. Supplier and generation stay: the supplier is owed the rent, the generation distinguishes the
    /// next machine from this one.
    pub fn vacate(&mut self) -> Result<()> {
        *self = Slot {
            supplier: self.supplier,
            generation: self.generation.checked_add(1).ok_or(LeaseholdError::MathOverflow)?,
            attested_from: Slot::UNATTESTED,
            profile: Slot::NO_PROFILE,
            ..Slot::zeroed()
        };
        Ok(())
    }
}
