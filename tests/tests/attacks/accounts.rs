//! Wrong accounts, for every instruction of the program.

use anchor_lang::{Discriminator, error::ErrorCode};
use leasehold::{error::LeaseholdError, state::Market};
use leasehold_client::address;
use leasehold_tests::*;
use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Two changes, one after the other.
fn both(first: impl Fn(&mut Instruction), second: impl Fn(&mut Instruction)) -> impl Fn(&mut Instruction) {
    move |instruction| {
        first(instruction);
        second(instruction);
    }
}

#[test]
fn every_instruction_has_a_case_that_succeeds() {
    let source = include_str!("../../../programs/leasehold/src/lib.rs");
    let mut instructions: Vec<_> = source
        .lines()
        .filter_map(|line| line.strip_prefix("    pub fn "))
        .map(|rest| rest.split(['(', '<']).next().expect("a name"))
        .collect();
    let catalogue = Catalogue::new();
    let mut cases: Vec<_> = catalogue.cases.iter().map(|case| case.name).collect();
    instructions.sort_unstable();
    cases.sort_unstable();
    assert_eq!(cases, instructions);
    for case in &catalogue.cases {
        let signers: Vec<_> = case.signers.iter().collect();
        assert_eq!(catalogue.run(&case.instruction, &signers), Ok(()), "{}", case.name);
    }
    catalogue.world.assert_invariants();
}

#[test]
fn attack_missing_signer() {
    let catalogue = Catalogue::new();
    for case in &catalogue.cases {
        // A wallet may sign in two roles: as a lease's owner and as the payer.
        let metas = case.instruction.accounts.iter().filter(|meta| meta.is_signer);
        let signers: std::collections::BTreeSet<Pubkey> = metas.map(|meta| meta.pubkey).collect();
        assert_eq!(signers.len(), case.signers.len(), "{}", case.name);
        for key in signers {
            let others: Vec<_> = case.signers.iter().filter(|signer| signer.pubkey() != key).collect();
            let unsign = |instruction: &mut Instruction| {
                for meta in instruction.accounts.iter_mut().filter(|meta| meta.pubkey == key) {
                    meta.is_signer = false;
                }
            };
            catalogue.refuses_signed(case.name, unsign, &others, ErrorCode::AccountNotSigner);
        }
    }
}

#[test]
fn attack_stray_account() {
    let catalogue = Catalogue::new();
    for case in &catalogue.cases {
        for stray in [Pubkey::new_unique(), catalogue.mallory.pubkey(), catalogue.world.board().address] {
            let meta = AccountMeta::new_readonly(stray, false);
            let append = |instruction: &mut Instruction| instruction.accounts.push(meta.clone());
            catalogue.refuses(case.name, append, LeaseholdError::StrayAccount);
        }
    }
}

#[test]
fn attack_forged_account_of_the_right_shape() {
    let mut catalogue = Catalogue::new();
    let programs = [leasehold::ID, spl_token_interface::ID];
    let forger = Pubkey::new_unique();
    let mut forged = 0;
    for index in 0..catalogue.cases.len() {
        let Case { name, instruction, .. } = &catalogue.cases[index];
        let (name, accounts) = (*name, instruction.accounts.clone());
        for meta in accounts {
            let Some(account) = catalogue.world.svm.get_account(&meta.pubkey) else { continue };
            if !programs.contains(&account.owner) {
                continue;
            }
            let copy = Pubkey::new_unique();
            let forgery = Account { owner: forger, ..account };
            catalogue.world.svm.set_account(copy, forgery).expect("any account can be made up");
            // `trim_board` compares the address of the former supplier with the slot, and nothing else.
            if name == "trim_board" && meta.pubkey == catalogue.supplier.account {
                catalogue.refuses(name, swap(meta.pubkey, copy), LeaseholdError::StrayAccount);
            } else {
                catalogue.refuses(name, swap(meta.pubkey, copy), ErrorCode::AccountOwnedByWrongProgram);
            }
            forged += 1;
        }
    }
    assert!(forged > 120, "{forged}");
}

#[test]
fn attack_account_of_another_kind() {
    let catalogue = Catalogue::new();
    let (market, board) = (catalogue.world.market.address, catalogue.world.board().address);
    for case in &catalogue.cases {
        for meta in &case.instruction.accounts {
            let account = catalogue.world.svm.get_account(&meta.pubkey).unwrap_or_default();
            let unchecked = case.name == "trim_board" && meta.pubkey == catalogue.supplier.account;
            if account.owner != leasehold::ID || unchecked {
                continue;
            }
            let other = if account.data.starts_with(Market::DISCRIMINATOR) { board } else { market };
            let swap = swap(meta.pubkey, other);
            catalogue.refuses(case.name, swap, ErrorCode::AccountDiscriminatorMismatch);
        }
    }
}

#[test]
fn attack_account_of_somebody_else() {
    let catalogue = Catalogue::new();
    let (mallory, market) = (catalogue.mallory.pubkey(), catalogue.world.market);
    let as_mallory = |name: &str| swap(catalogue.case(name).signers[0].pubkey(), mallory);
    let refuses = |name: &str, error: LeaseholdError| {
        catalogue.refuses_signed(name, as_mallory(name), &[&catalogue.mallory], error);
    };
    for name in ["propose_params", "propose_authority", "accept_authority", "set_paused", "close_market"] {
        refuses(name, LeaseholdError::WrongAuthority);
    }
    for name in ["deposit_stake", "request_unstake", "withdraw_stake", "reclaim_rent", "close_supplier"] {
        refuses(name, LeaseholdError::WrongAuthority);
    }
    for name in [
        "list_machines",
        "reprice_machines",
        "move_machines",
        "withhold_machines",
        "forfeit_machines",
        "close_board",
    ] {
        refuses(name, LeaseholdError::WrongAuthority);
    }
    refuses("retire_machines", LeaseholdError::EvictionTooEarly);
    for name in ["deposit_bond", "request_unbond", "withdraw_bond", "take_seat", "close_keeper"] {
        refuses(name, LeaseholdError::WrongAuthority);
    }
    refuses("leave_seat", LeaseholdError::SeatInUse);
    refuses("submit_round", LeaseholdError::WrongKeeper);
    for name in ["extend_lease", "cancel_lease", "transfer_lease", "set_access", "replace_node"] {
        refuses(name, LeaseholdError::WrongAuthority);
    }
    for name in ["register_supplier", "register_keeper"] {
        let signers = [&catalogue.mallory];
        catalogue.refuses_signed(name, as_mallory(name), &signers, ErrorCode::ConstraintSeeds);
    }
    let signers = [&catalogue.mallory];
    catalogue.refuses_signed("open_lease", as_mallory("open_lease"), &signers, ErrorCode::ConstraintSeeds);
    // Out of the buyer's wallet, for a lease of her own.
    let nonce = u64::from(catalogue.world.with_board(|board, _| board.next_serial));
    let board = catalogue.world.board();
    let lease = swap(board.lease(&catalogue.buyer.pubkey(), nonce), board.lease(&mallory, nonce));
    let open = both(as_mallory("open_lease"), lease);
    catalogue.refuses_signed("open_lease", open, &signers, TOKEN_OWNER_MISMATCH);
    // Rent goes to the buyer, who paid it, even if somebody else closes.
    let buyer = catalogue.buyer.pubkey();
    catalogue.refuses("close_lease", swap(buyer, mallory), LeaseholdError::WrongAuthority);
    // Anybody may claim for an owner, but not into another account.
    let authority = catalogue.world.authority.pubkey();
    for (name, owner) in [
        ("withdraw_fees", authority),
        ("claim_earnings", catalogue.supplier.wallet.pubkey()),
        ("claim_keeper_fees", catalogue.keepers[0].wallet.pubkey()),
        ("claim_refund", buyer),
    ] {
        let payments = swap(market.payment_account(&owner), market.payment_account(&mallory));
        let change = both(as_mallory(name), payments);
        let error = LeaseholdError::WrongDestination;
        catalogue.refuses_signed(name, change, &[&catalogue.mallory], error);
    }
}

#[test]
fn attack_account_of_another_market() {
    let catalogue = Catalogue::new();
    let (market, other) = (catalogue.world.market.address, catalogue.other.market);
    let refuses = |name: &str, error: u32| catalogue.refuses(name, swap(market, other.address), error);
    for name in ["propose_params", "propose_authority", "accept_authority", "set_paused"] {
        refuses(name, LeaseholdError::WrongAuthority.into());
    }
    refuses("apply_params", LeaseholdError::NothingProposed.into());
    for name in ["register_supplier", "register_keeper", "create_board"] {
        refuses(name, ErrorCode::ConstraintSeeds.into());
    }
    for name in [
        "withdraw_fees",
        "burn_slashed",
        "deposit_stake",
        "request_unstake",
        "withdraw_stake",
        "close_supplier",
        "list_machines",
        "reprice_machines",
        "close_board",
        "deposit_bond",
        "request_unbond",
        "withdraw_bond",
        "take_seat",
        "close_round",
        "close_keeper",
        "open_lease",
        "extend_lease",
    ] {
        refuses(name, LeaseholdError::WrongMarket.into());
    }

    let mallory = &catalogue.mallory;
    let (account, wallet) = (catalogue.keepers[3].account, catalogue.keepers[3].wallet.pubkey());
    let seat = both(swap(account, other.keeper(&mallory.pubkey())), swap(wallet, mallory.pubkey()));
    catalogue.refuses_signed("leave_seat", seat, &[mallory], LeaseholdError::WrongMarket);
}

#[test]
fn attack_board_of_another_market() {
    let catalogue = Catalogue::new();
    let (board, other) = (catalogue.world.board().address, catalogue.other.address);
    let refuses = |name: &str, error: u32| catalogue.refuses(name, swap(board, other), error);
    for name in [
        "withdraw_fees",
        "burn_slashed",
        "list_machines",
        "reprice_machines",
        "take_seat",
        "leave_seat",
        "close_round",
        "extend_lease",
    ] {
        refuses(name, LeaseholdError::WrongMarket.into());
    }
    for name in ["cancel_lease", "replace_node", "settle_lease", "view_lease", "claim_refund", "close_lease"]
    {
        refuses(name, LeaseholdError::WrongBoard.into());
    }
    for name in ["claim_earnings", "claim_keeper_fees"] {
        refuses(name, LeaseholdError::WrongVault.into());
    }
    refuses("submit_round", LeaseholdError::WrongKeeper.into());
    refuses("retire_machines", LeaseholdError::NoSuchSlot.into());
    for name in ["forfeit_machines", "move_machines", "withhold_machines"] {
        refuses(name, LeaseholdError::NoSuchSlot.into());
    }
    refuses("trim_board", LeaseholdError::StrayAccount.into());
    refuses("open_lease", ErrorCode::ConstraintSeeds.into());
    let nonce = u64::from(catalogue.world.with_board(|board, _| board.next_serial));
    let buyer = catalogue.buyer.pubkey();
    let lease = swap(address::lease(&board, &buyer, nonce), address::lease(&other, &buyer, nonce));
    catalogue.refuses("open_lease", both(lease, swap(board, other)), LeaseholdError::WrongMarket);
    let second = catalogue.second.address;
    catalogue.refuses("close_board", swap(second, other), LeaseholdError::WrongAuthority);
}

#[test]
fn attack_another_board_of_the_market() {
    let catalogue = Catalogue::new();
    let (board, second) = (catalogue.world.board().address, catalogue.second.address);
    let refuses = |name: &str, error: LeaseholdError| catalogue.refuses(name, swap(board, second), error);
    for name in
        ["extend_lease", "cancel_lease", "replace_node", "settle_lease", "claim_refund", "close_lease"]
    {
        refuses(name, LeaseholdError::WrongBoard);
    }
    for name in ["withdraw_fees", "claim_earnings", "claim_keeper_fees"] {
        refuses(name, LeaseholdError::WrongVault);
    }
    refuses("burn_slashed", LeaseholdError::NothingToWithdraw);
    for name in
        ["reprice_machines", "move_machines", "withhold_machines", "retire_machines", "forfeit_machines"]
    {
        refuses(name, LeaseholdError::NoSuchSlot);
    }
    refuses("leave_seat", LeaseholdError::SeatVacant);
    refuses("submit_round", LeaseholdError::WrongKeeper);
    refuses("trim_board", LeaseholdError::StrayAccount);
    catalogue.refuses("close_board", swap(second, board), LeaseholdError::WrongVault);
}

#[test]
fn attack_forged_program() {
    let mut catalogue = Catalogue::new();
    // A program of Mallory that accepts everything.
    let (forged, yes) = (Pubkey::new_unique(), address::event_authority());
    let memo = catalogue.world.svm.get_account(&anchor_spl::token_2022::ID).expect("a program");
    catalogue.world.svm.set_account(forged, memo).expect("any program can be deployed");
    for case in &catalogue.cases {
        let uses = |program: Pubkey| case.instruction.accounts.iter().any(|meta| meta.pubkey == program);
        for program in [spl_token_interface::ID, solana_system_interface::program::ID] {
            if uses(program) {
                catalogue.refuses(case.name, swap(program, forged), ErrorCode::InvalidProgramId);
            }
        }
        if uses(yes) {
            catalogue.refuses(case.name, swap(yes, forged), ErrorCode::ConstraintAddress);
        }
    }
}

#[test]
fn attack_another_suppliers_machines() {
    let catalogue = Catalogue::new();
    let mallory = &catalogue.mallory;
    let (victim, wallet) = (catalogue.supplier.account, catalogue.supplier.wallet.pubkey());
    let account = catalogue.world.market.supplier(&mallory.pubkey());
    let in_her_name = || both(swap(victim, account), swap(wallet, mallory.pubkey()));
    for name in
        ["reprice_machines", "move_machines", "withhold_machines", "retire_machines", "forfeit_machines"]
    {
        catalogue.refuses_signed(name, in_her_name(), &[mallory], LeaseholdError::WrongSupplier);
    }
    let claim = in_her_name();
    catalogue.refuses_signed("claim_earnings", claim, &[mallory], LeaseholdError::NothingToWithdraw);
}
