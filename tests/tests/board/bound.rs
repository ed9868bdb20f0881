//! Machines that are bound after their owner left them.

use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    state::{Slot, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{bound, retire};

#[test]
fn a_machine_that_was_down_before_its_owner_left_is_bound_for_as_long_as_it_was_up() {
    let Scene { world, .. } = bound();
    let slot = world.slot(0);
    assert_eq!((slot.lease_up, slot.lease_down), (11, 1));
    assert!(slot.is(SlotState::Idle) && slot.has(Slot::BOUND));
    assert_eq!(slot.committed_until, world.lease(1).until + 11);
    world.assert_invariants();
}

#[test]
fn withhold_machines_fails_when_the_machine_is_bound() {
    let Scene { mut world, supplier, .. } = bound();
    let withhold = instruction::withhold_machines(&world.board(), supplier.wallet.pubkey(), vec![0]);
    let free = world.slot(0).committed_until;
    world.go_to_round(free - 1);
    world.fails(withhold.clone(), &[&supplier.wallet], LeaseholdError::MachineBound);
    world.end_round();
    world.ok(&[withhold], &[&supplier.wallet]);
    assert!(world.slot(0).is(SlotState::Suspended));
    world.assert_invariants();
}

#[test]
fn reprice_machines_fails_when_a_bound_machine_would_cost_more_or_be_committed_otherwise() {
    let Scene { mut world, supplier, .. } = bound();
    let Slot { price, committed_until, .. } = world.slot(0);
    let good = Offer { slot: 0, price: price - 1, committed_until, bond: 200 * STAKE };
    let reprice = |world: &World, offer: Offer| {
        instruction::reprice_machines(&world.board(), supplier.wallet.pubkey(), vec![offer])
    };
    for bad in [
        Offer { price: price + 1, ..good },
        Offer { committed_until: committed_until - 1, ..good },
        Offer { committed_until: committed_until + 1, ..good },
    ] {
        let bad = reprice(&world, bad);
        world.fails(bad, &[&supplier.wallet], LeaseholdError::MachineBound);
    }
    let cheaper = reprice(&world, good);
    world.ok(&[cheaper], &[&supplier.wallet]);
    let slot = world.slot(0);
    assert_eq!((slot.price, slot.bond), (price - 1, 200 * STAKE));
    assert!(slot.has(Slot::BOUND));

    // Once it is free, any offer will do, and does not bind it again.
    world.go_to_round(committed_until);
    let offer = Offer { price: 2 * price, committed_until: committed_until + 500, ..good };
    let free = reprice(&world, offer);
    world.ok(&[free], &[&supplier.wallet]);
    let withhold = instruction::withhold_machines(&world.board(), supplier.wallet.pubkey(), vec![0]);
    world.ok(&[withhold], &[&supplier.wallet]);
    world.assert_invariants();
}

#[test]
fn retire_machines_fails_when_the_machine_is_bound() {
    let Scene { mut world, supplier, .. } = bound();
    let key = supplier.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&world.board(), key, supplier.account, wallet);
    world.ok(&[claim], &[&supplier.wallet]);
    let free = world.slot(0).committed_until;
    let retire = retire(&world, &supplier, &[0]);
    world.go_to_round(free - 1);
    world.fails(retire.clone(), &[&supplier.wallet], LeaseholdError::MachineBound);
    world.end_round();
    world.fails(retire.clone(), &[&supplier.wallet], LeaseholdError::DisputesOpen);
    world.end_disputes();
    world.ok(&[retire], &[&supplier.wallet]);
    world.assert_invariants();
}

/// A bound machine serves whoever leases it, and stays bound until the same round.
#[test]
fn a_bound_machine_can_be_leased() {
    let Scene { mut world, keepers, buyer, .. } = bound();
    let free = world.slot(0).committed_until;
    world.open(&buyer, anything(), 1, 4);
    world.end_round();
    assert!(world.slot(0).has(Slot::BOUND) && world.slot(0).is(SlotState::Leased));
    for _ in 0..4 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 2);
    assert!(world.slot(0).has(Slot::BOUND) && world.slot(0).is(SlotState::Idle));
    assert_eq!(world.slot(0).committed_until, free);
    world.assert_invariants();
}
