//! Metered leases: opening, notice, and the rest of the deposit.

use leasehold::{
    error::LeaseholdError,
    instructions::{Machine, MeterArgs, OpenLeaseArgs},
    math::matching::Criteria,
    rules::extend::Allowance,
    state::{LeaseState, Meter, Slot, SlotState},
};
use leasehold_client::{board::BoardView, event::Event, instruction, quote};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{cancel, claim_refund, lease_address, payments};

pub const DEPOSIT: u64 = 50 * USD;
/// Rounds after the end of a lease in which vouchers are waited for.
pub const VOUCHER_ROUNDS: u32 = 2;

/// Standby price of the machine for so many rounds: a tenth of 0.35 an hour.
pub fn standby(rounds: u64) -> u64 {
    35_000 * 600 * rounds / 3_600
}

/// A metered lease of the first of two machines; its first round is running.
pub fn metered(rounds: u32) -> Scene {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0), signing_machine(1)]);
    assert_eq!(scene.world.open_metered(&scene.buyer, DEPOSIT, rounds), 1);
    scene.world.end_round();
    scene
}

/// Redeems a voucher for `price` in all; the supplier sends it. Returns the compute units.
#[track_caller]
pub fn redeem(scene: &mut Scene, price: u64) -> u64 {
    let redeem = scene.world.redeem_instructions(1, &scene.world.voucher(1, price));
    scene.world.ok(&redeem, &[&scene.supplier.wallet]).compute_units_consumed
}

pub fn top_up(world: &World, payer: &Keypair, amount: u64) -> Instruction {
    let wallet = payments(world, payer);
    instruction::top_up_lease(&world.board(), payer.pubkey(), lease_address(world), wallet, amount)
}

/// Notice by the owner, or by the machine's supplier; with the signer.
fn notice(scene: &Scene, by_supplier: bool) -> (Instruction, Keypair) {
    let (signer, account) = match by_supplier {
        true => (&scene.supplier.wallet, Some(scene.supplier.account)),
        false => (&scene.buyer, None),
    };
    let (board, lease) = (scene.world.board(), lease_address(&scene.world));
    let notice = instruction::give_notice(&board, signer.pubkey(), lease, account);
    (notice, signer.insecure_clone())
}

/// Waits for the end of the lease and settles it; nobody votes.
pub fn settle(scene: &mut Scene) {
    let until = scene.world.lease(1).until;
    scene.world.go_to_round(until + VOUCHER_ROUNDS + 2);
    let authority = scene.world.authority.insecure_clone();
    scene.world.ok(&[instruction::close_round(&scene.world.board())], &[&authority]);
    scene.world.settle(&authority, 1);
}

pub fn net(gross: u64) -> u64 {
    gross - gross * 300 / 10_000
}

#[test]
fn open_metered_lease_ok() {
    let mut scene = Scene::listed(3);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(3)]);
    let (buyer, round) = (scene.buyer.insecure_clone(), scene.world.round());
    let before = scene.world.payments_of(&buyer.pubkey());
    // Machines 0 to 2 cost the same, but are not listed as metered.
    assert_eq!(scene.world.open_metered(&buyer, DEPOSIT, 8), 1);
    let lease = scene.world.lease(1);
    assert_eq!((lease.deposit, lease.machines, lease.state), (DEPOSIT, 1, LeaseState::Open));
    assert_eq!((lease.from, lease.until), (round + 1, round + 9));
    let meter = Meter { spender: public(&spender()), seq: 0, units: 0, paid: 0, owes_hour: false };
    assert_eq!(lease.meter, Some(meter));
    assert_eq!(before - scene.world.payments_of(&buyer.pubkey()), DEPOSIT);
    let slot = scene.world.slot(3);
    assert!(slot.is(SlotState::Leased) && slot.lease == 1);
    assert_eq!(scene.world.with_board(|board, _| board.ledger.escrow), DEPOSIT);
    scene.world.assert_invariants();
}

#[test]
fn open_metered_lease_fails_when_an_argument_is_invalid() {
    let mut scene = Scene::listed(2);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(2), signing_machine(3)]);
    let buyer = scene.buyer.insecure_clone();
    let good = scene.world.metered_args(&buyer, DEPOSIT, 8);
    let meter = |deposit| Some(MeterArgs { spender: public(&spender()), deposit });
    let mut refuses = |args: OpenLeaseArgs, error: LeaseholdError| {
        let open = scene.world.open_instruction(&buyer, args);
        scene.world.fails(open, &[&buyer], error);
    };
    refuses(OpenLeaseArgs { meter: None, ..good.clone() }, LeaseholdError::MeterMismatch);
    refuses(OpenLeaseArgs { criteria: anything(), ..good.clone() }, LeaseholdError::MeterMismatch);
    refuses(OpenLeaseArgs { gpus: 2, ..good.clone() }, LeaseholdError::MeteredMachines);
    refuses(OpenLeaseArgs { gpus: 0, ..good.clone() }, LeaseholdError::NoGpus);
    // The standby price of the first hour.
    for short in [0, 34_999] {
        refuses(OpenLeaseArgs { meter: meter(short), ..good.clone() }, LeaseholdError::DepositTooSmall);
    }
    refuses(OpenLeaseArgs { max_deposit: DEPOSIT - 1, ..good.clone() }, LeaseholdError::CostsTooMuch);
    let elsewhere = Criteria { min_speed: 9, ..good.criteria };
    refuses(OpenLeaseArgs { criteria: elsewhere, ..good.clone() }, LeaseholdError::NotEnoughGpus);
    // Machines 0 and 1 are not listed as metered.
    scene.world.open_metered(&buyer, USD, 8);
    scene.world.open_metered(&buyer, USD, 8);
    let third = scene.world.metered_args(&buyer, USD, 8);
    let open = scene.world.open_instruction(&buyer, third);
    scene.world.fails(open, &[&buyer], LeaseholdError::NotEnoughGpus);
    assert_eq!((scene.world.slot(0).lease, scene.world.slot(1).lease), (0, 0));
    scene.world.assert_invariants();
}

#[test]
fn a_machine_listed_as_metered_can_be_leased_by_the_hour_too() {
    let mut scene = Scene::listed(0);
    let plain = Machine { price: 36 * USD / 100, ..machine(1) };
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0), plain]);
    scene.world.open(&scene.buyer, anything(), 2, 4);
    assert_eq!((scene.world.slot(0).lease, scene.world.slot(1).lease), (1, 1));
    assert_eq!(scene.world.lease(1).meter, None);
    scene.world.assert_invariants();
}

/// Invariant 18.
#[test]
fn a_metered_quote_equals_the_lease_opened_on_the_same_board() {
    let mut scene = Scene::listed(1);
    let cheap = Machine { price: USD / 10, ..signing_machine(1) };
    scene.world.list(&scene.supplier, COMMITTED, &[cheap, signing_machine(2)]);
    let data = scene.world.data(&scene.world.board().address);
    let view = BoardView::new(&data).expect("a board");
    let meter = MeterArgs { spender: public(&spender()), deposit: DEPOSIT };
    let (market, now) = (scene.world.market_account(), scene.world.now());
    let quote = quote::quote_metered(&market, &view, now, &anything(), 30, &[], meter).expect("one fits");
    let before = scene.world.payments_of(&scene.buyer.pubkey());
    let open =
        scene.world.open_instruction(&scene.buyer, quote.args(7, scene.buyer.pubkey(), quote.deposit, None));
    scene.world.ok(&[open], &[&scene.buyer]);
    let lease = scene.world.lease(1);
    assert_eq!((lease.from, lease.until, lease.deposit), (quote.from, quote.until, quote.deposit));
    assert_eq!(before - scene.world.payments_of(&scene.buyer.pubkey()), quote.deposit);
    assert_eq!(quote.slots, [1]);
    assert_eq!(scene.world.slot(1).lease, 1);

    let data = scene.world.data(&scene.world.board().address);
    let view = BoardView::new(&data).expect("a board");
    assert_eq!(quote::extension(&market, &view, now, &lease, 10, 0).expect("committed").deposit, 0);
    scene.world.assert_invariants();
}

#[test]
fn extend_lease_costs_nothing_for_a_metered_lease() {
    let mut scene = metered(10);
    let (key, free) = (scene.buyer.pubkey(), Allowance { max_deposit: 0, max_leaving: 0 });
    let (until, before) = (scene.world.lease(1).until, scene.world.payments_of(&key));
    let extend = scene.world.extend_instruction(&scene.buyer, 1, 20, free);
    scene.world.ok(&[extend], &[&scene.buyer]);
    let lease = scene.world.lease(1);
    assert_eq!((lease.until, lease.terms.rounds, lease.deposit), (until + 20, 30, DEPOSIT));
    assert_eq!((scene.world.slot(0).lease_until, scene.world.payments_of(&key)), (until + 20, before));
    let long = scene.world.extend_instruction(&scene.buyer, 1, COMMITTED, free);
    scene.world.fails(long, &[&scene.buyer], LeaseholdError::MachineNotCommitted);
    redeem(&mut scene, USD);
    scene.world.assert_invariants();
}

#[test]
fn metered_lease_fails_to_cancel_transfer_or_replace() {
    let mut scene = metered(50);
    let buyer = scene.buyer.insecure_clone();
    let cancel = cancel(&scene.world, &buyer);
    let (lease, heir) = (lease_address(&scene.world), scene.keepers[0].wallet.pubkey());
    let transfer = instruction::transfer_lease(buyer.pubkey(), lease, heir);
    let replace = scene.world.replace_instruction(&buyer, 1, replacement(0));
    for instruction in [cancel, transfer, replace] {
        scene.world.fails(instruction, &[&buyer], LeaseholdError::LeaseMetered);
    }
    scene.world.assert_invariants();
}

#[test]
fn hourly_lease_fails_to_redeem_top_up_or_give_notice() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open(&scene.buyer, anything(), 1, 50);
    scene.world.end_round();
    let buyer = scene.buyer.insecure_clone();
    let voucher = scene.world.voucher(1, 100);
    let redeem = scene.world.redeem_instructions(1, &voucher);
    scene.world.fails_last(&redeem, &[&buyer], LeaseholdError::LeaseNotMetered);
    let more = top_up(&scene.world, &buyer, USD);
    scene.world.fails(more, &[&buyer], LeaseholdError::LeaseNotMetered);
    for by_supplier in [false, true] {
        let (notice, signer) = notice(&scene, by_supplier);
        scene.world.fails(notice, &[&signer], LeaseholdError::LeaseNotMetered);
    }
    scene.world.assert_invariants();
}

#[test]
fn give_notice_ok_by_either_side() {
    for by_supplier in [false, true] {
        let mut scene = metered(50);
        redeem(&mut scene, 2 * USD);
        let (notice, signer) = notice(&scene, by_supplier);
        let round = scene.world.round();
        let meta = scene.world.ok(core::slice::from_ref(&notice), &[&signer]);
        println!("give_notice: {} CU", meta.compute_units_consumed);
        let lease = scene.world.lease(1);
        // The rest of this round and six more: an hour at least.
        assert_eq!((lease.state, lease.until), (LeaseState::Cancelled, round + 7));
        let slot = scene.world.slot(0);
        assert_eq!((slot.lease_until, slot.has(Slot::LEFT)), (round + 7, !by_supplier));
        assert_eq!(lease.meter.map(|meter| meter.owes_hour), Some(!by_supplier));
        assert!(matches!(&events(&meta)[..], [Event::LeaseCancelled(event)] if event.until == round + 7));
        scene.world.assert_invariants();
        // After notice: no second notice, no top-up, no extension.
        scene.world.fails(notice, &[&signer], LeaseholdError::LeaseNotOpen);
        let buyer = scene.buyer.insecure_clone();
        let more = top_up(&scene.world, &buyer, USD);
        scene.world.fails(more, &[&buyer], LeaseholdError::LeaseNotOpen);
        let free = Allowance { max_deposit: 0, max_leaving: 0 };
        let extend = scene.world.extend_instruction(&buyer, 1, 1, free);
        scene.world.fails(extend, &[&buyer], LeaseholdError::LeaseNotOpen);

        // Until then the machine redeems its last voucher.
        scene.world.go_to_round(round + 6);
        redeem(&mut scene, 5 * USD);
        scene.world.assert_invariants();
        settle(&mut scene);
        let lease = scene.world.lease(1);
        assert_eq!((lease.paid + lease.fees, lease.refunded), (5 * USD, DEPOSIT - 5 * USD));
        let before = scene.world.payments_of(&buyer.pubkey());
        let refund = claim_refund(&scene.world, &buyer);
        scene.world.ok(&[refund], &[&buyer]);
        assert_eq!(scene.world.payments_of(&buyer.pubkey()) - before, DEPOSIT - 5 * USD);
        assert!(scene.world.slot(0).is(SlotState::Idle));
        scene.world.assert_invariants();
    }
}

#[test]
fn give_notice_ok_before_the_lease_begins() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open_metered(&scene.buyer, DEPOSIT, 50);
    let (notice, signer) = notice(&scene, false);
    scene.world.ok(&[notice], &[&signer]);
    let lease = scene.world.lease(1);
    assert_eq!(lease.until - lease.from, 6);
    settle(&mut scene);
    assert_eq!(scene.world.lease(1).refund_due, DEPOSIT);
    scene.world.assert_invariants();
}

#[test]
fn give_notice_fails_when_the_signer_is_neither_owner_nor_supplier_and_the_deposit_lasts() {
    let mut scene = metered(50);
    let rival = scene.world.supplier();
    let (board, lease) = (scene.world.board(), lease_address(&scene.world));
    let give =
        |signer: &Keypair, supplier| instruction::give_notice(&board, signer.pubkey(), lease, supplier);
    let cases = [
        (give(&rival.wallet, None), &rival.wallet),
        // Her own supplier's account, which does not own the machine.
        (give(&rival.wallet, Some(rival.account)), &rival.wallet),
        // The account of the machine's supplier; she is not its authority.
        (give(&rival.wallet, Some(scene.supplier.account)), &rival.wallet),
        (give(&scene.keepers[0].wallet, None), &scene.keepers[0].wallet),
        // The supplier, without its account in the instruction.
        (give(&scene.supplier.wallet, None), &scene.supplier.wallet),
    ];
    for (notice, signer) in cases {
        scene.world.fails(notice, &[signer], LeaseholdError::StandbyCovered);
    }
    assert_eq!(scene.world.lease(1).state, LeaseState::Open);
    scene.world.assert_invariants();
}

/// While vouchers have paid less than the machine's standby price, its supplier may leave with the running round.
#[test]
fn give_notice_by_the_supplier_of_an_unused_machine_ends_the_lease_with_the_running_round() {
    let mut scene = metered(50);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    redeem(&mut scene, standby(3) - 1);
    let (round, (notice, signer)) = (scene.world.round(), notice(&scene, true));
    scene.world.ok(&[notice], &[&signer]);
    assert_eq!(scene.world.lease(1).until, round + 1);
    assert!(!scene.world.slot(0).has(Slot::LEFT), "its owner did not leave it");
    scene.world.attest(&scene.keepers, |_| true);
    settle(&mut scene);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.burned), (standby(3) - 1 + standby(4), 0));
    assert_eq!(lease.refunded, DEPOSIT - (standby(3) - 1) - standby(4));
    scene.world.assert_invariants();
}

#[test]
fn give_notice_by_the_supplier_of_a_used_machine_takes_an_hour() {
    let mut scene = metered(50);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    redeem(&mut scene, standby(3));
    let (round, (notice, signer)) = (scene.world.round(), notice(&scene, true));
    scene.world.ok(&[notice], &[&signer]);
    assert_eq!(scene.world.lease(1).until, round + 7);
    scene.world.assert_invariants();
}

/// A metered lease whose deposit covers the first hour, but not until an hour after the first round.
fn short() -> Scene {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open_metered(&scene.buyer, 40_000, 50);
    scene
}

/// Anybody may end a lease whose deposit is short, not before the machine's first hour is over.
#[test]
fn give_notice_by_anybody_ends_a_lease_whose_deposit_does_not_cover_the_next_hour() {
    let mut scene = short();
    let (stranger, board, lease) = (scene.world.wallet(), scene.world.board(), lease_address(&scene.world));
    let notice = instruction::give_notice(&board, stranger.pubkey(), lease, None);
    scene.world.fails(notice.clone(), &[&stranger], LeaseholdError::StandbyCovered);
    scene.world.end_round();
    let topped = {
        let mut world = scene.world.clone();
        let more = top_up(&world, &scene.buyer, standby(7) - 40_000);
        world.ok(&[more], &[&scene.buyer]);
        world
    };
    { topped }.fails(notice.clone(), &[&stranger], LeaseholdError::StandbyCovered);
    scene.world.ok(&[notice], &[&stranger]);
    assert_eq!(scene.world.lease(1).until, scene.world.lease(1).from + 6);
    for _ in 0..6 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    settle(&mut scene);
    let spent = standby(6);
    let lease = scene.world.lease(1);
    assert_eq!((lease.paid + lease.fees, lease.burned), (spent, 0));
    assert_eq!(lease.refunded, 40_000 - spent);
    scene.world.assert_invariants();
}

/// The rest of the hour is not the machine's if it was down in the last one.
#[test]
fn give_notice_burns_the_rest_of_the_hour_of_a_machine_that_was_down() {
    let mut scene = short();
    scene.world.end_round();
    scene.world.attest(&scene.keepers, |_| true);
    let (notice, signer) = notice(&scene, false);
    scene.world.ok(&[notice], &[&signer]);
    scene.world.attest(&scene.keepers, |_| false);
    settle(&mut scene);
    let lease = scene.world.lease(1);
    // One round up and one down, and 40 minutes more.
    assert_eq!((lease.paid + lease.fees, lease.burned), (standby(1), standby(4)));
    assert_eq!(lease.refunded, 40_000 - standby(1) - standby(4));
    scene.world.assert_invariants();
}

#[test]
fn give_notice_fails_when_the_lease_ends_sooner_by_itself() {
    let mut scene = metered(20);
    let until = scene.world.lease(1).until;
    let (notice, signer) = notice(&scene, false);
    scene.world.go_to_round(until - 7);
    scene.world.fails(notice.clone(), &[&signer], LeaseholdError::NoticeTooLate);
    scene.world.go_to_round(until + 10);
    scene.world.fails(notice.clone(), &[&signer], LeaseholdError::NoticeTooLate);
    scene.world.go_to_round(until - 8);
    scene.world.ok(&[notice], &[&signer]);
    assert_eq!(scene.world.lease(1).until, until - 1);
    scene.world.assert_invariants();
}

#[test]
fn settle_lease_pays_the_standby_price_besides_vouchers() {
    let mut scene = metered(5);
    scene.world.attest(&scene.keepers, |_| true);
    redeem(&mut scene, USD);
    scene.world.settle(&scene.buyer, 1);
    let lease = scene.world.lease(1);
    // The standby price of the first two hours is kept until the end; vouchers are paid at once.
    assert_eq!((lease.state, lease.paid + lease.fees, lease.unsettled), (LeaseState::Open, USD, 1));
    for _ in 0..4 + VOUCHER_ROUNDS - 1 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    // Two more rounds are left for the last voucher; nobody can settle for good before.
    scene.world.settle(&scene.buyer, 1);
    assert_eq!(scene.world.lease(1).state, LeaseState::Open);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.settle(&scene.buyer, 1);
    let lease = scene.world.lease(1);
    let spent = USD + standby(5);
    assert_eq!((lease.state, lease.paid + lease.fees), (LeaseState::Settled, spent));
    assert_eq!((lease.refunded, lease.slashed, lease.burned), (DEPOSIT - spent, 0, 0));
    let slot = scene.world.slot(0);
    assert_eq!((slot.up, slot.lease_up, slot.bond), (5 + VOUCHER_ROUNDS, 5, 100 * STAKE));
    assert!(slot.is(SlotState::Idle));
    scene.world.assert_invariants();
}

#[test]
fn downtime_costs_a_metered_machine_part_of_its_bond() {
    let mut scene = metered(20);
    for round in 0..20 {
        // Down in 3 of 20 rounds, of which one is allowed.
        scene.world.attest(&scene.keepers, |_| ![2, 7, 11].contains(&round));
        if round == 5 {
            redeem(&mut scene, 3 * USD);
        }
    }
    settle(&mut scene);
    let lease = scene.world.lease(1);
    let slashed = 100 * STAKE * 2 * 2 / 432;
    let damages = standby(2);
    assert_eq!((lease.slashed, lease.burned), (slashed, damages));
    assert_eq!(lease.paid + lease.fees, 3 * USD + standby(17) - damages);
    assert_eq!(lease.refund_due, DEPOSIT - 3 * USD - standby(17));
    let slot = scene.world.slot(0);
    assert!(slot.is(SlotState::Suspended) && slot.bond == 100 * STAKE - slashed);
    scene.world.assert_invariants();
}

#[test]
fn a_machine_forfeited_in_a_metered_lease_loses_its_bond_and_keeps_its_vouchers() {
    let mut scene = metered(10);
    scene.world.forfeit(&scene.supplier, &[0]);
    redeem(&mut scene, USD);
    settle(&mut scene);
    let lease = scene.world.lease(1);
    assert_eq!((lease.slashed, lease.paid + lease.fees), (100 * STAKE, USD));
    assert_eq!(lease.refund_due, DEPOSIT - USD);
    scene.world.assert_invariants();
}
