//! Keepers' pay, the pool behind it, and what of it is burned.

use leasehold::{error::LeaseholdError, state::Params};
use leasehold_client::{event::Event, instruction};
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{close, seat};

/// The pool, and what is to be burned.
fn pool(world: &World) -> (u64, u64) {
    world.with_board(|board, _| (board.ledger.keeper_pool, board.ledger.burning))
}

/// A round on which the first `voters` keepers vote, each otherwise. Returns what each of the three earned in it.
fn round(scene: &mut Scene, voters: usize) -> [u64; 3] {
    let before = [0, 1, 2].map(|index| seat(&scene.world, index).earned);
    scene.world.end_round();
    for (index, keeper) in scene.keepers[..voters].iter().enumerate() {
        scene.world.vote(keeper, |_| index % 2 == 0);
    }
    scene.world.pass(300);
    let close = close(&scene.world);
    scene.world.ok(&[close], &[&scene.buyer]);
    scene.world.assert_invariants();
    [0u8, 1, 2].map(|index| seat(&scene.world, index).earned - before[usize::from(index)])
}

#[test]
fn fund_keepers_ok() {
    let Scene { mut world, buyer, .. } = Scene::listed(1);
    let (key, before) = (buyer.pubkey(), world.payments_of(&buyer.pubkey()));
    let wallet = world.market.payment_account(&key);
    let fund = instruction::fund_keepers(&world.board(), key, wallet, 7 * USD);
    let meta = world.ok(&[fund], &[&buyer]);
    assert_eq!((pool(&world), before - world.payments_of(&key)), ((7 * USD, 0), 7 * USD));
    let reported = events(&meta);
    let is_it = matches!(&reported[..], [Event::KeepersFunded(event)] if event.amount == 7 * USD && event.funder == key);
    assert!(is_it, "{reported:?}");
    world.assert_invariants();
}

#[test]
fn fund_keepers_fails_when_the_amount_is_zero() {
    let Scene { mut world, buyer, .. } = Scene::listed(1);
    let wallet = world.market.payment_account(&buyer.pubkey());
    let nothing = instruction::fund_keepers(&world.board(), buyer.pubkey(), wallet, 0);
    world.fails(nothing, &[&buyer], LeaseholdError::AmountIsZero);
}

#[test]
fn close_round_pays_keepers_only_where_enough_voted_and_whatever_they_voted() {
    let mut scene = Scene::listed(4);
    scene.world.fund_keepers(&scene.buyer, 10 * USD);
    assert_eq!(round(&mut scene, 1), [0; 3], "a void round pays nobody");
    assert_eq!(pool(&scene.world), (10 * USD, 0));
    let fee = params().keeper_fee;
    assert_eq!(round(&mut scene, 3), [fee; 3]);
    assert_eq!(pool(&scene.world), (10 * USD - 3 * fee, 0));
    // As much as the absent keeper would have had is burned.
    assert_eq!(round(&mut scene, 2), [fee, fee, 0]);
    assert_eq!(pool(&scene.world), (10 * USD - 6 * fee, fee));
    // Of a seat that nobody holds, nothing is burned.
    let KeeperActor { wallet, account, .. } = &scene.keepers[2];
    let claim = {
        let payments = scene.world.market.payment_account(&wallet.pubkey());
        instruction::claim_keeper_fees(&scene.world.board(), wallet.pubkey(), payments, 2)
    };
    let leave = instruction::leave_seat(&scene.world.board(), wallet.pubkey(), *account, 2, false);
    scene.world.ok(&[claim, leave], &[wallet]);
    assert_eq!(round(&mut scene, 2), [fee, fee, 0]);
    assert_eq!(pool(&scene.world), (10 * USD - 8 * fee, fee));
}

/// The pool's part of a week's votes of all seats, between the least and the highest fee, as far as the pool reaches.
#[test]
fn close_round_pays_by_the_size_of_the_pool() {
    let Params { keeper_fee, keeper_fee_max, .. } = params();
    for (funds, fee) in [
        (1, 0),
        (29_999, 9_999),
        (30_000, keeper_fee),
        (3_024 * keeper_fee + 3_023, keeper_fee),
        (3_024 * (keeper_fee + 1), keeper_fee + 1),
        (3_024 * keeper_fee_max - 1, keeper_fee_max - 1),
        (3_024 * keeper_fee_max, keeper_fee_max),
        (1_200 * USD, keeper_fee_max),
    ] {
        let mut scene = Scene::listed(1);
        scene.world.fund_keepers(&scene.buyer, funds);
        assert_eq!(round(&mut scene, 3), [fee; 3], "{funds}");
        assert_eq!(pool(&scene.world), (funds - 3 * fee, 0));
    }
}

#[test]
fn close_round_burns_what_the_pool_holds_beyond_four_weeks_of_the_highest_fee() {
    let mut scene = Scene::listed(1);
    let fee = params().keeper_fee_max;
    let most = 3 * 4 * 1_008 * fee;
    scene.world.fund_keepers(&scene.buyer, most + 90 * USD);
    assert_eq!(round(&mut scene, 2), [fee, fee, 0]);
    // The fee of the absent keeper, and the rest.
    assert_eq!(pool(&scene.world), (most, 90 * USD - 2 * fee));
    // A void round burns nothing.
    scene.world.fund_keepers(&scene.buyer, USD);
    assert_eq!(round(&mut scene, 1), [0; 3]);
    assert_eq!(pool(&scene.world), (most + USD, 90 * USD - 2 * fee));
}
