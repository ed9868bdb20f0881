//! Leases: prices, commitments, cancellation, slashing.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, Offer, OpenLeaseArgs},
    math::matching::Criteria,
    state::{Keeper, LeaseState, Params, SlotState, Supplier},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

fn reprice(world: &World, supplier: &SupplierActor, slot: u16, price: u64) -> Instruction {
    let committed_until = world.round() + 500;
    let offers = vec![Offer { slot, price, committed_until, bond: 0 }];
    instruction::reprice_machines(&world.board(), supplier.wallet.pubkey(), offers)
}

fn forfeit(world: &World, supplier: &SupplierActor, slot: u16) -> Instruction {
    instruction::forfeit_machines(&world.board(), supplier.wallet.pubkey(), vec![slot])
}

fn retire(world: &World, supplier: &SupplierActor, slot: u16) -> Instruction {
    let signer = supplier.wallet.pubkey();
    instruction::retire_machines(&world.board(), signer, supplier.account, vec![slot])
}

#[test]
fn attack_price_raised_between_quote_and_lease() {
    let Scene { mut world, supplier, buyer, .. } = Scene::listed(2);
    let args = world.lease_args(&buyer, anything(), 2, 6);
    let hint = world.hint(&anything(), 2, 6);
    let quoted = OpenLeaseArgs { hint, max_deposit: 700_000, ..args };
    let open = world.open_instruction(&buyer, quoted.clone());
    let raise = reprice(&world, &supplier, 1, 350_001);
    world.ok(&[raise], &[&supplier.wallet]);
    world.fails(open.clone(), &[&buyer], LeaseholdError::CostsTooMuch);
    // `max_price` limits the price of each machine.
    let criteria = Criteria { max_price: 350_000, ..anything() };
    let guarded = world.open_instruction(&buyer, OpenLeaseArgs { criteria, ..quoted });
    world.fails(guarded, &[&buyer], LeaseholdError::NotEnoughGpus);
    let lower = reprice(&world, &supplier, 1, 350_000);
    world.ok(&[lower], &[&supplier.wallet]);
    world.ok(&[open], &[&buyer]);
    assert_eq!(world.lease(1).deposit, 700_000);
    world.assert_invariants();
}

#[test]
fn attack_price_raised_in_mid_lease() {
    let Scene { mut world, supplier, .. } = Scene::leased(1, 1, 9);
    let raise = reprice(&world, &supplier, 0, u64::MAX);
    world.fails(raise, &[&supplier.wallet], LeaseholdError::MachineLeased);
}

#[test]
fn attack_lease_of_a_machine_twice() {
    let Scene { mut world, buyer, .. } = Scene::leased(1, 1, 9);
    let rival = world.wallet();
    for wallet in [&rival, &buyer] {
        let args = world.lease_args(wallet, anything(), 1, 1);
        let open = world.open_instruction(wallet, args);
        world.fails(open, &[wallet], LeaseholdError::NotEnoughGpus);
    }
}

#[test]
fn attack_machine_forfeited_in_mid_lease_loses_its_whole_bond() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(2, 2, 4);
    world.attest(&keepers, |_| true);
    // The machine serves one round and is forfeited; then it can neither retire nor be repriced.
    let leave = forfeit(&world, &supplier, 1);
    world.ok(&[leave], &[&supplier.wallet]);
    let away = retire(&world, &supplier, 1);
    world.fails(away, &[&supplier.wallet], LeaseholdError::MachineLeased);
    let again = reprice(&world, &supplier, 1, 1);
    world.fails(again, &[&supplier.wallet], LeaseholdError::MachineLeased);
    for _ in 0..3 {
        world.attest(&keepers, |_| true);
    }
    assert_eq!(
        (world.slot(1).lease_up, world.slot(1).lease_down),
        (1, 0),
        "no verdicts after it is forfeited"
    );
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!((lease.slashed, world.slot(1).bond), (100 * STAKE, 0));
    // It is paid for its one round up less a fifth, which is the owner's; the other machine for all four.
    assert_eq!(lease.paid + lease.fees, 58_333 - 11_666 + 233_333);
    assert_eq!((lease.refunded, lease.burned), (lease.deposit - lease.paid - lease.fees, 0));
    world.assert_invariants();
    world.pay_supplier(&supplier);
    assert_eq!(world.account::<Supplier>(&supplier.account).stake.free, STAKED - 100 * STAKE);
    world.assert_invariants();
}

#[test]
fn attack_lease_opened_before_a_retirement_arrives() {
    let Scene { mut world, supplier, keepers, buyer: mallory } = Scene::listed(3);
    // Signed while the machine was idle; Mallory sees the transaction in flight and leases the machine first.
    let leave = retire(&world, &supplier, 0);
    let (slot, stake) = (world.slot(0), world.account::<Supplier>(&supplier.account).stake);
    world.open(&mallory, anything(), 1, 2);
    world.fails(leave.clone(), &[&supplier.wallet], LeaseholdError::MachineLeased);
    world.end_round();
    world.fails(leave.clone(), &[&supplier.wallet], LeaseholdError::MachineLeased);
    assert!(world.slot(0).is(SlotState::Leased) && !world.slot(0).has_broken_promise());
    assert_eq!(world.slot(0).bond, slot.bond);
    // She pays for it; the machine leaves with its whole bond after the dispute window.
    let (board, key) = (world.board(), mallory.pubkey());
    world.ok(&[instruction::cancel_lease(&board, key, board.lease(&key, 1), vec![])], &[&mallory]);
    world.attest(&keepers, |_| true);
    world.settle(&mallory, 1);
    assert_eq!((world.lease(1).slashed, world.slot(0).bond), (0, slot.bond));
    assert_eq!(world.lease(1).paid + world.lease(1).fees, 58_333 + 350_000 * 30 / 3_600);
    world.assert_invariants();
    world.pay_supplier(&supplier);
    let left = world.account::<Supplier>(&supplier.account).stake;
    assert_eq!(left.free, stake.free + 3 * slot.bond);
    world.assert_invariants();
}

#[test]
fn attack_machine_kept_off_the_market_by_leases_that_are_left_before_they_begin() {
    let Scene { mut world, supplier, keepers, buyer: mallory } = Scene::listed(1);
    let (board, key) = (world.board(), mallory.pubkey());
    let rounds = 5;
    for serial in 1..=rounds {
        let open = world.lease_args(&mallory, anything(), 1, 2);
        let open = world.open_instruction(&mallory, open);
        let cancel = instruction::cancel_lease(&board, key, board.lease(&key, serial.into()), vec![]);
        world.ok(&[open, cancel], &[&mallory]);
        let again = world.lease_args(&mallory, anything(), 1, 2);
        let again = world.open_instruction(&mallory, again);
        world.fails(again, &[&mallory], LeaseholdError::NotEnoughGpus);
        world.end_round();
        world.attest(&keepers, |_| true);
        world.settle(&mallory, serial);
    }
    // The first round of each lease, and 5 percent of the other round.
    let paid: u64 = (1..=rounds).map(|serial| world.lease(serial).paid + world.lease(serial).fees).sum();
    assert_eq!(paid, u64::from(rounds) * (58_333 + 350_000 * 30 / 3_600));
    world.assert_invariants();
    world.pay_supplier(&supplier);
}

#[test]
fn attack_stake_asked_back_while_a_lease_is_open() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(1, 1, 2);
    let free = world.account::<Supplier>(&supplier.account).stake.free;
    let market = world.market;
    let request = |amount| instruction::request_unstake(&market, supplier.wallet.pubkey(), amount);
    world.fails(request(free + 1), &[&supplier.wallet], LeaseholdError::InsufficientStake);
    world.ok(&[request(free)], &[&supplier.wallet]);
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&buyer, 1);
    assert_eq!(world.lease(1).slashed, 100 * STAKE * 2 / 432, "the bond was in the slot all along");
    world.assert_invariants();
}

#[test]
fn attack_self_slashing_loses() {
    let mut world = World::new();
    // One wallet is supplier, buyer, owner and settling keeper.
    let supplier = world.supplier();
    let (wallet, keepers) = (supplier.wallet.insecure_clone(), world.keepers(3));
    let (key, market) = (wallet.pubkey(), world.market);
    world.ok(&[instruction::register_keeper(&market, key)], &[&wallet]);
    world.list(&supplier, COMMITTED, &[machine(0)]);
    let owned = |world: &World| {
        let supplier: Supplier = world.account(&supplier.account);
        let keeper: Keeper = world.account(&market.keeper(&key));
        let bond = world.with_board(|_, slots| slots[0].bond);
        world.stake_of(&key) + supplier.stake.free + keeper.stake.free + bond
    };
    let (stake, payments) = (owned(&world), world.payments_of(&key));
    world.open(&wallet, anything(), 1, 2);
    world.end_round();
    for _ in 0..2 {
        world.attest(&keepers, |_| false);
    }
    world.settle(&wallet, 1);
    world.pay_owner(&wallet);
    assert_eq!(stake - owned(&world), 100 * STAKE * 2 / 432, "all of it is burned");
    assert_eq!(world.payments_of(&key), payments);
    world.assert_invariants();
}

#[test]
fn attack_slot_used_again_is_another_machine() {
    let Scene { mut world, supplier, keepers, buyer } = Scene::slashed();
    let generation = world.slot(0).generation;
    let settled = world.lease(1);
    world.pay_supplier(&supplier);
    let newcomer = world.supplier();
    world.list(&newcomer, COMMITTED, &[machine(0)]);
    let slot = world.slot(0);
    assert!(slot.generation > generation);
    assert_eq!((slot.lease, slot.up, slot.down, slot.lease_up, slot.accrued), (0, 0, 0, 0, 0));
    // The old lease reads nothing of the new machine.
    world.attest(&keepers, |_| true);
    world.attest(&keepers, |_| true);
    let board = world.board();
    let settle = instruction::settle_lease(&board, world.lease_address(1));
    world.fails(settle, &[&buyer], LeaseholdError::LeaseSettled);
    assert_eq!(world.lease(1).paid, settled.paid);
    let key = supplier.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&board, key, supplier.account, wallet);
    world.fails(claim, &[&supplier.wallet], LeaseholdError::NothingToWithdraw);
    world.assert_invariants();
}

#[test]
fn attack_replaced_machine_leaves_no_claim_on_the_lease() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 1, 9);
    world.attest(&keepers, |_| false);
    let replace = |world: &World| world.replace_instruction(&buyer, 1, replacement(0));
    let (once, again) = (replace(&world), replace(&world));
    world.ok(&[once], &[&buyer]);
    world.fails(again.clone(), &[&buyer], LeaseholdError::NotInLease);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    world.fails(again, &[&buyer], LeaseholdError::NotInLease);
    // Down in the first round and up in the second; then it is out.
    let accrued = world.slot(0).accrued;
    assert_eq!(accrued, 58_333 - 58_333 * 300 / 10_000);
    for _ in 0..7 {
        world.attest(&keepers, |_| true);
    }
    world.settle(&buyer, 1);
    assert_eq!(world.slot(0).accrued, accrued);
    assert_eq!(world.lease(1).state, LeaseState::Settled);
    assert_eq!(world.lease(1).paid + world.lease(1).fees, 58_333 + 350_000 * 600 * 7 / 3_600);
    world.assert_invariants();
}

#[test]
fn attack_price_without_bound_cannot_overflow_or_stop_others() {
    let mut world = World::new();
    let (griefer, supplier, buyer) = (world.supplier(), world.supplier(), world.wallet());
    let priceless = |number| Machine { price: u64::MAX, ..machine(number) };
    world.list(&griefer, COMMITTED, &[priceless(0), priceless(1), priceless(2)]);
    world.list(&supplier, COMMITTED, &[machine(3)]);
    world.open(&buyer, anything(), 1, 10);
    assert_eq!(world.slot(3).lease, 1, "the cheapest fits, whatever the others cost");
    let mut refuses = |machines, rounds, max_deposit, error: LeaseholdError| {
        let args = world.lease_args(&buyer, anything(), machines, rounds);
        let open = world.open_instruction(&buyer, OpenLeaseArgs { max_deposit, ..args });
        world.fails(open, &[&buyer], error);
    };
    // Price times time, and the sum of three prices, overflow 64 bits.
    refuses(1, 7, u64::MAX, LeaseholdError::MathOverflow);
    refuses(3, 3, u64::MAX, LeaseholdError::MathOverflow);
    refuses(1, 6, u64::MAX - 1, LeaseholdError::CostsTooMuch);
    // Together with the other leases, it overflows the board's ledger.
    refuses(1, 6, u64::MAX, LeaseholdError::MathOverflow);
    let args = world.lease_args(&buyer, anything(), 1, 3);
    let open = world.open_instruction(&buyer, args);
    world.fails(open, &[&buyer], TOKEN_INSUFFICIENT_FUNDS);
    world.assert_invariants();
}

#[test]
fn attack_prices_near_the_limit_settle_exactly() {
    let mut world = World::new();
    let (supplier, keepers, buyer) = (world.supplier(), world.keepers(3), world.wallet());
    // A tenth of u64::MAX an hour; the buyer owns the rest of the supply.
    let price = u64::MAX / 10;
    let machines: Vec<_> = (0..5).map(|number| Machine { price, ..machine(number) }).collect();
    world.list(&supplier, COMMITTED, &machines);
    world.make_rich(&buyer.pubkey());
    world.open(&buyer, anything(), 5, 6);
    world.end_round();
    for round in 0..6 {
        // 0 is always up, 1 never, the others half the time.
        world.end_round();
        for (voter, keeper) in keepers.iter().enumerate() {
            world.vote(keeper, |machine| match machine {
                0 => true,
                1 => false,
                2 => round % 2 == 0,
                _ => round >= 3 || voter == 0,
            });
        }
        let close = instruction::close_round(&world.board());
        world.ok(&[close], &[&buyer]);
        world.settle(&buyer, 1);
        world.assert_invariants();
    }
    let lease = world.lease(1);
    assert_eq!(lease.state, LeaseState::Settled);
    assert_eq!(lease.deposit, 5 * price);
    assert_eq!(lease.paid + lease.fees + lease.refunded + lease.burned, lease.deposit);
    // A fifth of the pay of those that were down in three rounds is burned.
    let part = price / 2 - price / 2 / 5;
    assert_eq!((lease.paid + lease.fees, lease.burned), (price + 3 * part, 3 * (price / 2 / 5)));
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    world.assert_invariants();
}

#[test]
fn attack_bond_of_any_size_cannot_overflow() {
    let mut world = World::with(rules(), Params { bond_unit: u64::MAX, ..params() });
    let supplier = world.supplier();
    let (until, mut huge) = (world.round() + 9, machine(0));
    let plain = world.list_instruction(&supplier, until, &[huge]);
    world.fails(plain, &[&supplier.wallet], LeaseholdError::InsufficientStake);
    (huge.traits.class, huge.traits.gpus) = (2, 255);
    let huge = world.list_instruction(&supplier, until, &[huge]);
    world.fails(huge, &[&supplier.wallet], LeaseholdError::MathOverflow);
}

#[test]
fn attack_lease_cancelled_to_escape_paying_for_the_round_that_runs() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 2);
    let (board, key) = (world.board(), buyer.pubkey());
    world.ok(&[instruction::cancel_lease(&board, key, board.lease(&key, 1), vec![])], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    // The running round, and 5 percent of the one that was left.
    assert_eq!(world.lease(1).paid + world.lease(1).fees, 58_333 + 350_000 * 30 / 3_600);
    world.assert_invariants();
}

#[test]
fn attack_machine_kept_down_until_the_owner_cancels() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(1, 1, 100);
    for _ in 0..7 {
        world.attest(&keepers, |_| false);
    }
    let (board, key) = (world.board(), buyer.pubkey());
    world.ok(&[instruction::cancel_lease(&board, key, board.lease(&key, 1), vec![])], &[&buyer]);
    world.attest(&keepers, |_| false);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(
        (lease.paid, lease.refund_due),
        (0, lease.deposit),
        "a machine that did not serve is owed nothing"
    );
    assert_eq!(lease.slashed, 100 * STAKE * 3 * 2 / 432, "five of the hundred rounds agreed on are allowed");
    world.assert_invariants();
}
