//! Replacing a machine of a lease.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, Offer, OpenLeaseArgs, ReplaceNodeArgs},
    math::matching::Criteria,
    rules::extend::Allowance,
    state::{LeaseState, MachineId, Slot, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{cancel, cost, gross, leased, payments};

fn replace(world: &World, owner: &Keypair, slot: u16, max_deposit: u64) -> Instruction {
    world.replace_instruction(owner, 1, ReplaceNodeArgs { max_deposit, ..replacement(slot) })
}

fn net(gross: u64) -> u64 {
    gross - gross * 300 / 10_000
}

#[test]
fn replace_node_ok_for_a_machine_that_is_up() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 2, 100);
    for round in 0..20 {
        world.attest(&keepers, |machine| machine != 1 || round != 3);
    }
    let (round, before) = (world.round(), world.payments_of(&buyer.pubkey()));
    let too_dear = replace(&world, &buyer, 1, cost(79) - 1);
    world.fails(too_dear, &[&buyer], LeaseholdError::CostsTooMuch);
    let replace = replace(&world, &buyer, 1, cost(79));
    world.ok(&[replace], &[&buyer]);

    // The old machine serves the running round, the new one the 79 after it, which are paid in.
    assert_eq!(leased(&world, 1), [0, 1, 2]);
    let (old, new, lease) = (world.slot(1), world.slot(2), world.lease(1));
    assert_eq!((old.lease_until, old.lease_agreed), (round + 1, lease.until));
    assert!(old.is(SlotState::Leased) && old.has(Slot::LEFT) && old.has(Slot::REPLACED));
    assert_eq!((new.lease_from, new.lease_until), (round + 1, lease.until));
    assert_eq!((lease.machines, lease.unsettled), (2, 3));
    assert_eq!(lease.replaced, [MachineId { slot: 1, generation: 0 }]);
    assert_eq!(
        (lease.deposit, before - world.payments_of(&buyer.pubkey())),
        (2 * cost(100) + cost(79), cost(79))
    );
    world.assert_invariants();

    // It is settled as soon as its last round is closed, and what it leaves comes back then.
    world.settle(&buyer, 1);
    assert_eq!((world.lease(1).unsettled, world.lease(1).refund_due), (3, 0));
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let (lease, old) = (world.lease(1), world.slot(1));
    assert_eq!(
        (lease.state, lease.unsettled, lease.refund_due),
        (LeaseState::Open, 2, cost(100) - gross(20))
    );
    assert_eq!((old.lease, old.accrued, old.bond), (0, net(gross(20)), 100 * STAKE));
    assert!(old.is(SlotState::Idle) && !old.has(Slot::BOUND));
    // Its verdicts in the lease end with it.
    assert_eq!((old.lease_up, old.lease_down), (20, 1));
    world.assert_invariants();

    for _ in 0..79 {
        world.attest(&keepers, |machine| machine != 1);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(100) + gross(20) + gross(79));
    assert_eq!((lease.slashed, lease.burned, lease.state), (0, 0, LeaseState::Settled));
    assert_eq!((world.slot(1).lease_up, world.slot(1).lease_down), (20, 1));
    world.assert_invariants();
}

#[test]
fn replace_node_ok_for_a_machine_that_has_not_begun() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(2);
    world.open(&buyer, anything(), 1, 9);
    let (round, replace) = (world.round(), replace(&world, &buyer, 0, u64::MAX));
    world.ok(&[replace], &[&buyer]);
    // It serves its first round, since it was off the market for that; the new one serves it too.
    assert_eq!((world.slot(0).lease_from, world.slot(0).lease_until), (round + 1, round + 2));
    assert_eq!((world.slot(1).lease_from, world.slot(1).lease_until), (round + 1, round + 10));
    world.end_round();
    for _ in 0..9 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.state), (gross(1) + gross(9), LeaseState::Settled));
    world.assert_invariants();
}

/// What a new machine costs less for the rest is burned, up to what cancelling would cost.
#[test]
fn replace_node_burns_what_a_cheaper_machine_saves_up_to_the_exit() {
    for (price, secs) in [(175_000, 2_970), (346_500, 593), (349_999, 0), (350_000, 0), (700_000, 0)] {
        let Scene { mut world, supplier, keepers, buyer } = Scene::leased(1, 1, 100);
        world.list(&supplier, COMMITTED, &[Machine { price, ..machine(1) }]);
        let replace = replace(&world, &buyer, 0, u64::MAX);
        world.ok(&[replace], &[&buyer]);
        world.attest(&keepers, |_| true);
        world.settle(&buyer, 1);
        let lease = world.lease(1);
        // A twentieth of 99 rounds is 2,970 seconds. A hundredth of the price of 99 rounds is the price of 593.
        let burned = 350_000 * secs / 3_600;
        assert_eq!((lease.paid + lease.fees, lease.burned), (gross(1), burned), "{price}");
        assert_eq!(lease.refunded, cost(100) - gross(1) - burned);
        world.assert_invariants();
    }
}

#[test]
fn replace_node_replaces_a_forfeited_machine() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(2, 1, 9);
    world.forfeit(&supplier, &[0]);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    assert_eq!(leased(&world, 1), [1]);
    assert_eq!((world.slot(0).bond, world.lease(1).slashed), (0, 100 * STAKE));
    assert_eq!((world.slot(0).accrued, world.lease(1).refund_due), (0, cost(9)));
    world.assert_invariants();
}

#[test]
fn replace_node_picks_no_machine_that_the_lease_replaced_before() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 1, 20);
    for (old, next) in [(0, 1), (1, 2)] {
        let replace = replace(&world, &buyer, old, u64::MAX);
        world.ok(&[replace], &[&buyer]);
        assert_eq!(world.slot(next).lease, 1);
        world.attest(&keepers, |_| true);
        world.settle(&buyer, 1);
        assert!(world.slot(old).is(SlotState::Idle));
    }
    let none = replace(&world, &buyer, 2, u64::MAX);
    world.fails(none, &[&buyer], LeaseholdError::NotEnoughGpus);
    world.assert_invariants();
}

/// Its supplier needs that time to make it ready.
#[test]
fn replace_node_picks_no_machine_that_is_not_rested() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(1);
    // Twenty minutes: two rounds.
    world.list(&supplier, COMMITTED, &[Machine { turnaround: 20, ..machine(1) }]);
    let args = OpenLeaseArgs { avoid: vec![0], ..world.lease_args(&buyer, anything(), 1, 1) };
    let open = world.open_instruction(&buyer, args);
    world.ok(&[open], &[&buyer]);
    world.end_round();
    world.open(&buyer, anything(), 1, 20);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    // The round after its lease runs.
    let early = world.replace_instruction(&buyer, 2, replacement(0));
    world.fails(early, &[&buyer], LeaseholdError::NotEnoughGpus);
    world.end_round();
    let rested = world.replace_instruction(&buyer, 2, replacement(0));
    world.ok(&[rested], &[&buyer]);
    assert_eq!(leased(&world, 2), [0, 1]);
    world.assert_invariants();
}

#[test]
fn replace_node_picks_no_slot_that_is_to_be_avoided() {
    let Scene { mut world, buyer, .. } = Scene::leased(4, 1, 9);
    let all = ReplaceNodeArgs { avoid: vec![1, 2, 3], ..replacement(0) };
    let all = world.replace_instruction(&buyer, 1, all);
    world.fails(all, &[&buyer], LeaseholdError::NotEnoughGpus);
    let many = ReplaceNodeArgs { avoid: vec![9; 17], ..replacement(0) };
    let many = world.replace_instruction(&buyer, 1, many);
    world.fails(many, &[&buyer], LeaseholdError::AvoidsTooMany);
    let two = ReplaceNodeArgs { avoid: vec![1, 2], ..replacement(0) };
    let two = world.replace_instruction(&buyer, 1, two);
    world.ok(&[two], &[&buyer]);
    assert_eq!(leased(&world, 1), [0, 3]);
    world.assert_invariants();
}

#[test]
fn replace_node_picks_no_machine_with_a_lower_bond_than_asked_for() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(3, 1, 9);
    let least = |min_bond| ReplaceNodeArgs { min_bond, ..replacement(0) };
    let more = world.replace_instruction(&buyer, 1, least(100 * STAKE + 1));
    world.fails(more.clone(), &[&buyer], LeaseholdError::NotEnoughGpus);
    let Slot { price, committed_until, .. } = world.slot(2);
    let offers = vec![Offer { slot: 2, price, committed_until, bond: 100 * STAKE + 1 }];
    let (board, key) = (world.board(), supplier.wallet.pubkey());
    world.ok(&[instruction::reprice_machines(&board, key, offers)], &[&supplier.wallet]);
    world.ok(&[more], &[&buyer]);
    assert_eq!(leased(&world, 1), [0, 2]);
    world.assert_invariants();
}

/// One that an extension left at its old end isn't counted; the one that takes over stays to the new end.
#[test]
fn replace_node_counts_the_machine_that_takes_over_from_one_that_would_leave() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(1);
    world.list(&supplier, 3, &[machine(1)]);
    world.open(&buyer, anything(), 2, 3);
    world.end_round();
    let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 1 };
    let extend = world.extend_instruction(&buyer, 1, 2, allowed);
    world.ok(&[extend], &[&buyer]);
    assert_eq!(world.lease(1).machines, 1);
    world.list(&supplier, COMMITTED, &[machine(2)]);
    let replace = replace(&world, &buyer, 1, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    assert_eq!((world.lease(1).machines, world.slot(2).lease_until), (2, world.lease(1).until));
    world.assert_invariants();
}

/// A replacement has at least as many GPUs, and is the cheapest of those in all.
#[test]
fn replace_node_picks_a_machine_with_as_many_gpus() {
    let mut scene = Scene::listed(0);
    let of = |number, gpus, price| {
        let mut machine = Machine { price, ..machine(number) };
        machine.traits.gpus = gpus;
        machine
    };
    let machines = [of(0, 4, 100), of(1, 2, 1), of(2, 8, 60), of(3, 5, 90), of(4, 4, 113)];
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    let four = Criteria { min_gpus: 4, max_gpus: 4, max_price: 100, ..anything() };
    scene.world.open(&scene.buyer, four, 4, 9);
    assert_eq!(leased(&scene.world, 1), [0]);
    // Its criteria allow no other machine.
    let none = replace(&scene.world, &scene.buyer, 0, u64::MAX);
    scene.world.fails(none, &[&scene.buyer], LeaseholdError::NotEnoughGpus);

    let mut scene = Scene::listed(0);
    let machines = [of(0, 4, 50), of(1, 2, 1), of(2, 8, 60), of(3, 5, 90), of(4, 4, 113)];
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    let criteria = Criteria { min_gpus: 3, ..anything() };
    scene.world.open(&scene.buyer, criteria, 4, 9);
    assert_eq!(leased(&scene.world, 1), [0]);
    // 480, 450 and 452 an hour.
    let replace = replace(&scene.world, &scene.buyer, 0, u64::MAX);
    scene.world.ok(&[replace], &[&scene.buyer]);
    assert_eq!(leased(&scene.world, 1), [0, 3]);
    scene.world.assert_invariants();
}

#[test]
fn replace_node_fails_when_the_machine_is_not_in_the_lease() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(5, 3, 100);
    let signer = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&world.board(), signer, supplier.account, vec![3]);
    world.ok(&[retire], &[&supplier.wallet]);
    let mut refuses = |slot: u16, error: LeaseholdError| {
        let replace = replace(&world, &buyer, slot, u64::MAX);
        world.fails(replace, &[&buyer], error);
    };
    refuses(3, LeaseholdError::SlotVacant);
    refuses(4, LeaseholdError::NotInLease);
    refuses(5, LeaseholdError::NoSuchSlot);
    let replace = |world: &World| replace(world, &buyer, 2, u64::MAX);
    let (once, again) = (replace(&world), replace(&world));
    world.ok(&[once], &[&buyer]);
    world.fails(again, &[&buyer], LeaseholdError::NotInLease);
    world.assert_invariants();
}

#[test]
fn replace_node_fails_when_no_other_machine_fits() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 9);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.fails(replace, &[&buyer], LeaseholdError::NotEnoughGpus);
}

#[test]
fn replace_node_fails_when_no_round_is_left_or_it_was_cancelled() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 2);
    world.attest(&keepers, |_| true);
    let last_round_runs = replace(&world, &buyer, 0, u64::MAX);
    world.fails(last_round_runs, &[&buyer], LeaseholdError::LeaseOver);

    let Scene { mut world, buyer, .. } = Scene::leased(2, 1, 9);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let cancelled = replace(&world, &buyer, 0, u64::MAX);
    world.fails(cancelled, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn replace_node_fails_when_somebody_else_pays_without_signing_or_too_little() {
    let Scene { mut world, buyer, .. } = Scene::leased(2, 1, 9);
    let (friend, board, lease) = (world.wallet(), world.board(), world.lease_address(1));
    let replace = |payer: &Keypair, wallet| {
        instruction::replace_node(&board, buyer.pubkey(), payer.pubkey(), lease, wallet, replacement(0))
    };
    let friends = payments(&world, &friend);
    world.fails(replace(&buyer, friends), &[&buyer], TOKEN_OWNER_MISMATCH);
    let before = [&buyer, &friend].map(|wallet| world.payments_of(&wallet.pubkey()));
    world.ok(&[replace(&friend, friends)], &[&friend, &buyer]);
    let after = [&buyer, &friend].map(|wallet| world.payments_of(&wallet.pubkey()));
    assert_eq!((after[0], before[1] - after[1]), (before[0], cost(8)));
    world.assert_invariants();
}
