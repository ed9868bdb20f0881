//! Withholding idle machines from new leases.

use leasehold::{error::LeaseholdError, instructions::Offer, state::SlotState};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{free_stake, retire};

fn withhold(world: &World, supplier: &SupplierActor, machines: &[u16]) -> Instruction {
    instruction::withhold_machines(&world.board(), supplier.wallet.pubkey(), machines.to_vec())
}

#[test]
fn withhold_machines_ok() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(2);
    let (free, bond) = (free_stake(&world, &supplier), world.slot(0).bond);
    let one = withhold(&world, &supplier, &[0]);
    world.ok(&[one], &[&supplier.wallet]);
    assert!(world.slot(0).is(SlotState::Suspended) && world.slot(1).is(SlotState::Idle));
    let args = world.lease_args(&buyer, anything(), 2, 1);
    let open = world.open_instruction(&buyer, args);
    world.fails(open.clone(), &[&buyer], LeaseholdError::NotEnoughGpus);
    // It is offered again; neither costs anything.
    let offer = Offer { slot: 0, price: 1, committed_until: world.round() + 9, bond: 0 };
    let offer = instruction::reprice_machines(&world.board(), supplier.wallet.pubkey(), vec![offer]);
    world.ok(&[offer], &[&supplier.wallet]);
    world.ok(&[open], &[&buyer]);
    assert_eq!((free_stake(&world, &supplier), world.slot(0).bond), (free, bond));
    world.assert_invariants();
}

#[test]
fn withhold_machines_ok_in_the_dispute_window() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let idle = withhold(&world, &supplier, &[0, 1, 2]);
    world.ok(&[idle], &[&supplier.wallet]);
    assert!(world.slot(2).is(SlotState::Suspended));
    world.assert_invariants();
}

#[test]
fn withhold_machines_fails_when_the_machine_is_leased_or_not_the_suppliers() {
    let Scene { mut world, supplier, .. } = Scene::leased(3, 1, 2);
    let other = world.supplier();
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let mut refuses = |who: &SupplierActor, machines: &[u16], error: LeaseholdError| {
        let withhold = withhold(&world, who, machines);
        world.fails(withhold, &[&who.wallet], error);
    };
    refuses(&supplier, &[], LeaseholdError::NoMachines);
    refuses(&supplier, &[3], LeaseholdError::NoSuchSlot);
    refuses(&supplier, &[1], LeaseholdError::SlotVacant);
    refuses(&supplier, &[0], LeaseholdError::MachineLeased);
    refuses(&supplier, &[2, 0], LeaseholdError::MachineLeased);
    refuses(&other, &[2], LeaseholdError::WrongSupplier);
    assert!(world.slot(2).is(SlotState::Idle), "all or none");
}
