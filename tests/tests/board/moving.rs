//! New addresses of machines.

use leasehold::{
    error::LeaseholdError,
    instructions::Move,
    state::{Endpoint, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::retire;

fn endpoint(port: u16) -> Endpoint {
    Endpoint { port: port.to_le_bytes(), ..machine(0).endpoint }
}

fn relocate(world: &World, supplier: &SupplierActor, moves: &[(u16, Endpoint)]) -> Instruction {
    let moves = moves.iter().map(|(slot, endpoint)| Move { slot: *slot, endpoint: *endpoint }).collect();
    instruction::move_machines(&world.board(), supplier.wallet.pubkey(), moves)
}

#[test]
fn move_machines_ok_while_one_is_leased() {
    let Scene { mut world, supplier, .. } = Scene::leased(2, 1, 9);
    let before = [world.slot(0), world.slot(1)];
    let both = relocate(&world, &supplier, &[(0, endpoint(7)), (1, endpoint(8))]);
    world.ok(&[both], &[&supplier.wallet]);
    assert!(world.slot(0).is(SlotState::Leased));
    for (slot, port) in [(0u16, 7), (1, 8)] {
        let expected = leasehold::state::Slot { endpoint: endpoint(port), ..before[usize::from(slot)] };
        assert_eq!(world.slot(slot), expected, "the address changes, and nothing else");
    }
    world.assert_invariants();
}

#[test]
fn move_machines_fails_when_the_slot_is_empty_or_another_suppliers_or_the_address_is() {
    let Scene { mut world, supplier, .. } = Scene::listed(3);
    let other = world.supplier();
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let mut refuses = |who: &SupplierActor, moves: &[(u16, Endpoint)], error: LeaseholdError| {
        let relocate = relocate(&world, who, moves);
        world.fails(relocate, &[&who.wallet], error);
    };
    refuses(&supplier, &[], LeaseholdError::NoMachines);
    refuses(&supplier, &[(3, endpoint(1))], LeaseholdError::NoSuchSlot);
    refuses(&supplier, &[(1, endpoint(1))], LeaseholdError::SlotVacant);
    refuses(&supplier, &[(0, endpoint(0))], LeaseholdError::EndpointEmpty);
    refuses(&supplier, &[(0, Endpoint { ip: [0; 16], ..endpoint(1) })], LeaseholdError::EndpointEmpty);
    refuses(&other, &[(0, endpoint(1))], LeaseholdError::WrongSupplier);
}
