//! Contesting machines when leaving them: what is burned, of the machine's money and of the owner's.

use leasehold::{
    error::LeaseholdError,
    rules::extend::Allowance,
    state::{Slot, SlotState},
};
use leasehold_tests::*;

use crate::{cost, gross};

/// A lease of 100 rounds of a machine, `up` of which were closed, all up.
fn served(up: u32) -> Scene {
    let mut scene = Scene::leased(2, 1, 100);
    for _ in 0..up {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene
}

#[test]
fn cancel_lease_burns_the_last_two_hours_of_a_contested_machine_and_half_as_much_of_the_owners() {
    let Scene { mut world, keepers, buyer, .. } = served(29);
    let cancel = world.cancel_instruction(&buyer, 1, &[0]);
    world.ok(&[cancel], &[&buyer]);
    assert!(world.slot(0).has(Slot::CONTESTED));
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    // Two hours of 30 rounds are kept, and a twentieth of the other 70 is owed: 2,100 seconds.
    let (lost, exit) = (700_000, 350_000 * 2_100u64 / 3_600);
    let penalty = (lost + exit).div_ceil(2);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(30) - lost);
    assert_eq!(lease.burned, lost + exit + penalty);
    assert_eq!(lease.refunded, cost(100) - gross(30) - exit - penalty);
    // It is bound for as long as it was up.
    let slot = world.slot(0);
    assert!(slot.has(Slot::BOUND) && slot.is(SlotState::Idle));
    assert_eq!((slot.committed_until, slot.bond), (lease.until + 30, 100 * STAKE));
    world.assert_invariants();
}

/// Of a machine that is just a key, found in its first hours, nothing is paid at all.
#[test]
fn replace_node_burns_all_pay_of_a_machine_that_is_contested_in_its_first_two_hours() {
    let Scene { mut world, keepers, buyer, .. } = served(4);
    let args = leasehold::instructions::ReplaceNodeArgs { contest: true, ..replacement(0) };
    let replace = world.replace_instruction(&buyer, 1, args);
    world.ok(&[replace], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let (lost, penalty) = (gross(5), gross(5).div_ceil(2));
    let (lease, slot) = (world.lease(1), world.slot(0));
    // Replacing by a machine of the same price costs nothing besides.
    assert_eq!((lease.paid, lease.burned), (0, lost + penalty));
    assert_eq!((lease.refunded, slot.accrued), (cost(100) - lost - penalty, 0));
    assert!(slot.has(Slot::BOUND) && slot.committed_until == slot.lease_until + 5);
    world.assert_invariants();
}

/// What is contested is no more than the rest of the lease costs: at its end nobody can contest.
#[test]
fn cancel_lease_burns_no_more_of_a_contested_machine_than_the_rest_of_the_lease() {
    let Scene { mut world, keepers, buyer, .. } = served(97);
    let cancel = world.cancel_instruction(&buyer, 1, &[0]);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let (lost, exit) = (gross(2), 350_000 * 60 / 3_600);
    let penalty = (lost + exit).div_ceil(2);
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.burned), (gross(98) - lost, lost + exit + penalty));
    // Bound for the two rounds that were left.
    assert_eq!(world.slot(0).committed_until, lease.until + 2);
    world.assert_invariants();
}

/// Nor can a machine be contested that leaves no earlier than was agreed: one that takes over in the last round, or that an
/// extension left at its old end.
#[test]
fn cancel_lease_fails_to_contest_a_machine_that_it_does_not_leave_early() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(3);
    world.list(&supplier, 3, &[machine(3)]);
    world.open(&buyer, anything(), 4, 3);
    world.end_round();
    let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 1 };
    let extend = world.extend_instruction(&buyer, 1, 9, allowed);
    world.ok(&[extend], &[&buyer]);
    for _ in 0..2 {
        world.attest(&keepers, |_| true);
    }
    assert_eq!(world.slot(3).lease_until, world.round() + 1);
    let contested = world.cancel_instruction(&buyer, 1, &[0, 3]);
    world.fails(contested, &[&buyer], LeaseholdError::LeaseOver);
    assert!(!world.slot(0).has(Slot::CONTESTED));
    let others = world.cancel_instruction(&buyer, 1, &[0]);
    world.ok(&[others], &[&buyer]);
    world.assert_invariants();
}

/// Damages come first: a contest takes the rest of what is kept.
#[test]
fn cancel_lease_burns_what_damages_leave_of_the_kept_pay() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 100);
    for round in 0..19 {
        world.attest(&keepers, |_| ![0, 2, 4].contains(&round));
    }
    let cancel = world.cancel_instruction(&buyer, 1, &[0]);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    // Of 20 rounds one may be down; 17 up are 991,666, of which two hours are kept.
    let (damages, lost) = (gross(2), 700_000 - gross(2));
    // A twentieth of 80 rounds, less two rounds: not the machine's, since it is to blame.
    let exit = 350_000 * (2_400 - 1_200) / 3_600;
    let penalty = lost.div_ceil(2);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(17) - 700_000);
    assert_eq!(lease.burned, damages + lost + exit + penalty);
    assert_eq!(lease.refunded, cost(100) - gross(17) - exit - penalty);
    world.assert_invariants();
}

/// A machine that its supplier took out of the lease can't be contested: its pay is the owner's to lose.
#[test]
fn cancel_lease_takes_nothing_from_a_contested_machine_that_was_forfeited() {
    let Scene { mut world, supplier, keepers, buyer } = served(20);
    world.forfeit(&supplier, &[0]);
    let cancel = world.cancel_instruction(&buyer, 1, &[0]);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    // Down in the one round after it was forfeited, which is within the allowance of 21.
    assert_eq!((lease.paid + lease.fees, lease.burned), (gross(20), 0));
    assert_eq!((lease.refunded, lease.slashed), (cost(100) - gross(20), 100 * STAKE));
    world.assert_invariants();
}
