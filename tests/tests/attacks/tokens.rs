//! Wrong vaults, mints, wallets and token programs, for every instruction that moves tokens.

use anchor_lang::error::ErrorCode;
use leasehold::error::LeaseholdError;
use leasehold_tests::*;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Instructions that move payment tokens between a wallet and a board's vault.
const PAYMENTS: [&str; 9] = [
    "withdraw_fees",
    "claim_earnings",
    "claim_keeper_fees",
    "open_lease",
    "extend_lease",
    "replace_node",
    "top_up_lease",
    "claim_refund",
    "fund_keepers",
];
/// Instructions that move stake tokens between a wallet and the market's vault.
const STAKES: [&str; 4] = ["deposit_stake", "withdraw_stake", "deposit_bond", "withdraw_bond"];

#[test]
fn attack_vault_swapped() {
    let catalogue = Catalogue::new();
    let (market, other) = (catalogue.world.market, catalogue.other.market);
    let (first, second) = (catalogue.world.board().payment_vault(), catalogue.second.payment_vault());
    for name in PAYMENTS {
        catalogue.refuses(name, swap(first, second), LeaseholdError::WrongVault);
    }
    catalogue.refuses("close_board", swap(second, first), LeaseholdError::WrongVault);
    let stake = swap(market.stake_vault(), other.stake_vault());
    for name in STAKES {
        catalogue.refuses(name, &stake, LeaseholdError::WrongVault);
    }
    catalogue.refuses("burn_slashed", &stake, ErrorCode::ConstraintSeeds);
    catalogue.refuses("burn_payments", swap(first, second), ErrorCode::ConstraintSeeds);
    let empty = catalogue.case("close_market").instruction.accounts[3].pubkey;
    catalogue.refuses("close_market", swap(empty, market.stake_vault()), LeaseholdError::WrongVault);
}

#[test]
fn attack_mint_swapped() {
    let catalogue = Catalogue::new();
    let market = catalogue.world.market;
    let (payment, stake) = (market.payment_mint, market.stake_mint);
    let refuses = |name: &str, from: Pubkey, to: Pubkey| {
        catalogue.refuses(name, swap(from, to), LeaseholdError::WrongMint);
    };
    for name in PAYMENTS.into_iter().chain(["close_board", "create_board"]) {
        refuses(name, payment, stake);
    }
    for name in STAKES.into_iter().chain(["close_market", "burn_slashed"]) {
        refuses(name, stake, payment);
    }
    // The wallet of the right owner and the wrong mint.
    let mallory = catalogue.mallory.pubkey();
    let owner = |name: &str| catalogue.case(name).signers[0].pubkey();
    for name in PAYMENTS.into_iter().chain(["close_board"]) {
        refuses(name, market.payment_account(&owner(name)), market.stake_account(&mallory));
    }
    for name in STAKES.into_iter().chain(["close_market"]) {
        refuses(name, market.stake_account(&owner(name)), market.payment_account(&mallory));
    }
}

#[test]
fn attack_token_program_swapped() {
    let catalogue = Catalogue::new();
    let swap = swap(spl_token_interface::ID, anchor_spl::token_2022::ID);
    let ends =
        ["create_market", "close_market", "create_board", "close_board", "burn_slashed", "burn_payments"];
    for name in PAYMENTS.into_iter().chain(STAKES).chain(ends) {
        let case = catalogue.case(name);
        let mut instruction = case.instruction.clone();
        swap(&mut instruction);
        assert_ne!(instruction, case.instruction, "{name}");
        let signers: Vec<_> = case.signers.iter().collect();
        let found = catalogue.run(&instruction, &signers);
        assert_eq!(found, Err(InstructionError::IncorrectProgramId), "{name}");
    }
}

#[test]
fn attack_same_account_twice() {
    let catalogue = Catalogue::new();
    let market = catalogue.world.market;
    let owner = |name: &str| catalogue.case(name).signers[0].pubkey();
    let vault = catalogue.world.board().payment_vault();
    for name in PAYMENTS {
        let swap = swap(market.payment_account(&owner(name)), vault);
        catalogue.refuses(name, swap, ErrorCode::ConstraintDuplicateMutableAccount);
    }
    for name in STAKES {
        let swap = swap(market.stake_account(&owner(name)), market.stake_vault());
        catalogue.refuses(name, swap, ErrorCode::ConstraintDuplicateMutableAccount);
    }
}
