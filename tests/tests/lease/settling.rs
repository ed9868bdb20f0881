//! Settling, claiming and closing a lease.

use leasehold::{
    error::LeaseholdError,
    state::{LeaseState, Params, RoundRules, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{cancel, claim_refund, cost, gross, lease_address, leased};

fn settle(world: &World) -> Instruction {
    instruction::settle_lease(&world.board(), lease_address(world))
}

#[test]
fn settle_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 30);
    for _ in 0..20 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    // What the first two hours earn is kept until the end.
    let interim = gross(20) - 700_000;
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid + lease.fees, lease.refunded), (LeaseState::Open, 2 * interim, 0));
    assert_eq!(lease.fees, 2 * (interim * 300 / 10_000));
    assert_eq!(world.slot(0).accrued + world.slot(1).accrued, lease.paid);
    world.assert_invariants();

    for _ in 0..10 {
        world.attest(&keepers, |machine| machine == 0);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    // Down in ten rounds of thirty, one of them allowed: a fifth of its pay is less than the price of nine.
    let damages = gross(20) / 5;
    assert_eq!(lease.paid + lease.fees, gross(30) + gross(20) - damages);
    assert_eq!((lease.burned, world.with_board(|board, _| board.ledger.burning)), (damages, damages));
    assert_eq!((lease.refunded, lease.refund_due), (2 * cost(30) - gross(30) - gross(20), lease.refunded));
    assert_eq!(world.with_board(|board, _| board.ledger.escrow), 0);
    // Of the bond: nine of three days' rounds, at twice the rate.
    assert_eq!(lease.slashed, 100 * STAKE * 9 * 2 / 432);
    assert_eq!(world.with_board(|board, _| board.ledger.slashed), lease.slashed);
    assert!(world.slot(0).is(SlotState::Idle) && world.slot(1).is(SlotState::Suspended));
    world.assert_invariants();
}

/// Two hours' pay is kept, and a fifth of it all once that is more.
#[test]
fn settle_lease_keeps_two_hours_pay_or_a_fifth_until_the_end() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 100);
    for (closed, kept) in
        [(1, gross(1)), (12, gross(12)), (13, gross(12)), (60, gross(12)), (75, gross(75) / 5)]
    {
        while world.slot(0).lease_up < closed {
            world.attest(&keepers, |_| true);
        }
        world.settle(&buyer, 1);
        let lease = world.lease(1);
        assert_eq!(lease.paid + lease.fees, gross(closed.into()) - kept, "{closed}");
        world.assert_invariants();
    }
}

/// A round down within the allowance takes nothing, one beyond it takes its price.
#[test]
fn settle_lease_burns_the_price_of_rounds_down_beyond_the_allowance() {
    for down in 0..8u32 {
        let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 60);
        for round in 0..60 {
            world.attest(&keepers, |_| round % 8 != 0 || round >= 8 * down);
        }
        world.settle(&buyer, 1);
        // Three of 60 rounds are allowed.
        let (up, over) = (u64::from(60 - down), u64::from(down.saturating_sub(3)));
        let lease = world.lease(1);
        assert_eq!((lease.paid + lease.fees, lease.burned), (gross(up) - gross(over), gross(over)), "{down}");
        assert_eq!(lease.refunded, cost(60) - gross(up));
        assert_eq!(lease.slashed, 100 * STAKE * over * 2 / 432);
        world.assert_invariants();
    }
}

#[test]
fn settle_lease_pays_void_rounds_at_the_machines_own_ratio_when_half_were_judged() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 6);
    // Machine 0 is up in all three rounds that are judged, 1 in two of them; three are void.
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |machine| machine == 0);
    world.pass(4 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!((lease.paid + lease.fees, lease.burned), (gross(6) + gross(4), 0));
    world.assert_invariants();
}

#[test]
fn settle_lease_pays_and_slashes_nobody_when_all_rounds_are_void() {
    let Scene { mut world, buyer, .. } = Scene::leased(2, 2, 3);
    world.pass(5 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid, lease.fees, lease.slashed), (LeaseState::Settled, 0, 0, 0));
    assert_eq!((lease.refund_due, lease.burned), (lease.deposit, 0));
    world.assert_invariants();
}

/// Rounds on which enough keepers voted, but not the same.
#[test]
fn settle_lease_pays_and_slashes_nobody_when_all_rounds_are_unseen() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 3);
    for _ in 0..3 {
        world.end_round();
        world.vote(&keepers[0], |_| true);
        world.vote(&keepers[1], |_| false);
        world.pass(300);
        let close = instruction::close_round(&world.board());
        world.ok(&[close], &[&buyer]);
    }
    world.settle(&buyer, 1);
    let (lease, slot) = (world.lease(1), world.slot(0));
    assert_eq!((slot.lease_unseen, slot.unseen), (3, 3));
    assert_eq!((lease.state, lease.paid, lease.fees, lease.slashed), (LeaseState::Settled, 0, 0, 0));
    assert_eq!((lease.refund_due, lease.burned), (lease.deposit, 0));
    world.assert_invariants();
}

/// A machine is abandoned if it was down in four of the last 64 rounds, and in more than a week's allowance.
#[test]
fn settle_lease_slashes_the_whole_bond_of_an_abandoned_machine() {
    // One of a week's rounds may be down.
    let rules = RoundRules { sla_bps: 9_995, ..rules() };
    for (down, abandoned) in [(3u32, false), (4, true)] {
        let mut world = World::with(rules, params());
        let (supplier, keepers, buyer) = (world.supplier(), world.keepers(3), world.wallet());
        world.list(&supplier, COMMITTED, &[machine(0)]);
        world.open(&buyer, anything(), 1, 100);
        world.end_round();
        for round in 0..100 {
            world.attest(&keepers, |_| round >= 13 * down || round % 13 != 0);
        }
        world.settle(&buyer, 1);
        let (lease, over) = (world.lease(1), u64::from(down) - 1);
        let slashed = if abandoned { 100 * STAKE } else { 100 * STAKE * over * 2 / 432 };
        assert_eq!((lease.slashed, world.slot(0).bond), (slashed, 100 * STAKE - slashed));
        // It is paid for its rounds up all the same, less the damages.
        let up = 100 - u64::from(down);
        assert_eq!((lease.paid + lease.fees, lease.burned), (gross(up) - gross(over), gross(over)));
        assert!(world.slot(0).is(SlotState::Suspended));
        world.assert_invariants();
    }
}

/// What a forfeiture takes goes back to the owner: the supplier itself has signed it.
#[test]
fn settle_lease_pays_the_damages_of_a_forfeited_machine_to_the_owner() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(1, 1, 100);
    for _ in 0..70 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    world.forfeit(&supplier, &[0]);
    for _ in 0..30 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    // Down in 30 rounds, 25 more than allowed: a fifth of its pay is less.
    let damages = gross(70) / 5;
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.burned), (gross(70) - damages, 0));
    assert_eq!((lease.refunded, lease.slashed), (cost(100) - gross(70) + damages, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn settle_lease_resumes_where_the_last_transaction_stopped() {
    let mut world = World::with(rules(), Params { bond_unit: 1_000, ..params() });
    let (supplier, keepers, buyer) = (world.supplier(), world.keepers(3), world.wallet());
    let machines: Vec<_> = (0..2_200).map(machine).collect();
    world.list(&supplier, COMMITTED, &machines);
    world.open(&buyer, anything(), 2_200, 2);
    world.end_round();
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.refunded), (LeaseState::Open, 0));
    assert!((1..2_200).contains(&lease.unsettled), "{}", lease.unsettled);
    // Of each, one of three days' rounds at twice the rate.
    assert_eq!(lease.slashed, 4 * u64::from(2_200 - lease.unsettled));
    assert_eq!(leased(&world, 1).len(), lease.unsettled as usize);
    world.assert_invariants();
    // Anybody can settle the rest, and the owner cannot prevent it by cancelling.
    let cancel = cancel(&world, &buyer);
    world.fails(cancel, &[&buyer], LeaseholdError::LeaseOver);
    while world.lease(1).state != LeaseState::Settled {
        let before = world.lease(1).unsettled;
        world.settle(&buyer, 1);
        assert!(world.lease(1).unsettled < before, "every settlement settles some");
    }
    let lease = world.lease(1);
    assert_eq!((lease.unsettled, lease.slashed), (0, 4 * 2_200));
    assert_eq!(lease.refund_due, lease.deposit);
    world.assert_invariants();
}

#[test]
fn settle_lease_fails_when_it_is_settled() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let settle = settle(&world);
    world.fails(settle, &[&buyer], LeaseholdError::LeaseSettled);
}

#[test]
fn claim_refund_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (due, before) = (world.lease(1).refund_due, world.payments_of(&buyer.pubkey()));
    assert_eq!(due, 4 * cost(2) - 3 * gross(2));
    let claim = claim_refund(&world, &buyer);
    world.ok(core::slice::from_ref(&claim), &[&buyer]);
    assert_eq!(world.payments_of(&buyer.pubkey()) - before, due);
    assert_eq!((world.lease(1).refund_due, world.lease(1).refunded), (0, due));
    world.assert_invariants();
    world.fails(claim, &[&buyer], LeaseholdError::NothingToWithdraw);
}

#[test]
fn close_lease_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (lease, stranger) = (lease_address(&world), world.wallet());
    let close = instruction::close_lease(&world.board(), buyer.pubkey(), lease);
    world.fails(close.clone(), &[&stranger], LeaseholdError::LeaseHoldsMoney);
    let refund = claim_refund(&world, &buyer);
    world.ok(&[refund], &[&buyer]);

    // Within the dispute window, receipts can still be disputed.
    let disputable = i64::from(world.lease(1).until + 144) * 600;
    world.fails(close.clone(), &[&stranger], LeaseholdError::DisputesOpen);
    world.set_time(disputable - 1);
    world.fails(close.clone(), &[&stranger], LeaseholdError::DisputesOpen);
    world.set_time(disputable);
    let (rent, before) = (world.lamports(&lease), world.lamports(&buyer.pubkey()));
    world.ok(&[close], &[&stranger]);
    assert_eq!(world.lamports(&buyer.pubkey()) - before, rent);
    assert_eq!((world.lamports(&lease), world.with_board(|board, _| board.leases)), (0, 0));
    world.assert_invariants();
}

#[test]
fn close_lease_fails_when_it_is_not_settled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let close = instruction::close_lease(&world.board(), buyer.pubkey(), lease_address(&world));
    world.fails(close.clone(), &[&buyer], LeaseholdError::LeaseNotSettled);
    world.settle(&buyer, 1);
    world.fails(close, &[&buyer], LeaseholdError::LeaseNotSettled);
}
