//! Settling, claiming and closing a lease.

use leasehold::{
    error::LeaseholdError,
    state::{Keeper, LeaseState, Params, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{cancel, claim_compensation, claim_refund, cost, gross, lease_address, leased};

fn settle(world: &World, caller: &Keypair, keeper: Option<Pubkey>) -> Instruction {
    instruction::settle_lease(&world.board(), caller.pubkey(), lease_address(world), keeper)
}

#[test]
fn settle_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 3);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid + lease.fees, lease.refunded), (LeaseState::Open, 2 * gross(1), 0));
    assert_eq!(lease.fees, 2 * (gross(1) * 300 / 10_000));
    assert_eq!(world.slot(0).accrued + world.slot(1).accrued, lease.paid);
    world.assert_invariants();

    for _ in 0..2 {
        world.attest(&keepers, |machine| machine == 0);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, gross(3) + gross(1));
    assert_eq!((lease.refunded, lease.refund_due), (2 * cost(3) - gross(3) - gross(1), lease.refunded));
    assert_eq!(world.with_board(|board, _| board.ledger.escrow), 0);
    // Down in two rounds of three, none of them allowed, at twice the rate: the whole bond.
    assert_eq!((lease.slashed, lease.compensation_due), (100 * STAKE, 60 * STAKE));
    assert!(world.slot(0).is(SlotState::Idle) && world.slot(1).is(SlotState::Suspended));
    world.assert_invariants();
}

#[test]
fn settle_lease_gives_the_callers_part_to_its_keepers_account() {
    let Scene { mut world, keepers, .. } = Scene::leased(1, 1, 2);
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    let KeeperActor { wallet, account, .. } = &keepers[1];
    let settle = settle(&world, wallet, Some(*account));
    world.ok(&[settle], &[wallet]);
    assert_eq!(world.account::<Keeper>(account).stake.free, 5 * STAKE);
    let ledger = world.with_board(|board, _| board.ledger);
    assert_eq!(
        (ledger.compensation, ledger.to_burn, ledger.market_stake),
        (60 * STAKE, 20 * STAKE, 15 * STAKE)
    );
    world.assert_invariants();
}

#[test]
fn settle_lease_counts_unknown_rounds_at_the_machines_own_ratio_when_half_are_known() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 6);
    // Machine 0 is up in all three rounds that are known, 1 in two of them; three are unknown.
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |machine| machine == 0);
    world.pass(4 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, gross(6) + 350_000 * 600 * 6 * 2 / (3 * 3_600));
    world.assert_invariants();
}

#[test]
fn settle_lease_pays_and_slashes_nobody_when_all_rounds_are_unknown() {
    let Scene { mut world, buyer, .. } = Scene::leased(2, 2, 3);
    world.pass(5 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid, lease.fees, lease.slashed), (LeaseState::Settled, 0, 0, 0));
    assert_eq!(lease.refund_due, lease.deposit);
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
    assert_eq!(lease.slashed, 1_000 * u64::from(lease.settled));
    assert!((1..2_200).contains(&lease.settled), "{}", lease.settled);
    assert_eq!(leased(&world, 1).len(), 2_200 - lease.settled as usize);
    world.assert_invariants();
    // Anybody can settle the rest, and the owner cannot prevent it by cancelling.
    let cancel = cancel(&world, &buyer);
    world.fails(cancel, &[&buyer], LeaseholdError::LeaseOver);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.settled, lease.slashed), (LeaseState::Settled, 2_200, 2_200_000));
    assert_eq!(lease.refund_due, lease.deposit);
    world.assert_invariants();
}

#[test]
fn settle_lease_fails_when_it_is_settled() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let settle = settle(&world, &buyer, None);
    world.fails(settle, &[&buyer], LeaseholdError::LeaseSettled);
}

#[test]
fn settle_lease_fails_when_the_keepers_account_is_another_callers() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    let settle = settle(&world, &buyer, Some(keepers[0].account));
    world.fails(settle, &[&buyer], LeaseholdError::WrongAuthority);
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
fn claim_compensation_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let before = world.stake_of(&buyer.pubkey());
    let claim = claim_compensation(&world, &buyer);
    world.ok(core::slice::from_ref(&claim), &[&buyer]);
    assert_eq!(world.stake_of(&buyer.pubkey()) - before, 60 * STAKE);
    assert_eq!(world.lease(1).compensation_due, 0);
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
    world.fails(close.clone(), &[&stranger], LeaseholdError::LeaseHoldsMoney);
    let compensation = claim_compensation(&world, &buyer);
    world.ok(&[compensation], &[&buyer]);

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
