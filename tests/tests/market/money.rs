//! Fees, burning, and the closing of a market.

use leasehold::error::LeaseholdError;
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::governed;

#[test]
fn withdraw_fees_ok() {
    let Scene { mut world, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let board = world.board();
    // 3 percent of three machines' two rounds, of which the keepers' part is 40 percent.
    let gross = 116_666;
    let fees: u64 = 3 * (gross * 300 / 10_000);
    let (before, ledger) =
        (world.payments_of(&authority.pubkey()), world.with_board(|board, _| board.ledger));
    assert_eq!((ledger.fees, ledger.keeper_pool), (fees - fees * 4_000 / 10_000, fees * 4_000 / 10_000));
    let wallet = world.market.payment_account(&authority.pubkey());
    let withdraw = instruction::withdraw_fees(&board, authority.pubkey(), wallet);
    world.ok(core::slice::from_ref(&withdraw), &[&authority]);
    assert_eq!(world.payments_of(&authority.pubkey()) - before, ledger.fees);
    assert_eq!(world.with_board(|board, _| board.ledger.keeper_pool), ledger.keeper_pool);
    world.assert_invariants();
    world.fails(withdraw, &[&authority], LeaseholdError::NothingToWithdraw);
}

#[test]
fn withdraw_fees_takes_the_keepers_pool_once_the_board_is_empty() {
    let Scene { mut world, supplier, buyer, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let ledger = world.with_board(|board, _| board.ledger);
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    let board = world.board();
    world.ok(&[instruction::close_lease(&board, buyer.pubkey(), world.lease_address(1))], &[&buyer]);
    let before = world.payments_of(&authority.pubkey());
    let wallet = world.market.payment_account(&authority.pubkey());
    let withdraw = instruction::withdraw_fees(&board, authority.pubkey(), wallet);
    world.ok(&[withdraw], &[&authority]);
    assert_eq!(world.payments_of(&authority.pubkey()) - before, ledger.fees + ledger.keeper_pool);
    world.assert_invariants();
}

#[test]
fn withdraw_market_stake_ok() {
    let Scene { mut world, .. } = Scene::slashed();
    let authority = world.authority.insecure_clone();
    let before = world.stake_of(&authority.pubkey());
    let wallet = world.market.stake_account(&authority.pubkey());
    let withdraw = instruction::withdraw_market_stake(&world.board(), authority.pubkey(), wallet);
    world.ok(core::slice::from_ref(&withdraw), &[&authority]);
    assert_eq!(world.stake_of(&authority.pubkey()) - before, 15 * STAKE, "15 percent of a bond of 100");
    world.assert_invariants();
    world.fails(withdraw, &[&authority], LeaseholdError::NothingToWithdraw);
}

#[test]
fn burn_slashed_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let supply = |world: &World| {
        let data = world.data(&world.market.stake_mint);
        u64::from_le_bytes(data[36..44].try_into().expect("eight bytes"))
    };
    let before = supply(&world);
    let burn = instruction::burn_slashed(&world.board());
    world.ok(core::slice::from_ref(&burn), &[&buyer]);
    assert_eq!(before - supply(&world), 25 * STAKE, "20 percent, and the 5 of a caller without account");
    world.assert_invariants();
    world.fails(burn, &[&buyer], LeaseholdError::NothingToWithdraw);
}

#[test]
fn close_market_ok() {
    let (mut world, authority) = governed();
    let (key, board) = (authority.pubkey(), world.board());
    let (payments, stakes) = (world.market.payment_account(&key), world.market.stake_account(&key));
    let lamports = world.lamports(&key);
    let close_board = instruction::close_board(&board, key, payments);
    let close_market = instruction::close_market(&world.market, key, stakes);
    world.ok(&[close_board, close_market], &[&authority]);
    for account in [world.market.address, world.market.stake_vault(), board.address, board.payment_vault()] {
        assert_eq!(world.lamports(&account), 0);
    }
    assert!(world.lamports(&key) > lamports, "all rent came back");
}

#[test]
fn close_market_fails_while_somebody_is_in_it() {
    let (mut world, authority) = governed();
    let key = authority.pubkey();
    let market = world.market;
    let close = instruction::close_market(&market, key, market.stake_account(&key));
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let close_board = instruction::close_board(&world.board(), key, market.payment_account(&key));
    let supplier = instruction::register_supplier(&market, key);
    world.ok(&[close_board, supplier], &[&authority]);
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let leave = instruction::close_supplier(&market, key);
    let keeper = instruction::register_keeper(&market, key);
    world.ok(&[leave, keeper], &[&authority]);
    world.fails(close.clone(), &[&authority], LeaseholdError::MarketInUse);

    let leave = instruction::close_keeper(&market, key);
    world.ok(&[leave, close], &[&authority]);
}
