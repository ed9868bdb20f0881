//! Taking and leaving seats, and their fees.

use leasehold::error::LeaseholdError;
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{claim, close, keeper, leave, paid, seat};

/// Seconds without a vote until others can vacate a seat.
const IDLE: i64 = 86_400;

fn take(world: &World, wallet: &Keypair, seat: u8) -> Instruction {
    instruction::take_seat(&world.board(), wallet.pubkey(), seat)
}

#[test]
fn take_seat_and_leave_seat_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let take = take(&world, &wallet, 2);
    world.ok(&[take], &[&wallet]);
    let held = seat(&world, 2);
    assert_eq!((held.keeper, held.bond, held.earned), (wallet.pubkey(), 1_000 * STAKE, 0));
    assert_eq!((held.last_round, held.submissions), (world.round(), 0));
    let found = keeper(&world, &wallet);
    assert_eq!((found.stake.free, found.locked, found.seats), (0, 1_000 * STAKE, 1));
    world.assert_invariants();

    let account = world.market.keeper(&wallet.pubkey());
    let leave = instruction::leave_seat(&world.board(), wallet.pubkey(), account, 2, false);
    world.ok(&[leave], &[&wallet]);
    assert!(seat(&world, 2).is_vacant());
    let found = keeper(&world, &wallet);
    assert_eq!((found.stake.free, found.locked, found.seats), (1_000 * STAKE, 0, 0));
    world.assert_invariants();
}

#[test]
fn take_seat_fails_when_the_seat_does_not_exist_is_taken_or_is_a_second_one() {
    let mut world = World::new();
    let seated = world.keeper(0);
    let wallet = world.keeper_with_bond();
    let none = take(&world, &wallet, 3);
    world.fails(none, &[&wallet], LeaseholdError::NoSuchSeat);
    let taken = take(&world, &wallet, 0);
    world.fails(taken, &[&wallet], LeaseholdError::SeatTaken);
    let second = take(&world, &seated.wallet, 1);
    world.fails(second, &[&seated.wallet], LeaseholdError::SecondSeat);
}

#[test]
fn take_seat_fails_when_stake_is_missing() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let request = instruction::request_unbond(&world.market, wallet.pubkey(), 1);
    world.ok(&[request], &[&wallet]);
    let take = take(&world, &wallet, 0);
    world.fails(take, &[&wallet], LeaseholdError::InsufficientStake);
}

#[test]
fn leave_seat_fails_when_the_seat_is_another_keepers_or_nobodys() {
    let mut world = World::new();
    let (first, second) = (world.keeper(0), world.keeper(1));
    let leave = |world: &World, seat| {
        instruction::leave_seat(&world.board(), first.wallet.pubkey(), first.account, seat, false)
    };
    let vacant = leave(&world, 2);
    world.fails(vacant, &[&first.wallet], LeaseholdError::SeatVacant);
    let beyond = leave(&world, 3);
    world.fails(beyond, &[&first.wallet], LeaseholdError::NoSuchSeat);
    let others = leave(&world, second.seat);
    world.fails(others, &[&first.wallet], LeaseholdError::WrongKeeper);
}

#[test]
fn leave_seat_fails_when_its_vote_is_not_counted() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    world.end_round();
    world.vote(&keepers[0], |_| true);
    let leave = leave(&world, &keepers[0]);
    world.fails(leave.clone(), &[&keepers[0].wallet], LeaseholdError::VoteNotCounted);
    world.pass(300);
    let close = close(&world);
    world.ok(&[close, leave], &[&keepers[0].wallet]);
    world.assert_invariants();
}

#[test]
fn leave_seat_fails_when_its_fees_are_not_claimed() {
    let Scene { mut world, keepers, .. } = paid();
    let leave = leave(&world, &keepers[1]);
    world.fails(leave.clone(), &[&keepers[1].wallet], LeaseholdError::FeesLeft);
    let claim = claim(&world, &keepers[1]);
    world.ok(&[claim, leave], &[&keepers[1].wallet]);
    world.assert_invariants();
}

/// For a keeper whose token account refuses what it is sent.
#[test]
fn leave_seat_ok_for_a_keeper_who_forfeits_its_fees_to_the_pool() {
    let Scene { mut world, keepers, .. } = paid();
    let (KeeperActor { wallet, account, .. }, board) = (&keepers[1], world.board());
    let (earned, pool) = (seat(&world, 1).earned, world.with_board(|board, _| board.ledger.keeper_pool));
    let leave = instruction::leave_seat(&board, wallet.pubkey(), *account, 1, true);
    world.ok(&[leave], &[wallet]);
    assert!(earned > 0 && seat(&world, 1).is_vacant());
    let ledger = world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.keeper_pool, ledger.keeper_fees), (pool + earned, 2 * earned));
    assert_eq!(keeper(&world, wallet).stake.free, 1_000 * STAKE);
    world.assert_invariants();
}

/// Nobody else can give a keeper's fees away, but for one that is gone for 30 days.
#[test]
fn leave_seat_lets_anybody_vacate_a_seat_with_fees_after_30_days() {
    let Scene { mut world, keepers, .. } = paid();
    let (stranger, absent) = (world.wallet(), &keepers[2]);
    let evict =
        |forfeit| instruction::leave_seat(&world.board(), stranger.pubkey(), absent.account, 2, forfeit);
    let evict = [evict(false), evict(true)];
    let submitted = seat(&world, 2).last_round;
    for gone in [IDLE + 1, 30 * IDLE] {
        world.set_time(i64::from(submitted + 1) * 600 + gone);
        for evict in &evict {
            world.fails(evict.clone(), &[&stranger], LeaseholdError::FeesLeft);
        }
    }
    world.pass(1);
    let ledger = world.with_board(|board, _| board.ledger);
    let [evict, _] = evict;
    world.ok(&[evict], &[&stranger]);
    let earned = params().keeper_fee;
    let after = world.with_board(|board, _| board.ledger);
    assert_eq!(after.keeper_pool - ledger.keeper_pool, earned);
    assert_eq!(ledger.keeper_fees - after.keeper_fees, earned);
    world.assert_invariants();
}

#[test]
fn leave_seat_lets_anybody_vacate_a_seat_that_has_not_submitted_for_a_day() {
    let Scene { mut world, keepers, .. } = Scene::listed(1);
    let stranger = world.wallet();
    world.attest(&keepers, |_| true);
    let absent = &keepers[2];
    let evict = instruction::leave_seat(&world.board(), stranger.pubkey(), absent.account, 2, false);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::SeatInUse);
    let submitted = seat(&world, 2).last_round;
    world.set_time(i64::from(submitted + 1) * 600 + IDLE);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::SeatInUse);
    world.pass(1);
    world.ok(&[evict], &[&stranger]);
    assert_eq!(keeper(&world, &absent.wallet).stake.free, 1_000 * STAKE, "with its whole bond");
    world.assert_invariants();
}

#[test]
fn claim_keeper_fees_ok() {
    let Scene { mut world, keepers, .. } = paid();
    let key = keepers[0].wallet.pubkey();
    let (earned, before) = (seat(&world, 0).earned, world.payments_of(&key));
    let claim = claim(&world, &keepers[0]);
    world.ok(core::slice::from_ref(&claim), &[&keepers[0].wallet]);
    assert!(earned > 0);
    assert_eq!(world.payments_of(&key) - before, earned);
    world.assert_invariants();
    world.fails(claim, &[&keepers[0].wallet], LeaseholdError::NothingToWithdraw);
}

#[test]
fn claim_keeper_fees_fails_when_the_seat_does_not_exist() {
    let Scene { mut world, keepers, .. } = paid();
    let KeeperActor { wallet, account, .. } = &keepers[0];
    let beyond = KeeperActor { wallet: wallet.insecure_clone(), account: *account, seat: 3 };
    let claim = claim(&world, &beyond);
    world.fails(claim, &[wallet], LeaseholdError::NoSuchSeat);
}
