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

/// One machine. All fields are little-endian and none is padding.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Slot {
    /// Ed25519 key of the machine: answers probes and signs receipts.
    pub node_key: [u8; 32],
    /// Address of the supplier's account; of the last one while vacant, to whom the rent belongs.
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
    /// [`Slot::ABANDONED`] or nothing.
    pub flags: u8,
    /// First round it doesn't promise to serve.
    pub committed_until: u32,
    /// Serial of the running lease, 0 for none.
    pub lease: u32,
    /// Rounds of verdict up and down since the machine was listed.
    pub up: u32,
    pub down: u32,
    /// Rounds of verdict up and down within the running, else the last, lease.
    pub lease_up: u32,
    pub lease_down: u32,
    /// First round of that lease, and the first after it.
    pub lease_from: u32,
    pub lease_until: u32,
    /// Rounds up that have been paid for in it.
    pub lease_settled: u32,
    /// First round with a verdict for this machine; [`Slot::UNATTESTED`] while it gets none.
    pub attested_from: u32,
    /// Stake units that can be slashed.
    pub bond: u64,
    /// Payment units earned and not claimed.
    pub accrued: u64,
    /// Stake units rewarded and not claimed; reserved.
    pub reward: u64,
    /// Bit `round % 64`: verdict up in that round.
    pub history_up: u64,
    /// Bit `round % 64`, where `history_up` has none: verdict down in that round.
    pub history_down: u64,
}

const _: () = assert!(core::mem::size_of::<Slot>() == 184 && core::mem::align_of::<Slot>() == 8);

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// No machine.
    Vacant = 0,
    /// A machine that can be leased.
    Idle = 1,
    /// A leased machine.
    Leased = 2,
    /// A machine that can't be leased until its bond is whole again: it was slashed, or its supplier
    /// retired it from a lease that still runs.
    Suspended = 3,
    /// A machine that lied and lost its bond: it serves nobody any more and can only leave.
    Barred = 4,
}

impl Slot {
    /// `flags`: was down in `abandon_rounds` rounds in a row of the running lease.
    pub const ABANDONED: u8 = 1;
    /// `attested_from` of a slot that gets no verdicts.
    pub const UNATTESTED: u32 = u32::MAX;

    pub fn is(&self, state: SlotState) -> bool {
        self.state == state as u8
    }

    /// Whether a lease runs on it whose promise it broke for good: retired, barred or abandoned.
    pub fn is_forfeited(&self) -> bool {
        self.lease != 0 && (!self.is(SlotState::Leased) || self.flags & Slot::ABANDONED != 0)
    }

    /// Whether a receipt of its last lease may still cost it its bond.
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

    /// What the machine did in its lease, if that ended with round `until`. See [`Lease::service`].
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
            forfeited: self.is_forfeited(),
        }
    }

    /// Whether it was up in every round of its lease and its supplier stands by it, so that it is neither
    /// abandoned nor to be slashed.
    #[inline(always)]
    pub fn served_all(&self) -> bool {
        self.lease_up == self.lease_until.wrapping_sub(self.lease_from) && self.is(SlotState::Leased)
    }

    /// Takes the lease off and books how it ended. A machine that lost stake is suspended until its bond is
    /// whole; so is one that was retired. One that was barred stays so.
    pub fn leave(&mut self, outcome: &Outcome) -> Exact<()> {
        self.accrued = add(self.accrued, outcome.payment.net)?;
        self.bond = sub(self.bond, outcome.slash)?;
        self.release(if self.is(SlotState::Barred) {
            SlotState::Barred
        } else if outcome.slash > 0 || self.is(SlotState::Suspended) {
            SlotState::Suspended
        } else {
            SlotState::Idle
        });
        Ok(())
    }

    /// Ends the lease without more ado.
    #[inline(always)]
    pub fn release(&mut self, state: SlotState) {
        self.state = state as u8;
        self.flags = 0;
        self.lease = 0;
    }

    /// Empties the slot. Supplier and generation stay: the one is owed the rent, the other tells
    /// the next machine from this one.
    pub fn vacate(&mut self) {
        *self = Slot {
            supplier: self.supplier,
            generation: self.generation.wrapping_add(1),
            attested_from: Slot::UNATTESTED,
            ..Slot::zeroed()
        };
    }
}
