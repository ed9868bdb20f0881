//! Addresses that are taken, funded or derived otherwise before an account is created, and revived accounts.

use anchor_lang::error::ErrorCode;
use leasehold::{
    constants::{
        BOARD_SEED, DEMAND_SEED, INDEX_SEED, KEEPER_SEED, LEASE_SEED, LOG_SEED, MARKET_SEED,
        PAYMENT_VAULT_SEED, PROFILES_SEED, STAKE_VAULT_SEED, SUPPLIER_SEED,
    },
    state::{StakeLedger, Supplier},
};
use leasehold_client::{MarketRef, instruction};
use leasehold_tests::*;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

/// The canonical address, and the address of the next lower valid bump.
fn second_best(seeds: &[&[u8]]) -> (Pubkey, Pubkey) {
    let (canonical, bump) = Pubkey::find_program_address(seeds, &leasehold::ID);
    let other = (0..bump).rev().find_map(|bump| {
        let bump = [bump];
        let seeds: Vec<_> = seeds.iter().copied().chain([&bump[..]]).collect();
        Pubkey::create_program_address(&seeds, &leasehold::ID).ok()
    });
    (canonical, other.expect("half of all bumps give an address"))
}

#[test]
fn attack_non_canonical_bump() {
    let catalogue = Catalogue::new();
    let market = catalogue.world.market.address;
    let refuses = |name: &str, seeds: &[&[u8]]| {
        let (canonical, other) = second_best(seeds);
        catalogue.refuses(name, swap(canonical, other), ErrorCode::ConstraintSeeds);
    };
    let signer = |name: &str| catalogue.case(name).signers[0].pubkey();
    let created = |name: &str, index: usize| catalogue.case(name).instruction.accounts[index].pubkey;
    refuses("create_market", &[MARKET_SEED, &4u64.to_le_bytes()]);
    refuses("create_market", &[STAKE_VAULT_SEED, created("create_market", 1).as_ref()]);
    refuses("create_board", &[BOARD_SEED, market.as_ref(), &2u32.to_le_bytes()]);
    refuses("create_board", &[PAYMENT_VAULT_SEED, created("create_board", 2).as_ref()]);
    let supplier = signer("register_supplier");
    refuses("register_supplier", &[SUPPLIER_SEED, market.as_ref(), supplier.as_ref()]);
    let keeper = signer("register_keeper");
    refuses("register_keeper", &[KEEPER_SEED, market.as_ref(), keeper.as_ref()]);
    let nonce = u64::from(catalogue.world.with_board(|board, _| board.next_serial));
    let (board, buyer) = (catalogue.world.board().address, signer("open_lease"));
    refuses("open_lease", &[LEASE_SEED, board.as_ref(), buyer.as_ref(), &nonce.to_le_bytes()]);
    refuses("create_index", &[INDEX_SEED, board.as_ref(), &1u16.to_le_bytes()]);
    let described = catalogue.supplier.account;
    refuses("create_profiles", &[PROFILES_SEED, described.as_ref()]);
    let without_log = created("create_log", 1);
    refuses("create_log", &[LOG_SEED, without_log.as_ref()]);
    // A demand's address depends on the receipt's id, which is in the instruction's data.
    let id = &catalogue.case("demand_receipt").instruction.data[8..40];
    refuses("demand_receipt", &[DEMAND_SEED, id]);
}

#[test]
fn attack_prefunded_address_stops_no_creation() {
    for lamports in [1_000_000, 5_000_000_000] {
        let mut catalogue = Catalogue::new();
        let creating = [
            "create_market",
            "create_board",
            "register_supplier",
            "register_keeper",
            "open_lease",
            "create_log",
            "create_index",
            "create_profiles",
        ];
        let mallory = catalogue.mallory.insecure_clone();
        for name in creating {
            let accounts = catalogue.case(name).instruction.accounts.clone();
            let new: Vec<_> = accounts
                .iter()
                .filter(|meta| catalogue.world.svm.get_account(&meta.pubkey).is_none())
                .map(|meta| transfer(&mallory.pubkey(), &meta.pubkey, lamports))
                .collect();
            assert!(!new.is_empty(), "{name} creates an account");
            catalogue.world.ok(&new, &[&mallory]);
            let case = catalogue.case(name);
            let signers: Vec<_> = case.signers.iter().collect();
            assert_eq!(catalogue.run(&case.instruction, &signers), Ok(()), "{name}");
        }
    }
}

#[test]
fn attack_front_running_of_market_creation() {
    let mut world = World::without_market();
    let authority = world.authority.insecure_clone();
    let mallory = world.wallet();
    let market = world.market;
    let create = |market: &MarketRef, authority| {
        instruction::create_market(market, authority, GENESIS, TIMELOCK, rules(), params())
    };
    // Mallory sees the transaction in flight, and takes the number first.
    world.ok(&[create(&market, mallory.pubkey())], &[&mallory]);
    let before = world.lamports(&market.address);
    world.fails(create(&market, authority.pubkey()), &[&authority], SYSTEM_ACCOUNT_IN_USE);
    assert_eq!(world.market_account().authority, mallory.pubkey(), "anybody can see whose market it is");
    assert_eq!(world.lamports(&market.address), before);
    // Any other number will do.
    let next = MarketRef::new(2, market.payment_mint, market.stake_mint);
    world.ok(&[create(&next, authority.pubkey())], &[&authority]);
}

#[test]
fn attack_front_running_of_a_board_costs_one_attempt() {
    let mut world = World::new();
    let (alice, mallory) = (world.wallet(), world.wallet());
    let create =
        |world: &World, index, who: &Pubkey| instruction::create_board(&world.market.board(index), *who);
    let planned = create(&world, 1, &alice.pubkey());
    let first = create(&world, 1, &mallory.pubkey());
    world.ok(&[first], &[&mallory]);
    world.fails(planned, &[&alice], ErrorCode::ConstraintSeeds);
    let next = create(&world, 2, &alice.pubkey());
    world.ok(&[next], &[&alice]);
}

#[test]
fn attack_closing_and_reviving_in_one_transaction() {
    let mut world = World::new();
    let mallory = world.wallet();
    let (key, market) = (mallory.pubkey(), world.market);
    let account = market.supplier(&key);
    let register = instruction::register_supplier(&market, key);
    world.ok(core::slice::from_ref(&register), &[&mallory]);
    // Lamports keep the account alive, but without data or owner.
    let close = instruction::close_supplier(&market, key);
    world.ok(&[close.clone(), transfer(&key, &account, 5_000_000)], &[&mallory]);
    let revived = world.svm.get_account(&account).expect("it has lamports");
    assert_eq!((revived.owner, revived.data.len()), (solana_system_interface::program::ID, 0));
    let deposit = instruction::deposit_stake(&market, key, market.stake_account(&key), STAKE);
    world.fails(deposit.clone(), &[&mallory], ErrorCode::AccountOwnedByWrongProgram);
    world.fails(close.clone(), &[&mallory], ErrorCode::AccountOwnedByWrongProgram);
    assert_eq!(world.market_account().members, 0);
    // Registering again in the same transaction starts from zero.
    world.ok(&[register.clone(), close, transfer(&key, &account, 5_000_000), register, deposit], &[&mallory]);
    let supplier: Supplier = world.account(&account);
    assert_eq!(supplier.stake, StakeLedger { free: STAKE, ..StakeLedger::default() });
    assert_eq!(world.market_account().members, 1);
    world.assert_invariants();
}

#[test]
fn attack_reviving_a_closed_lease() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    world.pay_owner(&buyer);
    world.end_disputes();
    let (board, lease) = (world.board(), world.lease_address(1));
    let key = buyer.pubkey();
    let close = instruction::close_lease(&board, key, lease);
    let revive = transfer(&key, &lease, 10_000_000);
    world.ok(&[close.clone(), revive], &[&buyer]);
    assert_eq!(world.with_board(|board, _| board.leases), 0);
    let settle = instruction::settle_lease(&board, lease);
    let refund = instruction::claim_refund(&board, key, lease, world.market.payment_account(&key));
    for again in [close, settle, refund] {
        world.fails(again, &[&buyer], ErrorCode::AccountOwnedByWrongProgram);
    }
    // A serial is never used twice, though the address can be.
    let args =
        leasehold::instructions::OpenLeaseArgs { nonce: 1, ..world.lease_args(&buyer, anything(), 1, 1) };
    let again = world.open_instruction(&buyer, args);
    world.ok(&[again], &[&buyer]);
    assert_eq!((world.lease_address(2), world.lease(2).serial), (lease, 2));
    world.assert_invariants();
}

#[test]
fn attack_front_running_of_a_lease_costs_no_attempt() {
    let Scene { mut world, buyer, .. } = Scene::listed(2);
    let rival = world.wallet();
    let args = world.lease_args(&buyer, anything(), 1, 1);
    let planned = world.open_instruction(&buyer, args);
    // The rival leases first, under the same number: its address is another.
    let args = world.lease_args(&rival, anything(), 1, 1);
    let first = world.open_instruction(&rival, args);
    world.ok(&[first], &[&rival]);
    world.ok(&[planned], &[&buyer]);
    assert_eq!((world.lease(1).buyer, world.lease(2).buyer), (rival.pubkey(), buyer.pubkey()));
    assert_eq!((world.lease(1).nonce, world.lease(2).nonce), (1, 1));
    world.assert_invariants();
}
