//! Accounts and bonds of keepers.

use leasehold::{error::LeaseholdError, state::StakeLedger};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{keeper, leave};

/// Seconds that stake takes to unbond.
const UNBONDING: i64 = 14 * 86_400;

#[test]
fn register_keeper_ok() {
    let mut world = World::new();
    let wallet = world.wallet();
    let register = instruction::register_keeper(&world.market, wallet.pubkey());
    world.ok(core::slice::from_ref(&register), &[&wallet]);
    let found = keeper(&world, &wallet);
    assert_eq!((found.market, found.authority), (world.market.address, wallet.pubkey()));
    assert_eq!((found.stake, found.locked, found.seats), (StakeLedger::default(), 0, 0));
    assert_eq!(world.market_account().members, 1);
    world.assert_invariants();
    world.fails(register, &[&wallet], SYSTEM_ACCOUNT_IN_USE);
}

#[test]
fn deposit_bond_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    assert_eq!(keeper(&world, &wallet).stake.free, 1_000 * STAKE);
    assert_eq!(world.stake_of(&wallet.pubkey()), STAKES - 1_000 * STAKE);
    world.assert_invariants();
}

#[test]
fn deposit_bond_fails_when_the_amount_is_zero_or_too_large() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let from = world.market.stake_account(&wallet.pubkey());
    let deposit =
        |world: &World, amount| instruction::deposit_bond(&world.market, wallet.pubkey(), from, amount);
    let nothing = deposit(&world, 0);
    world.fails(nothing, &[&wallet], LeaseholdError::AmountIsZero);
    let too_much = deposit(&world, u64::MAX);
    world.fails(too_much, &[&wallet], LeaseholdError::MathOverflow);
    let more_than_it_has = deposit(&world, STAKES);
    world.fails(more_than_it_has, &[&wallet], TOKEN_INSUFFICIENT_FUNDS);
}

#[test]
fn request_unbond_and_withdraw_bond_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let (key, market) = (wallet.pubkey(), world.market);
    let withdraw = instruction::withdraw_bond(&market, key, market.stake_account(&key));
    world.fails(withdraw.clone(), &[&wallet], LeaseholdError::NothingToWithdraw);
    world.ok(&[instruction::request_unbond(&market, key, STAKE)], &[&wallet]);
    world.pass(UNBONDING - 1);
    world.fails(withdraw.clone(), &[&wallet], LeaseholdError::StakeStillUnbonding);
    world.pass(1);
    let before = world.stake_of(&key);
    world.ok(&[withdraw], &[&wallet]);
    assert_eq!(world.stake_of(&key) - before, STAKE);
    assert_eq!(keeper(&world, &wallet).stake.free, 999 * STAKE);
    world.assert_invariants();
}

#[test]
fn request_unbond_fails_when_the_amount_is_zero_or_a_seat_holds_it() {
    let mut world = World::new();
    let keeper = world.keeper(0);
    let request =
        |world: &World, amount| instruction::request_unbond(&world.market, keeper.wallet.pubkey(), amount);
    let nothing = request(&world, 0);
    world.fails(nothing, &[&keeper.wallet], LeaseholdError::AmountIsZero);
    let held = request(&world, 1);
    world.fails(held, &[&keeper.wallet], LeaseholdError::InsufficientStake);
}

#[test]
fn close_keeper_ok() {
    let mut world = World::new();
    let wallet = world.keeper_with_bond();
    let (key, market) = (wallet.pubkey(), world.market);
    world.ok(&[instruction::request_unbond(&market, key, 1_000 * STAKE)], &[&wallet]);
    world.pass(UNBONDING);
    let withdraw = instruction::withdraw_bond(&market, key, market.stake_account(&key));
    let (payer, rent) = (world.wallet(), world.lamports(&market.keeper(&key)));
    let before = world.lamports(&key);
    world.ok(&[withdraw, instruction::close_keeper(&market, key)], &[&payer, &wallet]);
    assert_eq!(world.lamports(&key) - before, rent);
    assert_eq!(world.market_account().members, 0);
    world.assert_invariants();
}

#[test]
fn close_keeper_fails_when_it_has_seats_or_stake() {
    let mut world = World::new();
    let keeper = world.keeper(0);
    let close = instruction::close_keeper(&world.market, keeper.wallet.pubkey());
    world.fails(close.clone(), &[&keeper.wallet], LeaseholdError::SeatsLeft);
    let leave = leave(&world, &keeper);
    world.ok(&[leave], &[&keeper.wallet]);
    world.fails(close.clone(), &[&keeper.wallet], LeaseholdError::StakeLeft);
    let key = keeper.wallet.pubkey();
    let request = instruction::request_unbond(&world.market, key, 1_000 * STAKE);
    world.ok(&[request], &[&keeper.wallet]);
    world.fails(close, &[&keeper.wallet], LeaseholdError::StakeLeft);
}
