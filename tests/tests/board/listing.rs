//! Listing machines.

use leasehold::{
    constants::{INITIAL_SCORE, MAX_SLOTS},
    error::LeaseholdError,
    instructions::Machine,
    state::{Params, Slot, SlotState, board_len},
};
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{free_stake, list, rent_of_slot, retire};

/// A machine for a slot that exists.
fn in_slot(slot: u16) -> Machine {
    Machine { slot: Some(slot), ..machine(slot) }
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
    assert_eq!(before - world.lamports(&supplier.wallet.pubkey()), rent, "the supplier pays the slots' rent");
    assert!(rent / 2 <= 1_400_000, "{rent}");
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
fn list_machines_ok_with_a_profile_a_turnaround_and_more_than_the_least_bond() {
    let mut world = World::new();
    let supplier = world.supplier();
    let mut large = machine(0);
    (large.traits.gpus, large.bond, large.profile, large.turnaround) = (4, 130 * STAKE, Some(63), 255);
    // Less than the market's minimum bonds the minimum.
    let small = Machine { bond: 99 * STAKE, ..machine(1) };
    let list = list(&world, &supplier, vec![large, small], &[]);
    world.ok(&[list], &[&supplier.wallet]);
    let (large, small) = (world.slot(0), world.slot(1));
    assert_eq!((large.bond, large.profile, large.turnaround), (520 * STAKE, 63, 255));
    assert_eq!((small.bond, small.profile, small.turnaround), (100 * STAKE, Slot::NO_PROFILE, 0));
    assert_eq!(free_stake(&world, &supplier), STAKED - 620 * STAKE);
    world.assert_invariants();
}

#[test]
fn list_machines_reuses_a_slot_with_a_new_generation_and_pays_its_rent_to_the_former_supplier() {
    let Scene { mut world, supplier, .. } = Scene::listed(2);
    let (other, payer) = (world.supplier(), world.wallet());
    let leave = retire(&world, &supplier, &[0]);
    world.ok(&[leave], &[&supplier.wallet]);

    let own = list(&world, &supplier, vec![in_slot(0)], &[]);
    let before = world.lamports(&supplier.wallet.pubkey());
    world.ok(&[own], &[&payer, &supplier.wallet]);
    assert_eq!(world.lamports(&supplier.wallet.pubkey()), before, "its own rent is on the board already");
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
fn list_machines_fails_when_a_field_is_invalid() {
    let mut world = World::new();
    let supplier = world.supplier();
    let mut refuses = |change: fn(&mut Machine), error: LeaseholdError| {
        let mut machine = machine(0);
        change(&mut machine);
        let list = list(&world, &supplier, vec![machine], &[]);
        world.fails(list, &[&supplier.wallet], error);
    };
    refuses(|machine| machine.traits.gpus = 0, LeaseholdError::NoGpus);
    refuses(|machine| machine.traits.flags = 2, LeaseholdError::ReservedBits);
    refuses(|machine| machine.traits.flags = 0x81, LeaseholdError::ReservedBits);
    refuses(|machine| machine.traits.class = 3, LeaseholdError::UnknownClass);
    refuses(|machine| machine.price = 0, LeaseholdError::PriceIsZero);
    refuses(
        |machine| (machine.price, machine.traits.gpus) = (u64::MAX / 2 + 1, 2),
        LeaseholdError::PriceTooHigh,
    );
    refuses(|machine| machine.profile = Some(64), LeaseholdError::ProfileOutOfRange);
    refuses(|machine| (machine.bond, machine.traits.gpus) = (u64::MAX, 2), LeaseholdError::MathOverflow);
    refuses(|machine| machine.endpoint.ip = [0; 16], LeaseholdError::EndpointEmpty);
    refuses(|machine| machine.endpoint.port = [0; 2], LeaseholdError::EndpointEmpty);
    refuses(|machine| machine.slot = Some(0), LeaseholdError::NoSuchSlot);
    let ahead = list(&world, &supplier, vec![machine(0), in_slot(0)], &[]);
    world.fails(ahead, &[&supplier.wallet], LeaseholdError::NoSuchSlot);
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

/// A supplier that vanishes must not block its slots for ever.
#[test]
fn list_machines_fails_when_it_is_committed_for_more_than_a_year_or_the_longest_lease() {
    let year = 366 * 86_400 / 600;
    for (max_rounds, most) in [(10_000, year), (year - 1, year), (year, year + 1)] {
        let mut world = World::with(rules(), Params { max_rounds, ..params() });
        let supplier = world.supplier();
        let next = world.round() + 1;
        let list = |world: &World, until| world.list_instruction(&supplier, until, &[machine(0)]);
        for long in [next + most + 1, u32::MAX] {
            let long = list(&world, long);
            world.fails(long, &[&supplier.wallet], LeaseholdError::CommitmentTooLong);
        }
        let longest = list(&world, next + most);
        world.ok(&[longest], &[&supplier.wallet]);
        world.assert_invariants();
    }
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
fn list_machines_fails_when_the_former_suppliers_account_is_missing_or_wrong() {
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
