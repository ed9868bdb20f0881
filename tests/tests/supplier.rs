//! Every instruction of suppliers: its success, and each of its refusals.

use anchor_lang::error::ErrorCode;
use leasehold::{
    error::LeaseholdError,
    state::{StakeLedger, Supplier},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

/// Seconds that stake takes to unbond.
const UNBONDING: i64 = 14 * 86_400;

/// A supplier with free stake.
fn staked() -> (World, SupplierActor) {
    let mut world = World::new();
    let supplier = world.supplier();
    (world, supplier)
}

fn ledger(world: &World, supplier: &SupplierActor) -> StakeLedger {
    world.account::<Supplier>(&supplier.account).stake
}

fn request(world: &World, supplier: &SupplierActor, amount: u64) -> Instruction {
    instruction::request_unstake(&world.market, supplier.wallet.pubkey(), amount)
}

fn withdraw(world: &World, supplier: &SupplierActor) -> Instruction {
    let key = supplier.wallet.pubkey();
    instruction::withdraw_stake(&world.market, key, world.market.stake_account(&key))
}

fn deposit(world: &World, supplier: &SupplierActor, amount: u64) -> Instruction {
    let key = supplier.wallet.pubkey();
    instruction::deposit_stake(&world.market, key, world.market.stake_account(&key), amount)
}

fn claim(world: &World, supplier: &SupplierActor) -> Instruction {
    let key = supplier.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    instruction::claim_earnings(&world.board(), key, supplier.account, wallet)
}

#[test]
fn register_supplier_ok() {
    let mut world = World::new();
    let wallet = world.wallet();
    world.ok(&[instruction::register_supplier(&world.market, wallet.pubkey())], &[&wallet]);
    let supplier: Supplier = world.account(&world.market.supplier(&wallet.pubkey()));
    assert_eq!((supplier.market, supplier.authority), (world.market.address, wallet.pubkey()));
    assert_eq!((supplier.stake, supplier.machines), (StakeLedger::default(), 0));
    assert_eq!(world.market_account().members, 1);
    world.assert_invariants();
}

#[test]
fn register_supplier_fails_when_the_wallet_has_an_account() {
    let (mut world, supplier) = staked();
    let again = instruction::register_supplier(&world.market, supplier.wallet.pubkey());
    world.fails(again, &[&supplier.wallet], SYSTEM_ACCOUNT_IN_USE);
}

#[test]
fn deposit_stake_ok() {
    let (mut world, supplier) = staked();
    let (vault, wallet) = (world.market.stake_vault(), supplier.wallet.pubkey());
    let (before, had) = (world.tokens(&vault), world.stake_of(&wallet));
    let deposit = deposit(&world, &supplier, 7);
    world.ok(&[deposit], &[&supplier.wallet]);
    assert_eq!(ledger(&world, &supplier).free, STAKED + 7);
    assert_eq!((world.tokens(&vault) - before, had - world.stake_of(&wallet)), (7, 7));
    world.assert_invariants();
}

#[test]
fn deposit_stake_fails_when_the_amount_is_zero_or_too_large() {
    let (mut world, supplier) = staked();
    let nothing = deposit(&world, &supplier, 0);
    world.fails(nothing, &[&supplier.wallet], LeaseholdError::AmountIsZero);
    let too_much = deposit(&world, &supplier, u64::MAX);
    world.fails(too_much, &[&supplier.wallet], LeaseholdError::MathOverflow);
    let more_than_it_has = deposit(&world, &supplier, STAKES);
    world.fails(more_than_it_has, &[&supplier.wallet], TOKEN_INSUFFICIENT_FUNDS);
}

#[test]
fn request_unstake_and_withdraw_stake_ok() {
    let (mut world, supplier) = staked();
    let first = request(&world, &supplier, 3 * STAKE);
    world.ok(&[first], &[&supplier.wallet]);
    let until = START + UNBONDING;
    let expected = StakeLedger { free: STAKED - 3 * STAKE, unbonding: 3 * STAKE, unbonding_until: until };
    assert_eq!(ledger(&world, &supplier), expected);
    world.pass(UNBONDING);
    let before = world.stake_of(&supplier.wallet.pubkey());
    let withdraw = withdraw(&world, &supplier);
    world.ok(&[withdraw], &[&supplier.wallet]);
    assert_eq!(world.stake_of(&supplier.wallet.pubkey()) - before, 3 * STAKE);
    assert_eq!(ledger(&world, &supplier).unbonding, 0);
    world.assert_invariants();
}

#[test]
fn request_unstake_adds_to_an_earlier_request_and_restarts_the_wait() {
    let (mut world, supplier) = staked();
    let first = request(&world, &supplier, STAKE);
    world.ok(&[first], &[&supplier.wallet]);
    world.pass(UNBONDING - 1);
    let second = request(&world, &supplier, 2 * STAKE);
    world.ok(&[second], &[&supplier.wallet]);
    assert_eq!(ledger(&world, &supplier).unbonding, 3 * STAKE);
    world.pass(UNBONDING - 1);
    let withdraw = withdraw(&world, &supplier);
    world.fails(withdraw.clone(), &[&supplier.wallet], LeaseholdError::StakeStillUnbonding);
    world.pass(1);
    world.ok(&[withdraw], &[&supplier.wallet]);
}

#[test]
fn request_unstake_fails_when_the_amount_is_zero_or_not_free() {
    let (mut world, supplier) = staked();
    let nothing = request(&world, &supplier, 0);
    world.fails(nothing, &[&supplier.wallet], LeaseholdError::AmountIsZero);
    world.list(&supplier, 10, &[machine(0)]);
    let bonded = request(&world, &supplier, STAKED - 99 * STAKE);
    world.fails(bonded, &[&supplier.wallet], LeaseholdError::InsufficientStake);
    let free = request(&world, &supplier, STAKED - 100 * STAKE);
    world.ok(&[free], &[&supplier.wallet]);
    world.assert_invariants();
}

#[test]
fn withdraw_stake_fails_when_nothing_was_asked_back_or_it_still_unbonds() {
    let (mut world, supplier) = staked();
    let withdraw = withdraw(&world, &supplier);
    world.fails(withdraw.clone(), &[&supplier.wallet], LeaseholdError::NothingToWithdraw);
    let request = request(&world, &supplier, STAKE);
    world.ok(&[request], &[&supplier.wallet]);
    world.pass(UNBONDING - 1);
    world.fails(withdraw.clone(), &[&supplier.wallet], LeaseholdError::StakeStillUnbonding);
    world.pass(1);
    world.ok(core::slice::from_ref(&withdraw), &[&supplier.wallet]);
    world.fails(withdraw, &[&supplier.wallet], LeaseholdError::NothingToWithdraw);
}

#[test]
fn claim_earnings_ok() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    // Three machines, two rounds of ten minutes at 0.35 an hour, less 3 percent.
    let net: u64 = 3 * (116_666 - 116_666 * 300 / 10_000);
    let before = world.payments_of(&supplier.wallet.pubkey());
    let claim = claim(&world, &supplier);
    world.ok(core::slice::from_ref(&claim), &[&supplier.wallet]);
    assert_eq!(world.payments_of(&supplier.wallet.pubkey()) - before, net);
    assert_eq!(world.with_board(|board, slots| (board.ledger.accrued, slots[0].accrued)), (0, 0));
    world.assert_invariants();
    world.fails(claim, &[&supplier.wallet], LeaseholdError::NothingToWithdraw);
}

#[test]
fn claim_earnings_leaves_those_of_other_suppliers() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(1);
    let other = world.supplier();
    world.list(&other, COMMITTED, &[machine(1)]);
    world.open(&buyer, anything(), 2, 1);
    world.end_round();
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let earned = world.slot(1).accrued;
    let claim = claim(&world, &supplier);
    world.ok(&[claim], &[&supplier.wallet]);
    assert_eq!((world.slot(0).accrued, world.slot(1).accrued), (0, earned));
    assert!(earned > 0);
    world.assert_invariants();
}

#[test]
fn reclaim_rent_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let (board, key) = (world.board(), supplier.wallet.pubkey());
    let (rent, own) = (world.lamports(&board.address), world.lamports(&supplier.account));
    let retire = instruction::retire_machines(&board, key, supplier.account, vec![0, 1]);
    world.ok(&[retire], &[&supplier.wallet]);
    let back = rent - world.lamports(&board.address);
    assert!(back > 0);
    assert_eq!(world.lamports(&supplier.account), own + back);
    let payer = world.wallet();
    let before = world.lamports(&key);
    let reclaim = instruction::reclaim_rent(&world.market, key);
    world.ok(core::slice::from_ref(&reclaim), &[&payer, &supplier.wallet]);
    assert_eq!(world.lamports(&key) - before, back);
    assert_eq!(world.lamports(&supplier.account), own);
    world.fails(reclaim, &[&payer, &supplier.wallet], LeaseholdError::NothingToWithdraw);
    world.assert_invariants();
}

#[test]
fn close_supplier_ok() {
    let (mut world, supplier) = staked();
    let request = request(&world, &supplier, STAKED);
    world.ok(&[request], &[&supplier.wallet]);
    world.pass(UNBONDING);
    let (key, withdraw) = (supplier.wallet.pubkey(), withdraw(&world, &supplier));
    let (rent, payer) = (world.lamports(&supplier.account), world.wallet());
    let before = world.lamports(&key);
    let close = instruction::close_supplier(&world.market, key);
    world.ok(&[withdraw, close], &[&payer, &supplier.wallet]);
    assert_eq!(world.lamports(&key) - before, rent);
    assert_eq!((world.lamports(&supplier.account), world.market_account().members), (0, 0));
    world.assert_invariants();
}

#[test]
fn close_supplier_fails_when_it_has_machines_or_stake() {
    let (mut world, supplier) = staked();
    let close = instruction::close_supplier(&world.market, supplier.wallet.pubkey());
    world.fails(close.clone(), &[&supplier.wallet], LeaseholdError::StakeLeft);
    let request = request(&world, &supplier, STAKED);
    world.ok(&[request], &[&supplier.wallet]);
    world.fails(close.clone(), &[&supplier.wallet], LeaseholdError::StakeLeft);

    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let close = instruction::close_supplier(&world.market, supplier.wallet.pubkey());
    world.fails(close, &[&supplier.wallet], LeaseholdError::MachinesLeft);
}

#[test]
fn deposit_stake_fails_when_the_account_is_closed() {
    let mut world = World::new();
    let wallet = world.wallet();
    let key = wallet.pubkey();
    let (register, close) =
        (instruction::register_supplier(&world.market, key), instruction::close_supplier(&world.market, key));
    world.ok(&[register, close], &[&wallet]);
    let deposit = instruction::deposit_stake(&world.market, key, world.market.stake_account(&key), 1);
    world.fails(deposit, &[&wallet], ErrorCode::AccountNotInitialized);
}
