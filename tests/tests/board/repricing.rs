//! Repricing machines.

use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    state::{Slot, SlotState},
};
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
    let offers = vec![Offer { slot: 1, price: 5, committed_until: until, bond: 0 }];
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
    let left = world.slot(3).bond;
    // One of three days' rounds, at twice the rate.
    assert_eq!(left, 100 * STAKE - 100 * STAKE * 2 / 432);
    let free = free_stake(&world, &supplier);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9, bond: 0 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.ok(&[reprice], &[&supplier.wallet]);
    assert!(world.slot(3).is(SlotState::Idle));
    assert_eq!((world.slot(3).bond, free - free_stake(&world, &supplier)), (100 * STAKE, 100 * STAKE - left));
    world.assert_invariants();
}

#[test]
fn reprice_machines_fails_when_an_offer_is_invalid() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let mut pair = machine(2);
    pair.traits.gpus = 2;
    world.list(&supplier, COMMITTED, &[pair]);
    let (round, other) = (world.round(), world.supplier());
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let good = Offer { slot: 0, price: 1, committed_until: round + 2, bond: 0 };
    let mut refuses = |who: &SupplierActor, offer: Offer, error: LeaseholdError| {
        let reprice = reprice(&world, who, vec![offer]);
        world.fails(reprice, &[&who.wallet], error);
    };
    refuses(&supplier, Offer { slot: 3, ..good }, LeaseholdError::NoSuchSlot);
    refuses(&supplier, Offer { slot: 1, ..good }, LeaseholdError::SlotVacant);
    refuses(&supplier, Offer { price: 0, ..good }, LeaseholdError::PriceIsZero);
    refuses(&supplier, Offer { slot: 2, price: u64::MAX / 2 + 1, ..good }, LeaseholdError::PriceTooHigh);
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
    let Slot { price, committed_until, lease_until, .. } = world.slot(0);
    let good = Offer { slot: 0, price, committed_until, bond: 0 };
    for offer in [
        Offer { price: price - 1, ..good },
        Offer { price: price + 1, ..good },
        Offer { committed_until: committed_until + 1, ..good },
        Offer { committed_until: lease_until - 1, ..good },
    ] {
        let reprice = reprice(&world, &supplier, vec![offer]);
        world.fails(reprice, &[&supplier.wallet], LeaseholdError::MachineLeased);
    }
}

#[test]
fn reprice_machines_shortens_the_commitment_of_a_leased_machine_to_its_leases_end() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 2);
    let before = world.slot(0);
    let (free, until) = (free_stake(&world, &supplier), before.lease_until);
    let offer = Offer { slot: 0, price: before.price, committed_until: until, bond: 300 * STAKE };
    let shorten = reprice(&world, &supplier, vec![offer]);
    world.ok(&[shorten], &[&supplier.wallet]);
    assert_eq!(world.slot(0), Slot { committed_until: until, ..before }, "its bond stays as it is");
    assert_eq!(free_stake(&world, &supplier), free);
    world.assert_invariants();
}

#[test]
fn reprice_machines_raises_a_bond_beyond_the_minimum_and_never_lowers_it() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let committed_until = world.round() + 9;
    for (bond, expected) in [(250, 250), (120, 250), (0, 250), (251, 251)] {
        let offer = Offer { slot: 0, price: 1, committed_until, bond: bond * STAKE };
        let reprice = reprice(&world, &supplier, vec![offer]);
        world.ok(&[reprice], &[&supplier.wallet]);
        assert_eq!(world.slot(0).bond, expected * STAKE);
        assert_eq!(free_stake(&world, &supplier), STAKED - expected * STAKE);
    }
    world.assert_invariants();
}

#[test]
fn reprice_machines_fails_when_the_bond_cannot_be_made_whole() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let all = free_stake(&world, &supplier);
    let unstake = instruction::request_unstake(&world.market, supplier.wallet.pubkey(), all);
    world.ok(&[unstake], &[&supplier.wallet]);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9, bond: 0 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.fails(reprice, &[&supplier.wallet], LeaseholdError::InsufficientStake);
}
