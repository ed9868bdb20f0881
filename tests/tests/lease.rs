//! Every instruction of a lease: that it works, and everything it refuses.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, OpenLeaseArgs},
    math::matching::{Criteria, CutOff, Place, Policy},
    state::{Keeper, LeaseState, Params, SlotState},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// What a machine of the scenes costs and earns, at 0.35 an hour, for some rounds of ten minutes.
fn cost(rounds: u64) -> u64 {
    (350_000 * 600 * rounds).div_ceil(3_600)
}

fn gross(rounds: u64) -> u64 {
    350_000 * 600 * rounds / 3_600
}

fn lease_address(world: &World) -> Pubkey {
    world.board().lease(1)
}

fn payments(world: &World, owner: &Keypair) -> Pubkey {
    world.market.payment_account(&owner.pubkey())
}

fn extend(world: &World, owner: &Keypair, rounds: u32, most: u64) -> Instruction {
    let wallet = payments(world, owner);
    instruction::extend_lease(&world.board(), owner.pubkey(), lease_address(world), wallet, rounds, most)
}

fn cancel(world: &World, owner: &Keypair) -> Instruction {
    instruction::cancel_lease(&world.board(), owner.pubkey(), lease_address(world))
}

fn replace(world: &World, owner: &Keypair, slot: u16, most: u64) -> Instruction {
    let wallet = payments(world, owner);
    instruction::replace_node(&world.board(), owner.pubkey(), lease_address(world), wallet, slot, most, None)
}

fn settle(world: &World, caller: &Keypair, keeper: Option<Pubkey>) -> Instruction {
    instruction::settle_lease(&world.board(), caller.pubkey(), lease_address(world), keeper)
}

fn claim_refund(world: &World, owner: &Keypair) -> Instruction {
    let wallet = payments(world, owner);
    instruction::claim_refund(&world.board(), owner.pubkey(), lease_address(world), wallet)
}

fn claim_compensation(world: &World, owner: &Keypair) -> Instruction {
    let wallet = world.market.stake_account(&owner.pubkey());
    instruction::claim_compensation(&world.board(), owner.pubkey(), lease_address(world), wallet)
}

fn retire(world: &mut World, supplier: &SupplierActor, machines: &[u16]) {
    let signer = supplier.wallet.pubkey();
    let retire = instruction::retire_machines(&world.board(), signer, supplier.account, machines.to_vec());
    world.ok(&[retire], &[&supplier.wallet]);
}

/// Slots that a lease has.
fn leased(world: &World, serial: u32) -> Vec<usize> {
    world.with_board(|_, slots| (0..slots.len()).filter(|slot| slots[*slot].lease == serial).collect())
}

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
    let args = OpenLeaseArgs { cluster: Some(77), ..world.lease_args(anything(), 2, 6) };
    let open = world.open_instruction(&buyer, args);
    world.ok(&[open], &[&buyer]);

    // The two cheapest, for an hour.
    assert_eq!(leased(&world, 1), [3, 4]);
    let lease = world.lease(1);
    assert_eq!((lease.serial, lease.machines, lease.cluster), (1, 2, Some(77)));
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
        let args = OpenLeaseArgs { hint, ..world.lease_args(anything(), 3, 1) };
        let open = world.open_instruction(&buyer, args);
        world.ok(&[open], &[&buyer]);
        assert_eq!(leased(&world, 1), [2, 3, 4]);
    }
}

#[test]
fn open_lease_fails_when_the_order_is_not_good() {
    let mut world = World::with(rules(), Params { min_rounds: 2, max_rounds: 20, ..params() });
    let (supplier, buyer) = (world.supplier(), world.wallet());
    world.list(&supplier, 30, &[machine(0), machine(1)]);
    let good = world.lease_args(anything(), 2, 20);
    let mut refuses = |args: OpenLeaseArgs, error: LeaseholdError| {
        let open = world.open_instruction(&buyer, args);
        world.fails(open, &[&buyer], error);
    };
    refuses(OpenLeaseArgs { machines: 0, ..good }, LeaseholdError::NoMachines);
    refuses(OpenLeaseArgs { machines: 3, ..good }, LeaseholdError::NotEnoughMachines);
    refuses(OpenLeaseArgs { machines: u32::MAX, ..good }, LeaseholdError::NotEnoughMachines);
    refuses(OpenLeaseArgs { rounds: 1, ..good }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { rounds: 21, ..good }, LeaseholdError::LeaseLength);
    refuses(OpenLeaseArgs { serial: 2, ..good }, LeaseholdError::WrongSerial);
    refuses(OpenLeaseArgs { serial: u64::from(u32::MAX) + 2, ..good }, LeaseholdError::WrongSerial);
    refuses(OpenLeaseArgs { max_deposit: 2 * cost(20) - 1, ..good }, LeaseholdError::CostsTooMuch);
    refuses(
        OpenLeaseArgs { criteria: Criteria { min_score: 5_001, ..anything() }, ..good },
        LeaseholdError::NotEnoughMachines,
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
    let args = world.lease_args(anything(), 1, 11);
    let too_long = world.open_instruction(&buyer, args);
    world.fails(too_long, &[&buyer], LeaseholdError::NotEnoughMachines);
    world.open(&buyer, anything(), 1, 10);
}

#[test]
fn open_lease_fails_when_the_buyer_cannot_pay() {
    let Scene { mut world, buyer, .. } = priced();
    let poor = Keypair::new();
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
    let args = world.lease_args(anything(), 1, 1);
    let open = world.open_instruction(&poor, args);
    world.fails(open, &[&poor], TOKEN_INSUFFICIENT_FUNDS);
}

#[test]
fn extend_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 3);
    let (until, before) = (world.lease(1).until, world.payments_of(&buyer.pubkey()));
    let more = 2 * (cost(5) - cost(3));
    let dear = extend(&world, &buyer, 2, more - 1);
    world.fails(dear, &[&buyer], LeaseholdError::CostsTooMuch);
    let extend = extend(&world, &buyer, 2, more);
    world.ok(&[extend], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((lease.until, lease.terms.rounds), (until + 2, 5));
    assert_eq!((lease.deposit, before - world.payments_of(&buyer.pubkey())), (2 * cost(5), more));
    assert_eq!((world.slot(0).lease_until, world.slot(1).lease_until), (until + 2, until + 2));
    world.assert_invariants();

    for _ in 0..5 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.state), (2 * gross(5), LeaseState::Settled));
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_the_length_is_not_allowed() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 3);
    let none = extend(&world, &buyer, 0, u64::MAX);
    world.fails(none, &[&buyer], LeaseholdError::LeaseLength);
    let most = params().max_rounds;
    let too_long = extend(&world, &buyer, most - 2, u64::MAX);
    world.fails(too_long, &[&buyer], LeaseholdError::LeaseLength);
    let endless = extend(&world, &buyer, u32::MAX, u64::MAX);
    world.fails(endless, &[&buyer], LeaseholdError::MathOverflow);
}

#[test]
fn extend_lease_fails_when_a_machine_is_not_committed_or_retired() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(2, 2, 3);
    // Committed for 1,000 rounds from the one in which the lease began on.
    let beyond = extend(&world, &buyer, COMMITTED - 2, u64::MAX);
    world.fails(beyond, &[&buyer], LeaseholdError::MachineNotCommitted);
    retire(&mut world, &supplier, &[1]);
    let retired = extend(&world, &buyer, 1, u64::MAX);
    world.fails(retired, &[&buyer], LeaseholdError::MachineNotCommitted);
}

#[test]
fn extend_lease_ok_up_to_the_last_round_of_the_commitment() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 3);
    let extend = extend(&world, &buyer, COMMITTED - 3, u64::MAX);
    world.ok(&[extend], &[&buyer]);
    assert_eq!(world.lease(1).until, world.slot(0).committed_until);
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_its_term_is_over() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let extend = extend(&world, &buyer, 1, u64::MAX);
    world.set_time(i64::from(world.lease(1).until) * 600);
    world.fails(extend.clone(), &[&buyer], LeaseholdError::LeaseOver);
    world.pass(-1);
    world.ok(&[extend], &[&buyer]);
    world.assert_invariants();
}

#[test]
fn extend_lease_fails_when_it_was_cancelled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 9);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let extend = extend(&world, &buyer, 1, u64::MAX);
    world.fails(extend, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn cancel_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 1_000);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Cancelled);
    // The round that runs is the lease's last; 5 percent of 999 rounds are more than an hour.
    assert_eq!((lease.until, lease.terms.cancel_secs), (lease.from + 1, 3_600));
    assert_eq!(world.slot(0).lease_until, lease.until);
    world.assert_invariants();

    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(1) + 350_000);
    assert_eq!(lease.refunded, cost(1_000) - gross(1) - 350_000);
    assert!(world.slot(0).is(SlotState::Idle));
    world.assert_invariants();
}

#[test]
fn cancel_lease_before_it_begins_costs_five_percent() {
    let Scene { mut world, buyer, .. } = Scene::listed(1);
    world.open(&buyer, anything(), 1, 40);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let lease = world.lease(1);
    assert_eq!((lease.until, lease.terms.cancel_secs), (lease.from, 40 * 600 / 20));
    // Nobody votes; the round in which it was cancelled is passed over.
    world.pass(2 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, 350_000 * 1_200 / 3_600);
    world.assert_invariants();
}

#[test]
fn cancel_lease_fails_when_it_is_over_or_cancelled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let cancel = cancel(&world, &buyer);
    world.end_round();
    world.fails(cancel.clone(), &[&buyer], LeaseholdError::LeaseOver);

    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let cancel = self::cancel(&world, &buyer);
    world.ok(core::slice::from_ref(&cancel), &[&buyer]);
    world.fails(cancel, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn transfer_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    let heir = world.wallet();
    let transfer = instruction::transfer_lease(buyer.pubkey(), lease_address(&world), heir.pubkey());
    world.ok(core::slice::from_ref(&transfer), &[&buyer]);
    assert_eq!((world.lease(1).buyer, world.lease(1).owner), (buyer.pubkey(), heir.pubkey()));
    world.fails(transfer, &[&buyer], LeaseholdError::WrongAuthority);

    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&buyer, 1);
    let before = (world.payments_of(&heir.pubkey()), world.stake_of(&heir.pubkey()));
    let claims = [claim_refund(&world, &heir), claim_compensation(&world, &heir)];
    world.ok(&claims, &[&heir]);
    assert_eq!(world.payments_of(&heir.pubkey()) - before.0, cost(2));
    assert_eq!(world.stake_of(&heir.pubkey()) - before.1, 60 * STAKE);
    world.assert_invariants();
}

#[test]
fn replace_node_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(3, 2, 100);
    // Down in ten rounds of thirteen, but never in four in a row.
    for round in 0..13 {
        world.attest(&keepers, |machine| machine != 1 || round % 4 == 3);
    }
    let (round, deposit) = (world.round(), world.lease(1).deposit);
    let before = world.payments_of(&buyer.pubkey());
    let replace = replace(&world, &buyer, 1, u64::MAX);
    world.ok(&[replace], &[&buyer]);

    assert_eq!(leased(&world, 1), [0, 2]);
    let (old, new, lease) = (world.slot(1), world.slot(2), world.lease(1));
    assert_eq!((new.lease_from, new.lease_until), (round + 1, lease.until));
    // Of 100 rounds 5 are allowed; the other 5 cost, at twice the rate, a tenth of the bond.
    assert!(old.is(SlotState::Suspended));
    assert_eq!((old.bond, lease.slashed, lease.compensation_due), (90 * STAKE, 10 * STAKE, 6 * STAKE));
    assert_eq!((old.lease, old.up, old.down), (0, 3, 10));
    assert_eq!(old.accrued, gross(3) - gross(3) * 300 / 10_000);
    // What is left of the old machine's deposit pays for the new one, which serves fewer rounds.
    assert_eq!((lease.deposit, world.payments_of(&buyer.pubkey())), (deposit, before));
    world.assert_invariants();

    for _ in 0..87 {
        world.attest(&keepers, |machine| machine != 1);
    }
    world.settle(&buyer, 1);
    // The round in which the swap was made had neither of the two.
    let lease = world.lease(1);
    assert_eq!(lease.paid + lease.fees, gross(100) + gross(3) + gross(86));
    assert_eq!(lease.slashed, 10 * STAKE);
    world.assert_invariants();
}

#[test]
fn replace_node_takes_a_further_deposit_where_the_new_machine_is_dearer() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(2, 2, 3);
    let mut dear = machine(2);
    dear.price = 10 * USD;
    world.list(&supplier, COMMITTED, &[dear]);
    world.attest(&keepers, |machine| machine != 1);
    // Two rounds are left, of which one runs.
    let (costs, freed) = ((10 * USD * 600).div_ceil(3_600), cost(3));
    let too_dear = replace(&world, &buyer, 1, costs - freed - 1);
    world.fails(too_dear, &[&buyer], LeaseholdError::CostsTooMuch);
    let before = world.payments_of(&buyer.pubkey());
    let replace = replace(&world, &buyer, 1, costs - freed);
    world.ok(&[replace], &[&buyer]);
    assert_eq!(before - world.payments_of(&buyer.pubkey()), costs - freed);
    assert_eq!(world.lease(1).deposit, 2 * cost(3) + costs - freed);
    world.assert_invariants();
}

#[test]
fn replace_node_swaps_a_machine_that_was_retired() {
    let Scene { mut world, supplier, buyer, .. } = Scene::leased(2, 1, 9);
    retire(&mut world, &supplier, &[0]);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    assert_eq!(leased(&world, 1), [1]);
    assert_eq!((world.slot(0).bond, world.lease(1).slashed), (0, 100 * STAKE));
    world.assert_invariants();
}

#[test]
fn replace_node_fails_when_the_machine_is_not_down_or_not_in_the_lease() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(5, 3, 100);
    retire(&mut world, &supplier, &[3]);
    // 0 is up, 1 is down and up again, 2 is down.
    world.attest(&keepers, |machine| machine != 1);
    world.attest(&keepers, |machine| machine != 2);
    let mut refuses = |slot: u16, error: LeaseholdError| {
        let replace = replace(&world, &buyer, slot, u64::MAX);
        world.fails(replace, &[&buyer], error);
    };
    refuses(0, LeaseholdError::MachineNotDown);
    refuses(1, LeaseholdError::MachineNotDown);
    refuses(3, LeaseholdError::SlotVacant);
    refuses(4, LeaseholdError::NotInLease);
    refuses(5, LeaseholdError::NoSuchSlot);
    let replace = replace(&world, &buyer, 2, u64::MAX);
    world.ok(&[replace], &[&buyer]);
    world.assert_invariants();
}

#[test]
fn replace_node_fails_when_no_other_machine_fits() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 9);
    world.attest(&keepers, |_| false);
    let replace = replace(&world, &buyer, 0, u64::MAX);
    world.fails(replace, &[&buyer], LeaseholdError::NotEnoughMachines);
}

#[test]
fn replace_node_fails_when_no_round_is_left_or_it_was_cancelled() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 2);
    world.attest(&keepers, |_| false);
    let last_round_runs = replace(&world, &buyer, 0, u64::MAX);
    world.fails(last_round_runs, &[&buyer], LeaseholdError::LeaseOver);

    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 9);
    world.attest(&keepers, |_| false);
    let cancel = cancel(&world, &buyer);
    world.ok(&[cancel], &[&buyer]);
    let cancelled = replace(&world, &buyer, 0, u64::MAX);
    world.fails(cancelled, &[&buyer], LeaseholdError::LeaseNotOpen);
}

#[test]
fn settle_lease_ok() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 3);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid + lease.fees, lease.refunded), (LeaseState::Open, 2 * gross(1), 0));
    assert_eq!(lease.fees, 2 * (gross(1) * 300 / 10_000));
    assert_eq!(world.slot(0).accrued + world.slot(1).accrued, lease.paid);
    world.assert_invariants();

    for _ in 0..2 {
        world.attest(&keepers, |machine| machine == 0);
    }
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, gross(3) + gross(1));
    assert_eq!((lease.refunded, lease.refund_due), (2 * cost(3) - gross(3) - gross(1), lease.refunded));
    assert_eq!(world.with_board(|board, _| board.ledger.escrow), 0);
    // Down in two rounds of three, none allowed, at twice the rate: all of it.
    assert_eq!((lease.slashed, lease.compensation_due), (100 * STAKE, 60 * STAKE));
    assert!(world.slot(0).is(SlotState::Idle) && world.slot(1).is(SlotState::Suspended));
    world.assert_invariants();
}

#[test]
fn settle_lease_gives_the_callers_part_to_its_keepers_account() {
    let Scene { mut world, keepers, .. } = Scene::leased(1, 1, 2);
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    let KeeperActor { wallet, account, .. } = &keepers[1];
    let settle = settle(&world, wallet, Some(*account));
    world.ok(&[settle], &[wallet]);
    assert_eq!(world.account::<Keeper>(account).stake.free, 5 * STAKE);
    let ledger = world.with_board(|board, _| board.ledger);
    assert_eq!(
        (ledger.compensation, ledger.to_burn, ledger.market_stake),
        (60 * STAKE, 20 * STAKE, 15 * STAKE)
    );
    world.assert_invariants();
}

#[test]
fn settle_lease_counts_unknown_rounds_at_the_machines_own_ratio_where_half_are_known() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 6);
    // Machine 0 is up in all three rounds that are known, 1 in two of them; three are unknown.
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |machine| machine == 0);
    world.pass(4 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.paid + lease.fees, gross(6) + 350_000 * 600 * 6 * 2 / (3 * 3_600));
    world.assert_invariants();
}

#[test]
fn settle_lease_pays_and_slashes_nobody_where_all_is_unknown() {
    let Scene { mut world, buyer, .. } = Scene::leased(2, 2, 3);
    world.pass(5 * 600);
    let close = instruction::close_round(&world.board());
    world.ok(&[close], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.state, lease.paid, lease.fees, lease.slashed), (LeaseState::Settled, 0, 0, 0));
    assert_eq!(lease.refund_due, lease.deposit);
    world.assert_invariants();
}

#[test]
fn settle_lease_fails_when_it_is_settled() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let settle = settle(&world, &buyer, None);
    world.fails(settle, &[&buyer], LeaseholdError::LeaseSettled);
}

#[test]
fn settle_lease_fails_when_the_keepers_account_is_another_callers() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    let settle = settle(&world, &buyer, Some(keepers[0].account));
    world.fails(settle, &[&buyer], LeaseholdError::WrongAuthority);
}

#[test]
fn claim_refund_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (due, before) = (world.lease(1).refund_due, world.payments_of(&buyer.pubkey()));
    assert_eq!(due, 4 * cost(2) - 3 * gross(2));
    let claim = claim_refund(&world, &buyer);
    world.ok(core::slice::from_ref(&claim), &[&buyer]);
    assert_eq!(world.payments_of(&buyer.pubkey()) - before, due);
    assert_eq!((world.lease(1).refund_due, world.lease(1).refunded), (0, due));
    world.assert_invariants();
    world.fails(claim, &[&buyer], LeaseholdError::NothingToWithdraw);
}

#[test]
fn claim_compensation_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let before = world.stake_of(&buyer.pubkey());
    let claim = claim_compensation(&world, &buyer);
    world.ok(core::slice::from_ref(&claim), &[&buyer]);
    assert_eq!(world.stake_of(&buyer.pubkey()) - before, 60 * STAKE);
    assert_eq!(world.lease(1).compensation_due, 0);
    world.assert_invariants();
    world.fails(claim, &[&buyer], LeaseholdError::NothingToWithdraw);
}

#[test]
fn close_lease_ok() {
    let Scene { mut world, buyer, .. } = Scene::slashed();
    let (lease, stranger) = (lease_address(&world), world.wallet());
    let close = instruction::close_lease(&world.board(), buyer.pubkey(), lease);
    world.fails(close.clone(), &[&stranger], LeaseholdError::LeaseHoldsMoney);
    let refund = claim_refund(&world, &buyer);
    world.ok(&[refund], &[&buyer]);
    world.fails(close.clone(), &[&stranger], LeaseholdError::LeaseHoldsMoney);
    let compensation = claim_compensation(&world, &buyer);
    world.ok(&[compensation], &[&buyer]);

    let (rent, before) = (world.lamports(&lease), world.lamports(&buyer.pubkey()));
    world.ok(&[close], &[&stranger]);
    assert_eq!(world.lamports(&buyer.pubkey()) - before, rent);
    assert_eq!((world.lamports(&lease), world.with_board(|board, _| board.leases)), (0, 0));
    world.assert_invariants();
}

#[test]
fn close_lease_fails_when_it_is_not_settled() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 2);
    let close = instruction::close_lease(&world.board(), buyer.pubkey(), lease_address(&world));
    world.fails(close.clone(), &[&buyer], LeaseholdError::LeaseNotSettled);
    world.settle(&buyer, 1);
    world.fails(close, &[&buyer], LeaseholdError::LeaseNotSettled);
}
