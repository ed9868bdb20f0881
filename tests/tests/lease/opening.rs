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
    assert_eq!((lease.serial, lease.gpus, lease.machines, lease.group), (1, 2, 2, Some(77)));
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
    let hints = [(0, 0, 0), (u64::MAX, u16::MAX, u16::MAX), (3 * USD, 5_000, 2), (1, 2, 3)];
    let hints = hints.map(|(price, score, slot)| Some(CutOff { price, score, slot }));
    for hint in hints.into_iter().chain([None]) {
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
    refuses(OpenLeaseArgs { gpus: 0, ..good.clone() }, LeaseholdError::NoGpus);
    refuses(OpenLeaseArgs { gpus: 3, ..good.clone() }, LeaseholdError::NotEnoughGpus);
    refuses(OpenLeaseArgs { gpus: u32::MAX, ..good.clone() }, LeaseholdError::NotEnoughGpus);
    refuses(OpenLeaseArgs { avoid: vec![1], ..good.clone() }, LeaseholdError::NotEnoughGpus);
    refuses(OpenLeaseArgs { avoid: vec![7; 17], ..good.clone() }, LeaseholdError::AvoidsTooMany);
    refuses(OpenLeaseArgs { rounds: 1, ..good.clone() }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { rounds: 21, ..good.clone() }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { max_deposit: 2 * cost(20) - 1, ..good.clone() }, LeaseholdError::CostsTooMuch);
    for criteria in [
        Criteria { min_bond: 100 * STAKE + 1, ..anything() },
        Criteria { max_gpus: 0, ..anything() },
        Criteria { min_gpus: 2, ..anything() },
    ] {
        refuses(OpenLeaseArgs { criteria, ..good.clone() }, LeaseholdError::NotEnoughGpus);
    }
    refuses(
        OpenLeaseArgs { criteria: Criteria { min_score: 5_001, ..anything() }, ..good.clone() },
        LeaseholdError::NotEnoughGpus,
    );
    let open = world.open_instruction(&buyer, OpenLeaseArgs { max_deposit: 2 * cost(20), ..good.clone() });
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
    let args = world.lease_args(&poor, anything(), 1, 1);
    let open = world.open_instruction(&poor, args);
    world.fails(open, &[&poor], TOKEN_INSUFFICIENT_FUNDS);
}

/// Nothing dark is sold: a machine must have been up in the last quorate round, which must be recent.
#[test]
fn open_lease_takes_only_machines_that_were_seen_up_unless_the_buyer_waives_it() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(2);
    let seen = Criteria { allow_unseen: false, ..anything() };
    let refuses = |world: &mut World, criteria, gpus, error: LeaseholdError| {
        let args = world.lease_args(&buyer, criteria, gpus, 5);
        let open = world.open_instruction(&buyer, args);
        world.fails(open, &[&buyer], error);
    };
    refuses(&mut world, seen, 1, LeaseholdError::BoardUnseen);
    // Listed in the round that is voted on first: nobody is seen in it.
    world.attest(&keepers, |_| true);
    refuses(&mut world, seen, 1, LeaseholdError::NotEnoughGpus);
    world.attest(&keepers, |machine| machine == 1);
    refuses(&mut world, seen, 2, LeaseholdError::NotEnoughGpus);
    // Three rounds later is too late.
    let ended = world.now() - 1;
    world.set_time(ended + 3 * 600 + 1);
    refuses(&mut world, seen, 1, LeaseholdError::BoardUnseen);
    world.set_time(ended + 3 * 600);
    let serial = world.open(&buyer, seen, 1, 5);
    assert_eq!(leased(&world, serial), [1]);
    let serial = world.open(&buyer, anything(), 1, 5);
    assert_eq!(leased(&world, serial), [0]);
    world.assert_invariants();
}

#[test]
fn open_lease_fails_when_a_machine_is_not_rested() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::listed(0);
    // Half an hour: three rounds.
    world.list(&supplier, COMMITTED, &[Machine { turnaround: 30, ..machine(0) }]);
    world.open(&buyer, anything(), 1, 1);
    world.end_round();
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let until = world.lease(1).until;
    let open = |world: &World| {
        let args = world.lease_args(&buyer, anything(), 1, 1);
        world.open_instruction(&buyer, args)
    };
    world.go_to_round(until + 1);
    let early = open(&world);
    world.fails(early, &[&buyer], LeaseholdError::NotEnoughGpus);
    // A lease that is opened in the next round begins in the one after it.
    world.end_round();
    let rested = open(&world);
    world.ok(&[rested], &[&buyer]);
    world.assert_invariants();
}

/// What a buyer asks for is GPUs; the last machine is the cheapest that completes the number.
#[test]
fn open_lease_counts_gpus_and_completes_them_cheaply() {
    let mut scene = Scene::listed(0);
    let of = |number, gpus, price| {
        let mut machine = Machine { price, ..machine(number) };
        machine.traits.gpus = gpus;
        machine
    };
    let machines = [of(0, 1, 10), of(1, 8, 20), of(2, 2, 21), of(3, 1, 22), of(4, 4, 23)];
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    for (gpus, max_gpus, expected) in [
        (1, 1, &[0][..]),
        (2, 2, &[0, 3]),
        (3, 3, &[0, 2]),
        (8, 8, &[1]),
        (9, 9, &[0, 1]),
        (9, 4, &[]),
        (8, 4, &[0, 2, 3, 4]),
    ] {
        let mut world = scene.world.clone();
        let criteria = Criteria { max_gpus, ..anything() };
        let args = world.lease_args(&scene.buyer, criteria, gpus, 6);
        let open = world.open_instruction(&scene.buyer, args);
        if expected.is_empty() {
            world.fails(open, &[&scene.buyer], LeaseholdError::NotEnoughGpus);
            continue;
        }
        world.ok(&[open], &[&scene.buyer]);
        assert_eq!(leased(&world, 1), expected, "{gpus} of at most {max_gpus}");
        let hourly: u64 = expected.iter().map(|slot| world.slot(*slot as u16).hourly()).sum();
        assert_eq!((world.lease(1).deposit, world.lease(1).gpus), (hourly, gpus));
        world.assert_invariants();
    }
}

/// The buyer pays; the owner has the lease and its refund.
#[test]
fn open_lease_for_another_owner_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::listed(1);
    let owner = world.wallet();
    let args = OpenLeaseArgs {
        owner: owner.pubkey(),
        nonce: u64::MAX,
        ..world.lease_args(&buyer, anything(), 1, 50)
    };
    let before = [&buyer, &owner].map(|wallet| world.payments_of(&wallet.pubkey()));
    let open = world.open_instruction(&buyer, args);
    world.ok(&[open], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((lease.buyer, lease.owner, lease.nonce), (buyer.pubkey(), owner.pubkey(), u64::MAX));
    let cancel = world.cancel_instruction(&buyer, 1, &[]);
    world.fails(cancel, &[&buyer], LeaseholdError::WrongAuthority);
    let cancel = world.cancel_instruction(&owner, 1, &[]);
    world.ok(&[cancel], &[&owner]);
    world.end_round();
    world.attest(&keepers, |_| false);
    world.settle(&buyer, 1);
    let claim = crate::claim_refund(&world, &owner);
    world.ok(&[claim], &[&owner]);
    let after = [&buyer, &owner].map(|wallet| world.payments_of(&wallet.pubkey()));
    assert_eq!((before[0] - after[0], after[1] - before[1]), (cost(50), cost(50)));
    world.assert_invariants();
}

#[test]
fn open_lease_fails_when_the_buyer_has_a_lease_of_that_nonce() {
    let Scene { mut world, buyer, .. } = Scene::listed(2);
    let args = world.lease_args(&buyer, anything(), 1, 5);
    let [first, again] = [(); 2].map(|()| world.open_instruction(&buyer, args.clone()));
    world.ok(&[first], &[&buyer]);
    world.fails(again, &[&buyer], SYSTEM_ACCOUNT_IN_USE);
}
