//! Every instruction of a board and its machines: that it works, and everything it refuses.

use anchor_lang::error::ErrorCode;
use leasehold::{
    constants::{INITIAL_SCORE, MAX_SLOTS},
    error::LeaseholdError,
    instructions::{Machine, Offer},
    state::{self, Params, Slot, SlotState, Supplier, board_len},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Seconds after the end of its commitment in which a machine can't be evicted.
const EVICTION: i64 = 30 * 86_400;

/// Lamports that one more slot costs on a board with that many.
fn rent_of_slot(world: &World, slots: usize) -> u64 {
    let rent = |slots| world.svm.minimum_balance_for_rent_exemption(board_len(slots));
    rent(slots + 1) - rent(slots)
}

fn list(world: &World, supplier: &SupplierActor, machines: Vec<Machine>, former: &[Pubkey]) -> Instruction {
    let until = world.round() + 100;
    instruction::list_machines(&world.board(), supplier.wallet.pubkey(), until, machines, former)
}

/// A machine for a slot that is there.
fn in_slot(slot: u16) -> Machine {
    Machine { slot: Some(slot), ..machine(slot) }
}

fn reprice(world: &World, supplier: &SupplierActor, offers: Vec<Offer>) -> Instruction {
    instruction::reprice_machines(&world.board(), supplier.wallet.pubkey(), offers)
}

fn retire(world: &World, supplier: &SupplierActor, machines: &[u16]) -> Instruction {
    let signer = supplier.wallet.pubkey();
    instruction::retire_machines(&world.board(), signer, supplier.account, machines.to_vec())
}

fn free_stake(world: &World, supplier: &SupplierActor) -> u64 {
    world.account::<Supplier>(&supplier.account).stake.free
}

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
fn create_board_is_open_to_anybody_and_counts_on() {
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
fn list_machines_ok() {
    let mut world = World::new();
    let supplier = world.supplier();
    let (payer, board) = (world.wallet(), world.board());
    let before = world.lamports(&supplier.wallet.pubkey());
    let mut h100 = machine(1);
    (h100.traits.class, h100.traits.gpus) = (2, 8);
    let list = list(&world, &supplier, vec![machine(0), h100], &[]);
    world.ok(&[list], &[&payer, &supplier.wallet]);

    let rent = rent_of_slot(&world, 0) + rent_of_slot(&world, 1);
    assert_eq!(before - world.lamports(&supplier.wallet.pubkey()), rent, "its supplier pays the slots' rent");
    assert!(rent / 2 <= 1_400_000);
    assert_eq!(world.data(&board.address).len(), board_len(2));
    let (slot, round) = (world.slot(1), world.round());
    assert_eq!((slot.node_key, slot.traits, slot.endpoint), (h100.node_key, h100.traits, h100.endpoint));
    assert_eq!((slot.supplier, slot.price), (supplier.account, h100.price));
    assert_eq!((slot.committed_until, slot.attested_from), (round + 100, round + 1));
    assert_eq!((slot.score, slot.lease, slot.generation), (INITIAL_SCORE, 0, 0));
    assert!(slot.is(SlotState::Idle));
    // 100 for a GPU of weight 1; eight of weight 4.
    assert_eq!((world.slot(0).bond, slot.bond), (100 * STAKE, 3_200 * STAKE));
    assert_eq!(world.with_board(|board, _| (board.machines, board.ledger.bonds)), (2, 3_300 * STAKE));
    assert_eq!(free_stake(&world, &supplier), STAKED - 3_300 * STAKE);
    world.assert_invariants();
}

#[test]
fn list_machines_reuses_a_slot_with_a_new_generation_and_pays_whom_the_rent_belongs_to() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let (other, payer) = (world.supplier(), world.wallet());
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);

    let own = list(&world, &supplier, vec![in_slot(0)], &[]);
    let before = world.lamports(&supplier.wallet.pubkey());
    world.ok(&[own], &[&payer, &supplier.wallet]);
    assert_eq!(world.lamports(&supplier.wallet.pubkey()), before, "its own rent lies there already");
    assert_eq!(world.slot(0).generation, 1);

    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);
    let rent = rent_of_slot(&world, 1);
    let (paid, got) = (world.lamports(&other.wallet.pubkey()), world.lamports(&supplier.account));
    let moved_in = list(&world, &other, vec![in_slot(0)], &[supplier.account]);
    world.ok(&[moved_in], &[&payer, &other.wallet]);
    assert_eq!(paid - world.lamports(&other.wallet.pubkey()), rent);
    assert_eq!(world.lamports(&supplier.account) - got, rent);
    assert_eq!((world.slot(0).generation, world.slot(0).supplier), (2, other.account));
    world.assert_invariants();
}

#[test]
fn list_machines_fails_when_a_machine_is_not_described() {
    let mut world = World::new();
    let supplier = world.supplier();
    let mut refuses = |change: fn(&mut Machine), error: LeaseholdError| {
        let mut machine = machine(0);
        change(&mut machine);
        let list = list(&world, &supplier, vec![machine], &[]);
        world.fails(list, &[&supplier.wallet], error);
    };
    refuses(|machine| machine.traits.gpus = 0, LeaseholdError::NoGpus);
    refuses(|machine| machine.traits.flags = 1, LeaseholdError::ReservedBits);
    refuses(|machine| machine.traits.class = 3, LeaseholdError::UnknownClass);
    refuses(|machine| machine.price = 0, LeaseholdError::PriceIsZero);
    refuses(|machine| machine.endpoint.ip = [0; 16], LeaseholdError::EndpointEmpty);
    refuses(|machine| machine.endpoint.port = [0; 2], LeaseholdError::EndpointEmpty);
    refuses(|machine| machine.slot = Some(0), LeaseholdError::NoSuchSlot);
    let none = list(&world, &supplier, vec![], &[]);
    world.fails(none, &[&supplier.wallet], LeaseholdError::NoMachines);
}

#[test]
fn list_machines_fails_when_it_is_not_committed_beyond_the_next_round() {
    let mut world = World::new();
    let supplier = world.supplier();
    let round = world.round();
    let list = |world: &World, until| world.list_instruction(&supplier, until, &[machine(0)]);
    let short = list(&world, round + 1);
    world.fails(short, &[&supplier.wallet], LeaseholdError::CommitmentTooShort);
    let enough = list(&world, round + 2);
    world.ok(&[enough], &[&supplier.wallet]);
}

#[test]
fn list_machines_fails_when_stake_is_missing() {
    let mut world = World::with(rules(), Params { bond_unit: STAKED / 2, ..params() });
    let supplier = world.supplier();
    let too_many = list(&world, &supplier, (0..3).map(machine).collect(), &[]);
    world.fails(too_many, &[&supplier.wallet], LeaseholdError::InsufficientStake);
    let most = list(&world, &supplier, (0..2).map(machine).collect(), &[]);
    world.ok(&[most], &[&supplier.wallet]);
    world.assert_invariants();
}

#[test]
fn list_machines_fails_when_the_slot_is_taken_even_by_the_same_instruction() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let taken = list(&world, &supplier, vec![in_slot(0)], &[]);
    world.fails(taken, &[&supplier.wallet], LeaseholdError::SlotTaken);
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);
    let twice = list(&world, &supplier, vec![in_slot(0), in_slot(0)], &[]);
    world.fails(twice, &[&supplier.wallet], LeaseholdError::SlotTaken);
}

#[test]
fn list_machines_fails_when_the_former_suppliers_account_is_not_the_one() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let other = world.supplier();
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);
    for former in [&[][..], &[other.account]] {
        let list = list(&world, &other, vec![in_slot(0)], former);
        world.fails(list, &[&other.wallet], LeaseholdError::FormerSupplierMissing);
    }
    let two = list(&world, &other, vec![in_slot(0)], &[supplier.account, supplier.account]);
    world.fails(two, &[&other.wallet], LeaseholdError::StrayAccount);
}

#[test]
fn list_machines_fails_when_the_board_is_full() {
    let mut world = World::with(rules(), Params { bond_unit: 1, ..params() });
    let supplier = world.supplier();
    let machines: Vec<_> = (0..MAX_SLOTS as u16).map(machine).collect();
    world.list(&supplier, COMMITTED, &machines);
    assert_eq!(world.with_board(|board, _| board.machines), 6_144);
    let one_more = list(&world, &supplier, vec![machine(MAX_SLOTS as u16)], &[]);
    world.fails(one_more, &[&supplier.wallet], LeaseholdError::BoardFull);
}

#[test]
fn reprice_machines_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let until = world.round() + 7;
    let offers = vec![Offer { slot: 1, price: 5, committed_until: until }];
    let reprice = reprice(&world, &supplier, offers);
    let bond = world.slot(1).bond;
    world.ok(&[reprice], &[&supplier.wallet]);
    let slot = world.slot(1);
    assert_eq!((slot.price, slot.committed_until, slot.bond), (5, until, bond));
    assert_eq!(world.slot(0).price, machine(0).price);
    world.assert_invariants();
}

#[test]
fn reprice_machines_makes_a_slashed_machine_whole() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    assert!(world.slot(3).is(SlotState::Suspended));
    assert_eq!(world.slot(3).bond, 0);
    let free = free_stake(&world, &supplier);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.ok(&[reprice], &[&supplier.wallet]);
    assert!(world.slot(3).is(SlotState::Idle));
    assert_eq!((world.slot(3).bond, free - free_stake(&world, &supplier)), (100 * STAKE, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn reprice_machines_fails_when_the_offer_is_not_good() {
    let Scene { mut world, supplier, .. } = Scene::listed(3);
    let (round, other) = (world.round(), world.supplier());
    let leave = retire(&world, &supplier, &[1]);
    world.ok(&[leave], &[&supplier.wallet]);
    let good = Offer { slot: 0, price: 1, committed_until: round + 2 };
    let mut refuses = |who: &SupplierActor, offer: Offer, error: LeaseholdError| {
        let reprice = reprice(&world, who, vec![offer]);
        world.fails(reprice, &[&who.wallet], error);
    };
    refuses(&supplier, Offer { slot: 3, ..good }, LeaseholdError::NoSuchSlot);
    refuses(&supplier, Offer { slot: 1, ..good }, LeaseholdError::SlotVacant);
    refuses(&supplier, Offer { price: 0, ..good }, LeaseholdError::PriceIsZero);
    refuses(&supplier, Offer { committed_until: round + 1, ..good }, LeaseholdError::CommitmentTooShort);
    refuses(&other, good, LeaseholdError::WrongSupplier);
    let none = reprice(&world, &supplier, vec![]);
    world.fails(none, &[&supplier.wallet], LeaseholdError::NoMachines);
    let good = reprice(&world, &supplier, vec![good]);
    world.ok(&[good], &[&supplier.wallet]);
}

#[test]
fn reprice_machines_fails_when_the_machine_is_leased() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 2);
    let offer = Offer { slot: 0, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.fails(reprice, &[&supplier.wallet], LeaseholdError::MachineLeased);
}

#[test]
fn reprice_machines_fails_when_the_bond_cannot_be_made_whole() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let all = free_stake(&world, &supplier);
    let unstake = instruction::request_unstake(&world.market, supplier.wallet.pubkey(), all);
    world.ok(&[unstake], &[&supplier.wallet]);
    let offer = Offer { slot: 3, price: 1, committed_until: world.round() + 9 };
    let reprice = reprice(&world, &supplier, vec![offer]);
    world.fails(reprice, &[&supplier.wallet], LeaseholdError::InsufficientStake);
}

#[test]
fn retire_machines_ok() {
    let Scene { mut world, supplier, .. } = Scene::listed(3);
    let (board, rent) = (world.board(), world.lamports(&supplier.account));
    let middle = retire(&world, &supplier, &[1]);
    world.ok(&[middle], &[&supplier.wallet]);
    assert!(world.slot(1).is(SlotState::Vacant));
    assert_eq!(world.with_board(|board, slots| (slots.len(), board.machines)), (3, 2));
    assert_eq!(free_stake(&world, &supplier), STAKED - 200 * STAKE);
    assert_eq!(world.lamports(&supplier.account), rent, "the rent lies in the slot until it is cut off");

    let back = rent_of_slot(&world, 1) + rent_of_slot(&world, 2);
    let last = retire(&world, &supplier, &[2]);
    world.ok(&[last], &[&supplier.wallet]);
    assert_eq!(world.data(&board.address).len(), board_len(1), "both vacant slots are cut off");
    assert_eq!(world.lamports(&supplier.account) - rent, back);
    assert_eq!(world.with_board(|board, _| (board.machines, board.ledger.bonds)), (1, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn retire_machines_suspends_a_leased_machine() {
    let Scene { mut world, supplier, .. } = Scene::leased(2, 2, 2);
    let first = retire(&world, &supplier, &[0]);
    world.ok(core::slice::from_ref(&first), &[&supplier.wallet]);
    let slot = world.slot(0);
    assert!(slot.is(SlotState::Suspended) && slot.is_forfeited());
    assert_eq!((slot.lease, slot.bond, slot.attested_from), (1, 100 * STAKE, Slot::UNATTESTED));
    world.assert_invariants();
    world.fails(first, &[&supplier.wallet], LeaseholdError::MachineLeased);
}

#[test]
fn retire_machines_fails_when_the_machine_is_not_there_or_not_its_own() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let other = world.supplier();
    let mut refuses = |who: &SupplierActor, machines: &[u16], error: LeaseholdError| {
        let retire = retire(&world, who, machines);
        world.fails(retire, &[&who.wallet], error);
    };
    refuses(&supplier, &[], LeaseholdError::NoMachines);
    refuses(&supplier, &[2], LeaseholdError::NoSuchSlot);
    refuses(&supplier, &[0, 0], LeaseholdError::SlotVacant);
    refuses(&other, &[0], LeaseholdError::WrongSupplier);
}

#[test]
fn retire_machines_fails_when_earnings_are_not_claimed() {
    let Scene { mut world, supplier, .. } = Scene::slashed();
    let retire = retire(&world, &supplier, &[0]);
    world.fails(retire, &[&supplier.wallet], LeaseholdError::EarningsLeft);
}

#[test]
fn retire_machines_lets_anybody_evict_a_machine_30_days_after_its_commitment() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let stranger = world.wallet();
    let end = i64::from(world.slot(0).committed_until) * 600;
    let evict = instruction::retire_machines(&world.board(), stranger.pubkey(), supplier.account, vec![0]);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::EvictionTooEarly);
    world.set_time(end + EVICTION);
    world.fails(evict.clone(), &[&stranger], LeaseholdError::EvictionTooEarly);
    world.pass(1);
    world.ok(&[evict], &[&stranger]);
    assert_eq!(free_stake(&world, &supplier), STAKED, "with its whole bond");
    world.assert_invariants();
}

#[test]
fn retire_machines_never_lets_a_stranger_touch_a_lease() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 2);
    let stranger = world.wallet();
    let evict = instruction::retire_machines(&world.board(), stranger.pubkey(), supplier.account, vec![0]);
    let end = i64::from(world.slot(0).committed_until) * 600;
    world.set_time(end + 2 * EVICTION);
    world.fails(evict, &[&stranger], LeaseholdError::EvictionTooEarly);
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
    assert_eq!(world.slot(0).generation, 1, "above any that was cut off");
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
    let leave = instruction::leave_seat(&board, keeper.wallet.pubkey(), keeper.account, 2);
    world.ok(&[leave], &[&keeper.wallet]);
    world.ok(&[close], &[&authority]);
}

#[test]
fn close_board_fails_while_it_holds_a_lease_or_money() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::slashed();
    let (board, authority) = (world.board(), world.authority.insecure_clone());
    let key = authority.pubkey();
    let (payments, stakes) = (world.market.payment_account(&key), world.market.stake_account(&key));
    let close = instruction::close_board(&board, key, payments);
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    for keeper in &keepers {
        let leave = instruction::leave_seat(&board, keeper.wallet.pubkey(), keeper.account, keeper.seat);
        world.ok(&[leave], &[&keeper.wallet]);
    }
    let burn = instruction::burn_slashed(&board);
    let market_stake = instruction::withdraw_market_stake(&board, key, stakes);
    world.ok(&[burn], &[&authority]);
    let fees = instruction::withdraw_fees(&board, key, payments);
    world.ok(&[fees.clone(), market_stake], &[&authority]);

    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    let end = instruction::close_lease(&board, buyer.pubkey(), board.lease(1));
    world.ok(&[end], &[&authority]);
    assert!(world.with_board(|board, _| board.ledger.keeper_pool) > 0);
    world.fails(close.clone(), &[&authority], LeaseholdError::BoardInUse);
    world.ok(&[fees, close], &[&authority]);
}

#[test]
fn board_is_refused_when_it_is_cut_short() {
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
