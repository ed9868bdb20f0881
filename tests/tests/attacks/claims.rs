//! Claims of strangers, and unasked tokens in vaults.

use leasehold::{error::LeaseholdError, state::Supplier};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_token_interface::instruction::{AuthorityType, set_authority, transfer};

/// Sends unasked tokens to a vault.
fn dust(world: &mut World, from: Pubkey, vault: Pubkey, owner: &Keypair, amount: u64) {
    let send = transfer(&spl_token_interface::ID, &from, &vault, &owner.pubkey(), &[], amount);
    world.ok(&[send.expect("valid")], &[owner]);
}

#[test]
fn attack_claim_of_a_stranger() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::slashed();
    world.attest(&keepers, |_| true);
    let (board, market, stranger) = (world.board(), world.market, world.wallet());
    let signer = stranger.pubkey();
    let (lease, account) = (world.lease_address(1), supplier.account);
    type Claim = Box<dyn Fn(Pubkey) -> Instruction>;
    let claims: [(Pubkey, Pubkey, Claim); 4] = [
        (
            buyer.pubkey(),
            market.payment_mint,
            Box::new(move |wallet| instruction::claim_refund(&board, signer, lease, wallet)),
        ),
        (
            supplier.wallet.pubkey(),
            market.payment_mint,
            Box::new(move |wallet| instruction::claim_earnings(&board, signer, account, wallet)),
        ),
        (
            keepers[1].wallet.pubkey(),
            market.payment_mint,
            Box::new(move |wallet| instruction::claim_keeper_fees(&board, signer, wallet, 1)),
        ),
        (
            world.authority.pubkey(),
            market.payment_mint,
            Box::new(move |wallet| instruction::withdraw_fees(&board, signer, wallet)),
        ),
    ];
    for (owner, mint, claim) in &claims {
        let token_account = |wallet: &Pubkey| {
            leasehold_client::address::token_account(wallet, mint, &spl_token_interface::ID)
        };
        world.fails(claim(token_account(&signer)), &[&stranger], LeaseholdError::WrongDestination);
        // Another account of the owner than the associated one is refused too.
        let aside = world.token_account(mint, owner);
        world.fails(claim(aside), &[&stranger], LeaseholdError::WrongDestination);
        let before = world.tokens(&token_account(owner));
        world.ok(&[claim(token_account(owner))], &[&stranger]);
        assert!(world.tokens(&token_account(owner)) > before);
    }
    world.assert_invariants();
}

/// Whoever once got a wallet's token account by a signature must not have strangers' claims sent there for ever.
#[test]
fn attack_claim_to_an_associated_account_that_belongs_to_somebody_else() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (board, due, mallory) = (world.board(), world.lease(1).refund_due, world.wallet());
    let wallet = world.market.payment_account(&buyer.pubkey());
    let (owner, token) = (AuthorityType::AccountOwner, spl_token_interface::ID);
    let give = set_authority(&token, &wallet, Some(&mallory.pubkey()), owner, &buyer.pubkey(), &[]);
    world.ok(&[give.expect("valid")], &[&buyer]);
    let before = world.tokens(&wallet);
    let steal = instruction::claim_refund(&board, mallory.pubkey(), world.lease_address(1), wallet);
    world.fails(steal, &[&mallory], LeaseholdError::WrongDestination);
    assert_eq!((world.lease(1).refund_due, world.tokens(&wallet)), (due, before));
    // The owner has it sent elsewhere.
    let aside = world.token_account(&world.market.payment_mint.clone(), &buyer.pubkey());
    let claim = instruction::claim_refund(&board, buyer.pubkey(), world.lease_address(1), aside);
    world.ok(&[claim], &[&buyer]);
    assert_eq!(world.tokens(&aside), due);
    world.assert_invariants();
}

#[test]
fn owners_claim_to_any_account() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (board, due, friend) = (world.board(), world.lease(1).refund_due, Pubkey::new_unique());
    let aside = world.token_account(&world.market.payment_mint.clone(), &friend);
    let claim = instruction::claim_refund(&board, buyer.pubkey(), world.lease_address(1), aside);
    world.ok(&[claim], &[&buyer]);
    assert_eq!(world.tokens(&aside), due);
}

#[test]
fn attack_stake_withdrawn_with_somebody_elses_signature() {
    let mut world = World::new();
    let (victim, mallory) = (world.supplier(), world.supplier());
    let (key, market) = (victim.wallet.pubkey(), world.market);
    world.ok(&[instruction::request_unstake(&market, key, STAKE)], &[&victim.wallet]);
    world.pass(14 * 86_400);
    // Mallory names the victim's account and her own wallet, and signs where the victim should.
    let to = market.stake_account(&mallory.wallet.pubkey());
    let mut steal = instruction::withdraw_stake(&market, key, to);
    swap(key, mallory.wallet.pubkey())(&mut steal);
    world.fails(steal, &[&mallory.wallet], LeaseholdError::WrongAuthority);
    let ledger = world.account::<Supplier>(&victim.account).stake;
    assert_eq!(ledger.unbonding, STAKE);
}

#[test]
fn attack_deposit_out_of_somebody_elses_wallet() {
    let mut world = World::new();
    let (victim, mallory) = (world.wallet(), world.supplier());
    let from = world.market.stake_account(&victim.pubkey());
    let deposit = instruction::deposit_stake(&world.market, mallory.wallet.pubkey(), from, STAKE);
    world.fails(deposit, &[&mallory.wallet], TOKEN_OWNER_MISMATCH);
}

#[test]
fn attack_dust_in_a_vault_stops_no_closing() {
    let mut world = World::new();
    let (mallory, authority) = (world.wallet(), world.authority.insecure_clone());
    let (market, board, key) = (world.market, world.board(), authority.pubkey());
    let from = market.payment_account(&mallory.pubkey());
    dust(&mut world, from, board.payment_vault(), &mallory, 3);
    let from = market.stake_account(&mallory.pubkey());
    dust(&mut world, from, market.stake_vault(), &mallory, 5);
    world.assert_invariants_with_unasked(5, 3);
    let (payments, stakes) = (world.payments_of(&key), world.stake_of(&key));
    let close_board = instruction::close_board(&board, key, market.payment_account(&key));
    let close_market = instruction::close_market(&market, key, market.stake_account(&key));
    world.ok(&[close_board, close_market], &[&authority]);
    assert_eq!(world.payments_of(&key) - payments, 3);
    assert_eq!(world.stake_of(&key) - stakes, 5);
    assert_eq!(world.lamports(&market.stake_vault()), 0);
}

#[test]
fn attack_dust_in_a_vault_is_nobodys_earnings() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let (mallory, board) = (world.wallet(), world.board());
    let from = world.market.payment_account(&mallory.pubkey());
    dust(&mut world, from, board.payment_vault(), &mallory, 1_000);
    let (key, authority) = (supplier.wallet.pubkey(), world.authority.insecure_clone());
    let wallet = world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&board, key, supplier.account, wallet);
    world.fails(claim, &[&supplier.wallet], LeaseholdError::NothingToWithdraw);
    let wallet = world.market.payment_account(&authority.pubkey());
    let fees = instruction::withdraw_fees(&board, authority.pubkey(), wallet);
    world.fails(fees, &[&authority], LeaseholdError::NothingToWithdraw);
    world.assert_invariants_with_unasked(0, 1_000);
}

#[test]
fn attack_lamports_sent_to_a_board_stop_nothing() {
    let mut world = World::new();
    let (mallory, supplier, board) = (world.wallet(), world.supplier(), world.board());
    world.list(&supplier, 10, &[machine(0)]);
    let gift = solana_system_interface::instruction::transfer(&mallory.pubkey(), &board.address, 7_000_000);
    world.ok(&[gift], &[&mallory]);
    world.list(&supplier, 10, &[machine(1)]);
    let key = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&board, key, supplier.account, vec![0, 1]);
    world.ok(&[retire], &[&supplier.wallet]);
    let authority = world.authority.insecure_clone();
    let wallet = world.market.payment_account(&authority.pubkey());
    let close = instruction::close_board(&board, authority.pubkey(), wallet);
    world.ok(&[close], &[&authority]);
    assert_eq!(world.lamports(&board.address), 0);
}
