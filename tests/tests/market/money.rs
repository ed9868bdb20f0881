//! Fees, burning, and the closing of a market.

use leasehold::error::LeaseholdError;
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
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

fn supply(world: &World, mint: &Pubkey) -> u64 {
    u64::from_le_bytes(world.data(mint)[36..44].try_into().expect("eight bytes"))
}

#[test]
fn burn_payments_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 20);
    // 17 rounds up, three down, of which one is allowed: the price of two more is burned.
    for round in 0..20 {
        world.attest(&keepers, |_| ![2, 7, 11].contains(&round));
    }
    world.settle(&buyer, 1);
    let burned = 350_000 * 600 * 2 / 3_600;
    assert_eq!(world.with_board(|board, _| board.ledger.burning), burned);
    let (mint, stranger) = (world.market.payment_mint, world.wallet());
    let before = supply(&world, &mint);
    let burn = instruction::burn_payments(&world.board(), None);
    world.ok(core::slice::from_ref(&burn), &[&stranger]);
    assert_eq!(before - supply(&world, &mint), burned);
    assert_eq!(world.with_board(|board, _| board.ledger.burning), 0);
    world.assert_invariants();
    world.fails(burn, &[&stranger], LeaseholdError::NothingToWithdraw);
}

#[test]
fn burn_payments_takes_the_keepers_pool_once_the_board_is_empty_and_its_creator_signs() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(1);
    let (board, mint, authority) =
        (world.board(), world.market.payment_mint, world.authority.insecure_clone());
    world.fund_keepers(&buyer, 3 * USD);
    let burn = |who: &Keypair| instruction::burn_payments(&board, Some(who.pubkey()));
    let (by_creator, by_stranger) = (burn(&authority), burn(&buyer));
    world.fails(by_creator.clone(), &[&authority], LeaseholdError::NothingToWithdraw);
    let key = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&board, key, supplier.account, vec![0]);
    world.ok(&[retire], &[&supplier.wallet]);
    world.fails(by_stranger, &[&buyer], LeaseholdError::NothingToWithdraw);
    let before = supply(&world, &mint);
    world.ok(&[by_creator], &[&authority]);
    assert_eq!(before - supply(&world, &mint), 3 * USD);
    assert_eq!(world.with_board(|board, _| board.ledger.keeper_pool), 0);
    world.assert_invariants();
}

#[test]
fn burn_slashed_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let mint = world.market.stake_mint;
    let before = supply(&world, &mint);
    let burn = instruction::burn_slashed(&world.board());
    world.ok(core::slice::from_ref(&burn), &[&buyer]);
    // One round of three days' rounds, at twice the rate.
    assert_eq!(before - supply(&world, &mint), 100 * STAKE * 2 / 432);
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
