//! The end: everybody goes, and nothing is left.

use std::collections::BTreeMap;

use leasehold::{
    constants::{DISPUTE_SECS, MAX_LEASE_SECS},
    rules::{self, seat::Leaver, settle},
    state::{LeaseState, SlotState},
};

use super::{
    checks::Memory,
    world::{SUPPLIERS, World},
};

/// What people ended with.
#[derive(Debug, PartialEq, Eq)]
pub struct Totals {
    /// Paid, fees, refunded, burned and slashed, by serial of the lease.
    leases: BTreeMap<u32, [u64; 5]>,
    /// Payment units paid to each supplier, and its free stake.
    suppliers: Vec<(u128, u64)>,
    /// GPUs times rounds that were paid by the hour, by class.
    gpu_rounds: Vec<u64>,
}

impl World {
    /// Settles every lease that pays without an end to any machine.
    pub fn settle_what_runs(&mut self) {
        for index in 0..self.leases.len() {
            let lease = &self.leases[index];
            let mut machines = self.slots.iter().filter(|slot| slot.lease == lease.serial);
            let ends = machines.any(|slot| settle::is_due(&self.board, lease, slot));
            if lease.state != LeaseState::Settled && !ends {
                self.settle(index).expect("a running lease can be settled");
            }
        }
    }

    /// Ends every lease, dispute and commitment, and pays everybody out. Nothing may be in the way of that.
    pub fn drain(&mut self, memory: &mut Memory) -> Totals {
        self.market.paused = true;
        self.close_votes();
        self.pass(u64::from(MAX_LEASE_SECS) * 2);
        // Rounds without votes are void.
        self.close_round().expect("rounds without votes can be skipped");
        for index in 0..self.leases.len() {
            if self.leases[index].state != LeaseState::Settled {
                self.settle(index).expect("invariant 16: a lease that is over can be settled");
            }
            assert_eq!(self.leases[index].state, LeaseState::Settled, "{:?}", self.leases[index]);
            self.check(memory);
        }
        while !self.demands.is_empty() {
            self.end_one(0, false).expect("invariant 16: a demand can be enforced");
        }
        let totals = self.totals();
        self.pass(u64::from(MAX_LEASE_SECS + DISPUTE_SECS));
        self.leave(memory);
        totals
    }

    fn leave(&mut self, memory: &mut Memory) {
        while !self.leases.is_empty() {
            let _ = self.claim_refund(0);
            self.close_settled(0).expect("invariant 16: a settled lease can be closed");
        }
        for index in (0..self.slots.len()).rev() {
            if self.slots.get(index).is_some_and(|slot| !slot.is(SlotState::Vacant)) {
                self.retire_slot(index as u16, false).expect("invariant 16: a machine can be evicted");
            }
        }
        for seat in 0..self.board.seat_count {
            if !self.board.seats[usize::from(seat)].is_vacant() {
                self.vacate(seat, Leaver::Anybody { now: self.now })
                    .expect("invariant 16: a seat can be vacated");
            }
        }
        self.payments.paid_out += u128::from(rules::board::take_fees(&mut self.board));
        self.burn(true).expect("what is to be burned can be");
        self.check(memory);
        rules::board::require_closable(&self.board).expect("invariant 16: an empty board can be closed");
        assert_eq!(self.payments.held(), 0, "invariant 16: payments are left");
    }

    fn totals(&self) -> Totals {
        let lease = |lease: &leasehold::state::Lease| {
            (lease.serial, [lease.paid, lease.fees, lease.refunded, lease.burned, lease.slashed])
        };
        let earned = |index: usize| {
            let address = super::world::supplier_address(index);
            let theirs = self.slots.iter().filter(|slot| slot.supplier == address);
            let accrued: u128 = theirs.map(|slot| u128::from(slot.accrued)).sum();
            (self.claimed[index] + accrued, self.suppliers[index].stake.free)
        };
        Totals {
            leases: self.leases.iter().map(lease).collect(),
            suppliers: (0..SUPPLIERS).map(earned).collect(),
            gpu_rounds: self.board.sums.iter().map(|sums| sums.gpu_rounds).collect(),
        }
    }
}
