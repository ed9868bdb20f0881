//! Replacing a machine of a lease.

use leasehold::{error::LeaseholdError, state::SlotState};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{cancel, cost, forfeit, gross, lease_address, leased, payments};

fn replace(world: &World, owner: &Keypair, slot: u16, most: u64) -> Instruction {
    let wallet = payments(world, owner);
    instruction::replace_node(&world.board(), owner.pubkey(), lease_address(world), wallet, slot, most, None)
}

#[test]
fn replace_node_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 2, 100);
    // Down in ten rounds of thirteen, but never in four in a row.
    for round in 0..13 {
        world.attest(&keepers, |machine| machine != 1 || round % 4 == 3);
    }
    let (round, deposit) = (world.round(), world.lease(1).deposit);
    let before = world.payments_of(&buyer.pubkey());
    let replace = replace(&world, &buyer, 1, u64::MAX);
    world.ok(&[replace], &[&buyer]);

    assert_eq!(leased(&world, 1), [0, 2]);
    let (old, new, lease) = (world.slot(1), world.slot(2), world.lease(1));
    assert_eq!((new.lease_from, new.lease_until), (round + 1, lease.until));
    // 5 of 100 rounds are allowed; the other 5, at twice the rate, cost a tenth of the bond.
    assert!(old.is(SlotState::Suspended));
    assert_eq!((old.bond, lease.slashed, lease.compensation_due), (90 * STAKE, 10 * STAKE, 6 * STAKE));
    assert_eq!((old.lease, old.up, old.down), (0, 3, 10));
    assert_eq!(old.accrued, gross(3) - gross(3) * 300 / 10_000);
    // The rest of the old machine's deposit pays for the new one, which serves fewer rounds.
    assert_eq!((lease.deposit, world.payments_of(&buyer.pubkey())), (deposit, before));
    world.assert_invariants();

    for _ in 0..87 {
        world.attest(&keepers, |machine| machine != 1);
    }
    world.settle(&buyer, 1);
    // In the round of the replacement, neither machine served.
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(100) + gross(3) + gross(86));
    assert_eq!(lease.slashed, 10 * STAKE);
    world.assert_invariants();
}

#[test]
fn replace_node_takes_a_further_deposit_when_the_new_machine_costs_more() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(2, 2, 3);
    let mut dear = machine(2);
    dear.price = 10 * USD;
    world.list(&supplier, COMMITTED, &[dear]);
    world.attest(&keepers, |machine| machine != 1);
    // Two rounds are left, one of them running.
    let (costs, freed) = ((10 * USD * 600).div_ceil(3_600), cost(3));
    let too_dear = replace(&world, &buyer, 1, costs - freed - 1);
    world.fails(too_dear, &[&buyer], LeaseholdError::CostsTooMuch);
    let before = world.payments_of(&buyer.pubkey());
    let replace = replace(&world, &buyer, 1, costs - freed);
    world.ok(&[replace], &[&buyer]);
    assert_eq!(before - world.payments_of(&buyer.pubkey()), costs - freed);
    assert_eq!(world.lease(1).deposit, 2 * cost(3) + costs - freed);
    world.assert_invariants();
}

#[test]
fn replace_node_replaces_a_forfeited_machine() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(2, 1, 9);
    forfeit(&mut world, &supplier, &[0]);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    assert_eq!(leased(&world, 1), [1]);
    assert_eq!((world.slot(0).bond, world.lease(1).slashed), (0, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn replace_node_fails_when_the_machine_is_not_down_or_not_in_the_lease() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(5, 3, 100);
    let signer = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&world.board(), signer, supplier.account, vec![3]);
    world.ok(&[retire], &[&supplier.wallet]);
    // 0 is up, 1 is down and up again, 2 is down.
    world.attest(&keepers, |machine| machine != 1);
    world.attest(&keepers, |machine| machine != 2);
    let mut refuses = |slot: u16, error: LeaseholdError| {
        let replace = replace(&world, &buyer, slot, u64::MAX);
        world.fails(replace, &[&buyer], error);
    };
    refuses(0, LeaseholdError::MachineNotDown);
    refuses(1, LeaseholdError::MachineNotDown);
    refuses(3, LeaseholdError::SlotVacant);
    refuses(4, LeaseholdError::NotInLease);
    refuses(5, LeaseholdError::NoSuchSlot);
    let replace = replace(&world, &buyer, 2, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    world.assert_invariants();
}

#[test]
fn replace_node_fails_when_no_other_machine_fits() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 9);
    world.attest(&keepers, |_| false);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.fails(replace, &[&buyer], LeaseholdError::NotEnoughGpus);
}

#[test]
fn replace_node_fails_when_no_round_is_left_or_it_was_cancelled() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 2);
    world.attest(&keepers, |_| false);
    let last_round_runs = replace(&world, &buyer, 0, u64::MAX);
    world.fails(last_round_runs, &[&buyer], LeaseholdError::LeaseOver);

    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 9);
    world.attest(&keepers, |_| false);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let cancelled = replace(&world, &buyer, 0, u64::MAX);
    world.fails(cancelled, &[&buyer], LeaseholdError::LeaseNotOpen);
}
