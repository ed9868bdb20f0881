//! Invariants that hold between any two instructions.

use std::collections::BTreeMap;

use leasehold::{
    math::settlement::{self, Burned},
    rules::settle,
    state::{Lease, LeaseState, Seat, Slot, SlotState},
};
use solana_pubkey::Pubkey;

use super::world::World;

/// Owner of a lease, whose key is let in, and the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    owner: Pubkey,
    access: Option<[u8; 32]>,
    access_epoch: u32,
    data_epoch: u32,
}

impl Rights {
    fn of(lease: &Lease) -> Self {
        let Lease { owner, access, access_epoch, data_epoch, .. } = *lease;
        Rights { owner, access, access_epoch, data_epoch }
    }

    /// True if one instruction at most can have made these rights of those before.
    fn follow(&self, before: &Rights) -> bool {
        let raised = self.access_epoch == before.access_epoch.wrapping_add(1);
        let transferred = self.access.is_none() && self.data_epoch == before.data_epoch;
        let set = self.owner == before.owner
            && (self.data_epoch == before.data_epoch || self.data_epoch == self.access_epoch);
        self == before || raised && (transferred || set)
    }
}

/// What the settlement of a machine comes to once all its rounds are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    owed: u64,
    burned: Burned,
    slash: u64,
    bound: u32,
    /// It was convicted, which changes what it is owed.
    is_barred: bool,
    /// It was abandoned since it left, as a bound machine: then its bond is gone whenever it is settled.
    is_gone: bool,
}

impl Fate {
    /// True if this is what it was before.
    fn agrees(&self, before: &Fate) -> bool {
        let Fate { slash, bound, is_barred, is_gone, .. } = *before;
        if self.is_barred != is_barred {
            return true;
        }
        let slash_and_bound = if self.is_gone == is_gone { (self.slash, self.bound) } else { (slash, bound) };
        (self.owed, self.burned, slash_and_bound) == (before.owed, before.burned, (slash, bound))
    }
}

/// What must not change, or only grow.
#[derive(Clone, Default)]
pub struct Memory {
    /// Fates of machines whose rounds are closed, by serial of the lease and slot.
    fates: BTreeMap<(u32, usize), Fate>,
    leases: BTreeMap<u32, [u64; 6]>,
    /// Leases as they were, for whoever was let in.
    rights: BTreeMap<u32, Rights>,
    next_round: u32,
}

impl World {
    /// Checks all invariants.
    pub fn check(&self, memory: &mut Memory) {
        self.check_ledgers();
        self.check_slots();
        for lease in &self.leases {
            self.check_lease(lease, memory);
        }
        assert!(self.board.next_round >= memory.next_round, "invariant 6: a round was opened again");
        memory.next_round = self.board.next_round;
        self.check_fates(memory);
    }

    /// Invariant 1: vaults hold what the ledgers say, and each entry is a sum of others.
    fn check_ledgers(&self) {
        let ledger = &self.board.ledger;
        let sum = |amounts: &mut dyn Iterator<Item = u64>| amounts.map(u128::from).sum::<u128>();
        let same = |entry: u64, expected: u128, name: &str| {
            assert_eq!(u128::from(entry), expected, "invariant 1: the ledger's {name}");
        };
        let remaining =
            |lease: &Lease| lease.remaining().expect("invariant 2: more than the deposit was spent");
        same(ledger.escrow, sum(&mut self.leases.iter().map(remaining)), "escrow");
        same(ledger.accrued, sum(&mut self.slots.iter().map(|slot| slot.accrued)), "accrued");
        same(ledger.bonds, sum(&mut self.slots.iter().map(|slot| slot.bond)), "bonds");
        same(ledger.refunds, sum(&mut self.leases.iter().map(|lease| lease.refund_due)), "refunds");
        same(ledger.keeper_fees, sum(&mut self.board.seats.iter().map(|seat| seat.earned)), "keeper_fees");
        let payments = ledger.payments().expect("as many as the mint has");
        assert_eq!(u128::from(payments), self.payments.held(), "invariant 1: the payment vault");

        let suppliers = self.suppliers.iter().map(|supplier| supplier.stake);
        let free = suppliers.chain(self.keepers.iter().map(|keeper| keeper.stake));
        let free = sum(&mut free.flat_map(|stake| [stake.free, stake.unbonding]));
        let seats = |index: usize| {
            let keeper = self.keepers[index].authority;
            self.board.seats.iter().filter(move |seat| !seat.is_vacant() && seat.keeper == keeper)
        };
        for (index, keeper) in self.keepers.iter().enumerate() {
            same(keeper.locked, sum(&mut seats(index).map(|seat: &Seat| seat.bond)), "bonds of seats");
            assert_eq!(keeper.seats as usize, seats(index).count());
        }
        let locked = sum(&mut self.keepers.iter().map(|keeper| keeper.locked));
        let bonded = u128::from(ledger.stake().expect("as much as the mint has"));
        assert_eq!(free + locked + bonded, self.stake.held(), "invariant 1: the stake vault");
    }

    fn check_slots(&self) {
        assert_eq!(self.board.slots as usize, self.slots.len());
        let machines = self.slots.iter().filter(|slot| !slot.is(SlotState::Vacant));
        assert_eq!(self.board.machines as usize, machines.count());
        assert_eq!(self.board.leases as usize, self.leases.len());
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.is(SlotState::Vacant) {
                assert!(slot.bond == 0 && slot.accrued == 0 && slot.lease == 0 && slot.demands == 0);
                continue;
            }
            let rounds = u64::from(slot.lease_until - slot.lease_from);
            let verdicts = [slot.lease_up, slot.lease_down, slot.lease_unseen].map(u64::from);
            assert!(verdicts.iter().sum::<u64>() <= rounds, "invariant 6: slot {index} {slot:?}");
            assert!(slot.lease_until <= slot.lease_agreed && slot.lease_settled <= slot.lease_up);
            assert!(
                slot.lease == 0 || slot.has(Slot::BOUND) || !slot.is(SlotState::Idle),
                "slot {index} {slot:?}"
            );
            let demands = self
                .demands
                .iter()
                .filter(|demand| usize::from(demand.slot) == index && demand.generation == slot.generation);
            assert_eq!(usize::from(slot.demands), demands.count(), "invariant 9: slot {index}");
            let is_known = slot.lease == 0 || self.leases.iter().any(|lease| lease.serial == slot.lease);
            assert!(is_known, "invariant 12: slot {index} serves a lease that is closed");
        }
    }

    fn check_lease(&self, lease: &Lease, memory: &mut Memory) {
        let machines = self.slots.iter().filter(|slot| slot.lease == lease.serial).count();
        assert_eq!(lease.unsettled as usize, machines, "machines of lease {}", lease.serial);
        let settled = lease.state == LeaseState::Settled;
        assert_eq!(settled, machines == 0, "lease {} without machines", lease.serial);
        assert!(!settled || lease.remaining() == Ok(0), "lease {} keeps money", lease.serial);
        let demands = self.demands.iter().filter(|demand| demand.serial == lease.serial).count();
        assert_eq!(lease.demands as usize, demands, "demands of lease {}", lease.serial);
        let vouchers = lease.meter.map_or(0, |meter| meter.paid);
        let grows = [lease.paid, lease.fees, lease.refunded, lease.burned, lease.slashed, vouchers];
        let before = memory.leases.insert(lease.serial, grows).unwrap_or_default();
        assert!(before.iter().zip(&grows).all(|(before, now)| before <= now), "invariant 3: {lease:?}");
        let rights = Rights::of(lease);
        assert!(rights.data_epoch <= rights.access_epoch, "invariant 21: {rights:?}");
        let before = memory.rights.insert(lease.serial, rights).unwrap_or(rights);
        assert!(rights.follow(&before), "invariant 21: {before:?} became {rights:?}");
    }

    /// Invariant 4: once all rounds of a machine are closed, its settlement comes to the same whenever it is made. A
    /// conviction changes it, and so do vouchers of a metered lease.
    fn check_fates(&self, memory: &mut Memory) {
        let mut fates = BTreeMap::new();
        for lease in
            self.leases.iter().filter(|lease| lease.state != LeaseState::Settled && lease.meter.is_none())
        {
            for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.lease == lease.serial)
            {
                let outcome = settle::outcome(lease, slot)
                    .unwrap_or_else(|_| panic!("slot {index} can't be settled: {slot:?} {lease:?}"));
                if !settle::is_due(&self.board, lease, slot) {
                    continue;
                }
                let hourly = lease.hourly(slot).expect("fits");
                let before =
                    settlement::owed_before_end(hourly, slot.lease_settled, &lease.terms).expect("fits");
                let fate = Fate {
                    owed: before + outcome.payment.gross().expect("within the deposit"),
                    burned: outcome.burned,
                    slash: outcome.slash,
                    bound: outcome.bound,
                    is_barred: slot.is(SlotState::Barred),
                    is_gone: slot.has(Slot::ABANDONED | Slot::FADED),
                };
                let before = memory.fates.get(&(lease.serial, index)).unwrap_or(&fate);
                assert!(
                    fate.agrees(before),
                    "invariant 4: slot {index} of lease {} came to {before:?}, now {fate:?}: {slot:?}",
                    lease.serial
                );
                fates.insert((lease.serial, index), fate);
            }
        }
        memory.fates = fates;
    }
}
