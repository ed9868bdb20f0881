//! Repricing machines.

use leasehold::{error::LeaseholdError, instructions::Offer, state::SlotState};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{free_stake, retire};

fn reprice(world: &World, supplier: &SupplierActor, offers: Vec<Offer>) -> Instruction {
    instruction::reprice_machines(&world.board(), supplier.wallet.pubkey(), offers)
}

#[test]
fn reprice_machines_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let until = world.round() + 7;
    let offers = vec![Offer { slot: 1, price: 5, committed_until: until }];
    let reprice = reprice(&world, &supplier, offers);
    let bond = world.slot(1).bond;
    world.ok(&[reprice], &[&supplier.wallet]);
    let slot = world.slot(1);
    assert_eq!((slot.price, slot.committed_until, slot.bond), (5, until, bond));
    assert_eq!(world.slot(0).price, machine(0).price);
    world.assert_invariants();
}

#[test]
fn reprice_machines_makes_a_slashed_machine_whole() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    assert!(world.slot(3).is(SlotState::Suspended));
    assert_eq!(world.slot(3).bond, 0);
    let free = free_stake(&world, &supplier);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.ok(&[reprice], &[&supplier.wallet]);
    assert!(world.slot(3).is(SlotState::Idle));
    assert_eq!((world.slot(3).bond, free - free_stake(&world, &supplier)), (100 * STAKE, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn reprice_machines_fails_when_an_offer_is_invalid() {
    let Scene { mut world, supplier, .. } = Scene::listed(3);
    let (round, other) = (world.round(), world.supplier());
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let good = Offer { slot: 0, price: 1, committed_until: round + 2 };
    let mut refuses = |who: &SupplierActor, offer: Offer, error: LeaseholdError| {
        let reprice = reprice(&world, who, vec![offer]);
        world.fails(reprice, &[&who.wallet], error);
    };
    refuses(&supplier, Offer { slot: 3, ..good }, LeaseholdError::NoSuchSlot);
    refuses(&supplier, Offer { slot: 1, ..good }, LeaseholdError::SlotVacant);
    refuses(&supplier, Offer { price: 0, ..good }, LeaseholdError::PriceIsZero);
    refuses(&supplier, Offer { committed_until: round + 1, ..good }, LeaseholdError::CommitmentTooShort);
    let most = round + 1 + 366 * 86_400 / 600;
    refuses(&supplier, Offer { committed_until: most + 1, ..good }, LeaseholdError::CommitmentTooLong);
    refuses(&supplier, Offer { committed_until: u32::MAX, ..good }, LeaseholdError::CommitmentTooLong);
    refuses(&other, good, LeaseholdError::WrongSupplier);
    let none = reprice(&world, &supplier, vec![]);
    world.fails(none, &[&supplier.wallet], LeaseholdError::NoMachines);
    let long = Offer { slot: 2, committed_until: most, ..good };
    let good = reprice(&world, &supplier, vec![good, long]);
    world.ok(&[good], &[&supplier.wallet]);
}

#[test]
fn reprice_machines_fails_when_the_machine_is_leased() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 2);
    let offer = Offer { slot: 0, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.fails(reprice, &[&supplier.wallet], LeaseholdError::MachineLeased);
}

#[test]
fn reprice_machines_fails_when_the_bond_cannot_be_made_whole() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let all = free_stake(&world, &supplier);
    let unstake = instruction::request_unstake(&world.market, supplier.wallet.pubkey(), all);
    world.ok(&[unstake], &[&supplier.wallet]);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.fails(reprice, &[&supplier.wallet], LeaseholdError::InsufficientStake);
}
