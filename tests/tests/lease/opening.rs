//! Opening a lease.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, OpenLeaseArgs},
    math::matching::{Criteria, CutOff, Place, Policy},
    state::{LeaseState, Params, SlotState},
};
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{cost, leased, payments};

/// Five machines at 5, 4, 3, 2 and 1 an hour.
fn priced() -> Scene {
    let mut scene = Scene::listed(0);
    let machines: Vec<_> =
        (0..5).map(|slot| Machine { price: u64::from(5 - slot) * USD, ..machine(slot) }).collect();
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    scene
}

#[test]
fn open_lease_ok() {
    let Scene { mut world, buyer, .. } = priced();
    let before = world.payments_of(&buyer.pubkey());
    let round = world.round();
    let args = OpenLeaseArgs { group: Some(77), ..world.lease_args(&buyer, anything(), 2, 6) };
    let open = world.open_instruction(&buyer, args);
    world.ok(&[open], &[&buyer]);

    // The two cheapest, for an hour.
    assert_eq!(leased(&world, 1), [3, 4]);
    let lease = world.lease(1);
    assert_eq!((lease.serial, lease.machines, lease.group), (1, 2, Some(77)));
    assert_eq!((lease.buyer, lease.owner), (buyer.pubkey(), buyer.pubkey()));
    assert_eq!((lease.from, lease.until), (round + 1, round + 7));
    assert_eq!((lease.deposit, lease.state), (3 * USD, LeaseState::Open));
    assert_eq!((lease.terms.fee_bps, lease.terms.sla_bps, lease.terms.rounds), (300, 9_500, 6));
    assert_eq!(before - world.payments_of(&buyer.pubkey()), 3 * USD);
    let slot = world.slot(4);
    assert!(slot.is(SlotState::Leased));
    assert_eq!((slot.lease_from, slot.lease_until), (round + 1, round + 7));
    world.with_board(|board, _| {
        assert_eq!((board.ledger.escrow, board.leases, board.next_serial), (3 * USD, 1, 2));
    });
    world.assert_invariants();
}

#[test]
fn open_lease_takes_only_what_the_criteria_allow() {
    let mut world = World::new();
    let (supplier, buyer) = (world.supplier(), world.wallet());
    let mut machines: Vec<_> = (0..7).map(machine).collect();
    machines[0].traits.class = 1;
    machines[1].traits.gpus = 0xff;
    machines[2].traits.speed = 9;
    machines[3].traits.country = 840;
    machines[4].traits.region = 3;
    machines[5].price += 1;
    world.list(&supplier, COMMITTED, &machines);
    let any = anything();
    let mut takes = |criteria: Criteria, slot: usize| {
        let serial = world.open(&buyer, criteria, 1, 1);
        assert_eq!(leased(&world, serial), [slot], "{criteria:?}");
    };
    takes(Criteria { class: Some(1), ..any }, 0);
    takes(Criteria { min_gpus: 2, ..any }, 1);
    takes(Criteria { min_speed: 3, ..any }, 2);
    takes(Criteria { place: Place::Country(840), ..any }, 3);
    takes(Criteria { place: Place::Region(3), ..any }, 4);
    takes(Criteria { max_price: machines[6].price, ..any }, 6);
    takes(Criteria { policy: Policy::Best, ..any }, 5);
    world.assert_invariants();
}

#[test]
fn open_lease_is_the_same_whatever_the_hint() {
    for hint in [None, Some(CutOff { price: 0, score: 0 }), Some(CutOff { price: u64::MAX, score: u16::MAX })]
    {
        let Scene { mut world, buyer, .. } = priced();
        let args = OpenLeaseArgs { hint, ..world.lease_args(&buyer, anything(), 3, 1) };
        let open = world.open_instruction(&buyer, args);
        world.ok(&[open], &[&buyer]);
        assert_eq!(leased(&world, 1), [2, 3, 4]);
    }
}

#[test]
fn open_lease_fails_when_an_argument_is_invalid() {
    let mut world = World::with(rules(), Params { min_rounds: 2, max_rounds: 20, ..params() });
    let (supplier, buyer) = (world.supplier(), world.wallet());
    world.list(&supplier, 30, &[machine(0), machine(1)]);
    let good = world.lease_args(&buyer, anything(), 2, 20);
    let mut refuses = |args: OpenLeaseArgs, error: LeaseholdError| {
        let open = world.open_instruction(&buyer, args);
        world.fails(open, &[&buyer], error);
    };
    refuses(OpenLeaseArgs { machines: 0, ..good }, LeaseholdError::NoMachines);
    refuses(OpenLeaseArgs { machines: 3, ..good }, LeaseholdError::NotEnoughGpus);
    refuses(OpenLeaseArgs { machines: u32::MAX, ..good }, LeaseholdError::NotEnoughGpus);
    refuses(OpenLeaseArgs { rounds: 1, ..good }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { rounds: 21, ..good }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { serial: 2, ..good }, LeaseholdError::WrongSerial);
    refuses(OpenLeaseArgs { serial: u64::from(u32::MAX) + 2, ..good }, LeaseholdError::WrongSerial);
    refuses(OpenLeaseArgs { max_deposit: 2 * cost(20) - 1, ..good }, LeaseholdError::CostsTooMuch);
    refuses(
        OpenLeaseArgs { criteria: Criteria { min_score: 5_001, ..anything() }, ..good },
        LeaseholdError::NotEnoughGpus,
    );
    let open = world.open_instruction(&buyer, OpenLeaseArgs { max_deposit: 2 * cost(20), ..good });
    world.ok(&[open], &[&buyer]);
    world.assert_invariants();
}

#[test]
fn open_lease_fails_when_no_machine_is_committed_for_so_long() {
    let mut world = World::new();
    let (supplier, buyer) = (world.supplier(), world.wallet());
    world.list(&supplier, 10, &[machine(0)]);
    let args = world.lease_args(&buyer, anything(), 1, 11);
    let too_long = world.open_instruction(&buyer, args);
    world.fails(too_long, &[&buyer], LeaseholdError::NotEnoughGpus);
    world.open(&buyer, anything(), 1, 10);
}

#[test]
fn open_lease_fails_when_the_buyer_cannot_pay() {
    let Scene { mut world, buyer, .. } = priced();
    let poor = world.key();
    world.fund(&poor.pubkey());
    let (from, to) = (payments(&world, &poor), payments(&world, &buyer));
    let spend = spl_token_interface::instruction::transfer(
        &spl_token_interface::ID,
        &from,
        &to,
        &poor.pubkey(),
        &[],
        PAYMENTS - 1,
    );
    world.ok(&[spend.expect("valid")], &[&poor]);
    let args = world.lease_args(&buyer, anything(), 1, 1);
    let open = world.open_instruction(&poor, args);
    world.fails(open, &[&poor], TOKEN_INSUFFICIENT_FUNDS);
}
