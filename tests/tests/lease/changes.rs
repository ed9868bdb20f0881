//! Extending, cancelling and transferring a lease.

use leasehold::{
    error::LeaseholdError,
    state::{LeaseState, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{cancel, claim_compensation, claim_refund, cost, forfeit, gross, lease_address, payments};

fn extend(world: &World, owner: &Keypair, rounds: u32, most: u64) -> Instruction {
    let wallet = payments(world, owner);
    instruction::extend_lease(&world.board(), owner.pubkey(), lease_address(world), wallet, rounds, most)
}

#[test]
fn extend_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 3);
    let (until, before) = (world.lease(1).until, world.payments_of(&buyer.pubkey()));
    let more = 2 * (cost(5) - cost(3));
    let dear = extend(&world, &buyer, 2, more - 1);
    world.fails(dear, &[&buyer], LeaseholdError::CostsTooMuch);
    let extend = extend(&world, &buyer, 2, more);
    world.ok(&[extend], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((lease.until, lease.terms.rounds), (until + 2, 5));
    assert_eq!((lease.deposit, before - world.payments_of(&buyer.pubkey())), (2 * cost(5), more));
    assert_eq!((world.slot(0).lease_until, world.slot(1).lease_until), (until + 2, until + 2));
    world.assert_invariants();

    for _ in 0..5 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.state), (2 * gross(5), LeaseState::Settled));
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_the_length_is_not_allowed() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 3);
    let none = extend(&world, &buyer, 0, u64::MAX);
    world.fails(none, &[&buyer], LeaseholdError::LeaseLength);
    let most = params().max_rounds;
    let too_long = extend(&world, &buyer, most - 2, u64::MAX);
    world.fails(too_long, &[&buyer], LeaseholdError::LeaseLength);
    let endless = extend(&world, &buyer, u32::MAX, u64::MAX);
    world.fails(endless, &[&buyer], LeaseholdError::MathOverflow);
}

#[test]
fn extend_lease_fails_when_a_machine_has_broken_promise_or_not_committed_for_so_long() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(2, 2, 3);
    // Committed for 1,000 rounds, from the first round of the lease on.
    let beyond = extend(&world, &buyer, COMMITTED - 2, u64::MAX);
    world.fails(beyond, &[&buyer], LeaseholdError::MachineNotCommitted);
    forfeit(&mut world, &supplier, &[1]);
    let forfeited = extend(&world, &buyer, 1, u64::MAX);
    world.fails(forfeited, &[&buyer], LeaseholdError::MachineNotCommitted);
}

#[test]
fn extend_lease_ok_up_to_the_last_round_of_the_commitment() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 3);
    let extend = extend(&world, &buyer, COMMITTED - 3, u64::MAX);
    world.ok(&[extend], &[&buyer]);
    assert_eq!(world.lease(1).until, world.slot(0).committed_until);
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_its_term_is_over() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let extend = extend(&world, &buyer, 1, u64::MAX);
    world.set_time(i64::from(world.lease(1).until) * 600);
    world.fails(extend.clone(), &[&buyer], LeaseholdError::LeaseOver);
    world.pass(-1);
    world.ok(&[extend], &[&buyer]);
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_it_was_cancelled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 9);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let extend = extend(&world, &buyer, 1, u64::MAX);
    world.fails(extend, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn cancel_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 1_000);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Cancelled);
    // The running round becomes the last; 5 percent of 999 rounds are more than an hour.
    assert_eq!((lease.until, lease.terms.cancel_secs), (lease.from + 1, 3_600));
    assert_eq!(world.slot(0).lease_until, lease.until);
    world.assert_invariants();

    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(1) + 350_000);
    assert_eq!(lease.refunded, cost(1_000) - gross(1) - 350_000);
    assert!(world.slot(0).is(SlotState::Idle));
    world.assert_invariants();
}

#[test]
fn cancel_lease_before_it_begins_costs_five_percent() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    world.open(&buyer, anything(), 1, 41);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((lease.until, lease.terms.cancel_secs), (lease.from + 1, 40 * 600 / 20));
    world.assert_invariants();
    world.end_round();
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, 350_000 * 600 / 3_600 + 350_000 * 1_200 / 3_600);
    world.assert_invariants();
}

#[test]
fn cancel_lease_fails_when_the_lease_has_a_single_round() {
    let Scene { mut world, buyer, .. } = Scene::listed(1);
    world.open(&buyer, anything(), 1, 1);
    let cancel = cancel(&world, &buyer);
    world.fails(cancel.clone(), &[&buyer], LeaseholdError::LeaseOver);
    world.end_round();
    world.fails(cancel, &[&buyer], LeaseholdError::LeaseOver);
}

#[test]
fn cancel_lease_fails_when_it_is_over_or_cancelled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let cancel = cancel(&world, &buyer);
    world.end_round();
    world.fails(cancel.clone(), &[&buyer], LeaseholdError::LeaseOver);

    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let cancel = self::cancel(&world, &buyer);
    world.ok(core::slice::from_ref(&cancel), &[&buyer]);
    world.fails(cancel, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn transfer_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    let heir = world.wallet();
    let transfer = instruction::transfer_lease(buyer.pubkey(), lease_address(&world), heir.pubkey());
    world.ok(core::slice::from_ref(&transfer), &[&buyer]);
    assert_eq!((world.lease(1).buyer, world.lease(1).owner), (buyer.pubkey(), heir.pubkey()));
    world.fails(transfer, &[&buyer], LeaseholdError::WrongAuthority);

    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&buyer, 1);
    let before = (world.payments_of(&heir.pubkey()), world.stake_of(&heir.pubkey()));
    let claims = [claim_refund(&world, &heir), claim_compensation(&world, &heir)];
    world.ok(&claims, &[&heir]);
    assert_eq!(world.payments_of(&heir.pubkey()) - before.0, cost(2));
    assert_eq!(world.stake_of(&heir.pubkey()) - before.1, 60 * STAKE);
    world.assert_invariants();
}
