//! Extending, cancelling and transferring a lease.

use leasehold::{
    error::LeaseholdError,
    rules::extend::Allowance,
    state::{LeaseState, Slot, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{cancel, claim_refund, cost, gross, lease_address, payments};

fn extend(world: &World, owner: &Keypair, rounds: u32, max_deposit: u64) -> Instruction {
    world.extend_instruction(owner, 1, rounds, Allowance { max_deposit, max_leaving: 0 })
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
    world.forfeit(&supplier, &[1]);
    let forfeited = extend(&world, &buyer, 1, u64::MAX);
    world.fails(forfeited, &[&buyer], LeaseholdError::MachineNotCommitted);
}

#[test]
fn extend_lease_leaves_machines_at_the_old_end_that_are_not_committed_for_so_long() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(1);
    world.list(&supplier, 3, &[machine(1)]);
    world.open(&buyer, anything(), 2, 3);
    world.end_round();
    let (until, before) = (world.lease(1).until, world.payments_of(&buyer.pubkey()));
    let none = extend(&world, &buyer, 2, u64::MAX);
    world.fails(none, &[&buyer], LeaseholdError::MachineNotCommitted);
    let allowed = Allowance { max_deposit: cost(5) - cost(3), max_leaving: 1 };
    let extend = world.extend_instruction(&buyer, 1, 2, allowed);
    world.ok(&[extend], &[&buyer]);
    assert_eq!((world.slot(0).lease_until, world.slot(1).lease_until), (until + 2, until));
    let lease = world.lease(1);
    assert_eq!((lease.machines, lease.unsettled, lease.until), (1, 2, until + 2));
    assert_eq!(before - world.payments_of(&buyer.pubkey()), cost(5) - cost(3));
    world.assert_invariants();
    // It is settled at its own end, and not counted as left by its owner.
    for _ in 0..3 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    assert_eq!((world.lease(1).unsettled, world.slot(1).accrued), (1, gross(3) - gross(3) * 300 / 10_000));
    assert!(world.slot(1).is(SlotState::Idle) && world.lease(1).state == LeaseState::Open);
    for _ in 0..2 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.state), (gross(5) + gross(3), LeaseState::Settled));
    assert_eq!(lease.refunded, cost(5) + cost(3) - gross(5) - gross(3));
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_no_machine_would_stay() {
    let Scene { mut world, buyer, .. } = Scene::leased(2, 2, 3);
    let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 2 };
    let beyond = world.extend_instruction(&buyer, 1, COMMITTED - 2, allowed);
    world.fails(beyond, &[&buyer], LeaseholdError::MachineNotCommitted);
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

/// Somebody else than the owner may pay for an extension; what is not spent is the owner's.
#[test]
fn extend_lease_ok_with_another_payer() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 3);
    let (friend, board) = (world.wallet(), world.board());
    let before = [&buyer, &friend].map(|wallet| world.payments_of(&wallet.pubkey()));
    let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 0 };
    let (lease, wallet) = (lease_address(&world), payments(&world, &friend));
    let extend =
        instruction::extend_lease(&board, buyer.pubkey(), friend.pubkey(), lease, wallet, 2, allowed);
    world.ok(&[extend], &[&friend, &buyer]);
    let after = [&buyer, &friend].map(|wallet| world.payments_of(&wallet.pubkey()));
    assert_eq!((before[0], before[1]), (after[0], after[1] + cost(5) - cost(3)));
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
    // The running round becomes the last.
    assert_eq!((lease.until, lease.terms.rounds), (lease.from + 1, 1_000));
    let slot = world.slot(0);
    assert_eq!((slot.lease_until, slot.lease_agreed), (lease.until, lease.from + 1_000));
    assert!(slot.has(Slot::LEFT) && !slot.has(Slot::DARK));
    world.assert_invariants();

    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    // 5 percent of 999 rounds are more than an hour, which is the most for a lease of a week.
    assert_eq!(lease.paid + lease.fees, gross(1) + 350_000);
    assert_eq!((lease.refunded, lease.burned), (cost(1_000) - gross(1) - 350_000, 0));
    assert!(world.slot(0).is(SlotState::Idle) && !world.slot(0).has(Slot::BOUND));
    world.assert_invariants();
}

#[test]
fn cancel_lease_before_it_begins_costs_its_first_round_and_five_percent() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    world.open(&buyer, anything(), 1, 41);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!(lease.until, lease.from + 1);
    world.assert_invariants();
    world.end_round();
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    // A twentieth of 40 rounds is 1,200 seconds.
    assert_eq!(lease.paid + lease.fees, gross(1) + 350_000 * 1_200 / 3_600);
    world.assert_invariants();
}

/// A long lease: the cap grows by an hour for each day beyond six.
#[test]
fn cancel_lease_costs_up_to_a_day_for_a_lease_of_a_month() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(0);
    world.list(&supplier, 5_000, &[machine(0)]);
    world.open(&buyer, anything(), 1, 30 * 144);
    world.end_round();
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(1) + 24 * 350_000);
    world.assert_invariants();
}

/// What leaving costs is burned where the machine was down in the last hour; the owner owes it all the same.
#[test]
fn cancel_lease_burns_the_exit_of_a_machine_that_was_down_in_the_last_hour() {
    for (down, burns) in [(0, false), (5, false), (6, true), (11, true)] {
        let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 100);
        for round in 0..11 {
            world.attest(&keepers, |_| round != down);
        }
        let cancel = cancel(&world, &buyer);
        world.ok(&[cancel], &[&buyer]);
        // The last round is judged after the cancellation.
        world.attest(&keepers, |_| down != 11);
        world.settle(&buyer, 1);
        let (lease, slot) = (world.lease(1), world.slot(0));
        assert_eq!((slot.lease_up, slot.lease_down), (11, 1));
        // A twentieth of 88 rounds is 2,640 seconds.
        let exit = 350_000 * 2_640 / 3_600;
        let (paid, burned) = if burns { (0, exit) } else { (exit, 0) };
        assert_eq!((lease.paid + lease.fees, lease.burned), (gross(11) + paid, burned), "{down}");
        assert_eq!(lease.refunded, cost(100) - gross(11) - exit);
        assert_eq!((slot.has(Slot::BOUND), lease.slashed), (burns, 0));
        world.assert_invariants();
    }
}

/// Each round down beyond the allowance shortens what is owed by a round.
#[test]
fn cancel_lease_costs_less_by_the_time_down_beyond_the_allowance() {
    for down in 1..6u32 {
        let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 100);
        for round in 0..20 {
            world.attest(&keepers, |_| round % 2 == 1 || round >= 2 * down);
        }
        let cancel = cancel(&world, &buyer);
        world.ok(&[cancel], &[&buyer]);
        world.attest(&keepers, |_| true);
        world.settle(&buyer, 1);
        let (up, over) = (u64::from(21 - down), u64::from(down - 1));
        // A twentieth of 79 rounds is 2,370 seconds: not quite four rounds.
        let exit = 350_000 * 2_370u64.saturating_sub(600 * over) / 3_600;
        let damages = gross(over).min(gross(up) / 5);
        let lease = world.lease(1);
        let (paid, burned) = if over == 0 { (exit, 0) } else { (0, exit + damages) };
        assert_eq!((lease.paid + lease.fees, lease.burned), (gross(up) - damages + paid, burned), "{down}");
        assert_eq!(lease.refunded, cost(100) - gross(up) - exit);
        world.assert_invariants();
    }
}

#[test]
fn cancel_lease_fails_when_a_contested_slot_does_not_serve_it() {
    let Scene { mut world, buyer, .. } = Scene::leased(3, 2, 9);
    for contest in [&[2][..], &[3], &[0, u16::MAX]] {
        let cancel = world.cancel_instruction(&buyer, 1, contest);
        world.fails(cancel, &[&buyer], LeaseholdError::NotInLease);
    }
    let cancel = world.cancel_instruction(&buyer, 1, &[0, 1, 1]);
    world.ok(&[cancel], &[&buyer]);
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
    let claim = claim_refund(&world, &heir);
    world.ok(&[claim], &[&heir]);
    assert_eq!(world.payments_of(&heir.pubkey()) - before.0, cost(2));
    assert_eq!(world.stake_of(&heir.pubkey()), before.1, "the bond's part is burned");
    assert_eq!(world.lease(1).slashed, 100 * STAKE * 2 / 432);
    world.assert_invariants();
}
