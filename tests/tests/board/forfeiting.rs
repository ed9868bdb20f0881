//! Forfeiting machines of running leases.

use leasehold::{
    error::LeaseholdError,
    state::{Slot, SlotState},
};
use leasehold_tests::*;

use crate::{forfeit, retire};

#[test]
fn forfeit_machines_ok() {
    let Scene { mut world, supplier, .. } = Scene::leased(3, 3, 2);
    let untouched = world.slot(2);
    let two = forfeit(&world, &supplier, &[0, 1]);
    world.ok(&[two], &[&supplier.wallet]);
    for index in [0, 1] {
        let slot = world.slot(index);
        assert!(slot.is(SlotState::Suspended) && slot.has_broken_promise());
        // It loses its bond when the lease is settled.
        assert_eq!((slot.lease, slot.bond, slot.attested_from), (1, 100 * STAKE, Slot::UNATTESTED));
    }
    assert_eq!(world.slot(2), untouched);
    world.assert_invariants();
}

#[test]
fn forfeit_machines_fails_when_the_machine_serves_no_lease() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(3, 2, 2);
    let refuses = |world: &mut World, machines: &[u16]| {
        let forfeit = forfeit(world, &supplier, machines);
        world.fails(forfeit, &[&supplier.wallet], LeaseholdError::MachineNotLeased);
    };
    refuses(&mut world, &[2]);
    // All machines or no machine; and no machine twice.
    refuses(&mut world, &[0, 2]);
    refuses(&mut world, &[0, 0]);
    assert!(world.slot(0).is(SlotState::Leased));
    let first = forfeit(&world, &supplier, &[0]);
    world.ok(&[first], &[&supplier.wallet]);
    refuses(&mut world, &[0]);
    // After the last round, a machine that kept its promise has nothing to forfeit.
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |_| true);
    refuses(&mut world, &[1]);
    world.settle(&buyer, 1);
    assert_eq!((world.slot(0).bond, world.slot(1).bond), (0, 100 * STAKE));
    refuses(&mut world, &[1]);
    world.assert_invariants();
}

#[test]
fn forfeit_machines_fails_when_the_slot_is_empty_or_another_suppliers() {
    let Scene { mut world, supplier, .. } = Scene::leased(3, 1, 2);
    let other = world.supplier();
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let mut refuses = |who: &SupplierActor, machines: &[u16], error: LeaseholdError| {
        let forfeit = forfeit(&world, who, machines);
        world.fails(forfeit, &[&who.wallet], error);
    };
    refuses(&supplier, &[], LeaseholdError::NoMachines);
    refuses(&supplier, &[3], LeaseholdError::NoSuchSlot);
    refuses(&supplier, &[1], LeaseholdError::SlotVacant);
    refuses(&other, &[0], LeaseholdError::WrongSupplier);
}
