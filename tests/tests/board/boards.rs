//! Creating, trimming and closing a board.

use anchor_lang::error::ErrorCode;
use leasehold::{error::LeaseholdError, state};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{list, rent_of_slot, retire};

#[test]
fn create_board_ok() {
    let world = World::new();
    let (round, authority) = (world.round(), world.authority.pubkey());
    world.with_board(|board, slots| {
        assert_eq!((board.market, board.creator, board.index), (world.market.address, authority, 0));
        assert_eq!((board.round_secs, board.submit_secs), (600, 300));
        assert_eq!((board.seat_count, board.threshold, board.abandon_rounds), (3, 2, 4));
        assert_eq!((board.next_serial, board.next_round, slots.len()), (1, round, 0));
    });
    assert_eq!(world.tokens(&world.board().payment_vault()), 0);
    world.assert_invariants();
}

#[test]
fn create_board_ok_for_anybody_with_the_next_index() {
    let mut world = World::new();
    let stranger = world.wallet();
    for index in 1..3 {
        let create = instruction::create_board(&world.market.board(index), stranger.pubkey());
        world.ok(&[create], &[&stranger]);
    }
    assert_eq!((world.market_account().boards, world.market_account().next_board), (3, 3));
    world.assert_invariants();
}

#[test]
fn create_board_fails_when_its_index_is_not_the_next_or_the_mint_is_not_the_markets() {
    let mut world = World::new();
    let authority = world.authority.insecure_clone();
    let skipped = instruction::create_board(&world.market.board(2), authority.pubkey());
    world.fails(skipped, &[&authority], ErrorCode::ConstraintSeeds);
    let mut board = world.market.board(1);
    board.market.payment_mint = world.create_mint(6);
    let create = instruction::create_board(&board, authority.pubkey());
    world.fails(create, &[&authority], LeaseholdError::WrongMint);
}

#[test]
fn trim_board_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let (other, stranger) = (world.supplier(), world.wallet());
    let append = list(&world, &other, vec![machine(2)], &[]);
    world.ok(&[append], &[&other.wallet]);
    // The first supplier's slots become vacant below the other's, which is cut off alone.
    for (who, machines) in [(&supplier, &[0, 1][..]), (&other, &[2])] {
        let leave = retire(&world, who, machines);
        world.ok(&[leave], &[&who.wallet]);
    }
    assert_eq!(world.with_board(|_, slots| slots.len()), 2);
    let back = rent_of_slot(&world, 0) + rent_of_slot(&world, 1);
    let before = world.lamports(&supplier.account);
    let trim = instruction::trim_board(&world.board(), &[supplier.account, supplier.account]);
    world.ok(&[trim], &[&stranger]);
    assert_eq!(world.lamports(&supplier.account) - before, back);
    assert_eq!(world.with_board(|board, slots| (slots.len(), board.slots)), (0, 0));
    world.assert_invariants();

    let again = list(&world, &other, vec![machine(0)], &[]);
    world.ok(&[again], &[&other.wallet]);
    assert_eq!(world.slot(0).generation, 1, "later than any generation that was cut off");
}

#[test]
fn trim_board_fails_when_the_last_slot_is_not_vacant_or_owed_to_somebody_else() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let (other, stranger) = (world.supplier(), world.wallet());
    let board = world.board();
    let nobody = instruction::trim_board(&board, &[]);
    world.fails(nobody, &[&stranger], LeaseholdError::FormerSupplierMissing);
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);
    let held = instruction::trim_board(&board, &[supplier.account]);
    world.fails(held, &[&stranger], LeaseholdError::StrayAccount);

    let append = list(&world, &other, vec![machine(2)], &[]);
    world.ok(&[append], &[&other.wallet]);
    for (who, slot) in [(&supplier, 1), (&other, 2)] {
        let leave = retire(&world, who, &[slot]);
        world.ok(&[leave], &[&who.wallet]);
    }
    let owed_to_another = instruction::trim_board(&board, &[other.account]);
    world.fails(owed_to_another, &[&stranger], LeaseholdError::StrayAccount);
    let too_many = instruction::trim_board(&board, &[supplier.account; 3]);
    world.fails(too_many, &[&stranger], LeaseholdError::StrayAccount);
}

#[test]
fn close_board_ok() {
    let mut world = World::new();
    let (board, authority, payer) = (world.board(), world.authority.insecure_clone(), world.wallet());
    let key = authority.pubkey();
    let rent = world.lamports(&board.address) + world.lamports(&board.payment_vault());
    let before = world.lamports(&key);
    let close = instruction::close_board(&board, key, world.market.payment_account(&key));
    world.ok(&[close], &[&payer, &authority]);
    assert_eq!(world.lamports(&key) - before, rent);
    assert_eq!((world.market_account().boards, world.market_account().next_board), (0, 1));
    world.assert_invariants();
}

#[test]
fn close_board_fails_while_it_holds_a_machine_or_a_seat() {
    let mut world = World::new();
    let (board, authority) = (world.board(), world.authority.insecure_clone());
    let key = authority.pubkey();
    let close = instruction::close_board(&board, key, world.market.payment_account(&key));
    let supplier = world.supplier();
    world.list(&supplier, 10, &[machine(0)]);
    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);

    let keeper = world.keeper(2);
    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    let leave = instruction::leave_seat(&board, keeper.wallet.pubkey(), keeper.account, 2, false);
    world.ok(&[leave], &[&keeper.wallet]);
    world.ok(&[close], &[&authority]);
}

#[test]
fn close_board_fails_while_it_holds_a_lease_or_money() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::slashed();
    let (board, authority) = (world.board(), world.authority.insecure_clone());
    let key = authority.pubkey();
    let payments = world.market.payment_account(&key);
    let close = instruction::close_board(&board, key, payments);
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    for keeper in &keepers {
        let leave =
            instruction::leave_seat(&board, keeper.wallet.pubkey(), keeper.account, keeper.seat, false);
        world.ok(&[leave], &[&keeper.wallet]);
    }
    let burn = instruction::burn_slashed(&board);
    let fees = instruction::withdraw_fees(&board, key, payments);
    world.ok(&[burn, fees], &[&authority]);

    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    let end = instruction::close_lease(&board, buyer.pubkey(), world.lease_address(1));
    world.ok(&[end], &[&authority]);
    assert!(world.with_board(|board, _| board.ledger.keeper_pool) > 0);
    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    let pool = instruction::burn_payments(&board, Some(key));
    world.ok(&[pool, close], &[&authority]);
}

#[test]
fn split_board_fails_when_the_account_is_too_short() {
    let world = World::new();
    let mut data = world.data(&world.board().address);
    let malformed = || anchor_lang::error::Error::from(LeaseholdError::BoardMalformed);
    let header = data.len();
    for length in [0, 8, header - 1] {
        assert_eq!(state::split(&data[..length]).err(), Some(malformed()));
        assert_eq!(state::split_mut(&mut data[..length]).err(), Some(malformed()));
    }
    data.resize(header + 1, 0);
    assert_eq!(state::split(&data).err(), Some(malformed()), "part of a slot");
}
