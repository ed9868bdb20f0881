//! Machines that sign two receipts with the same number.

use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    state::{LeaseState, Receipt, SlotState},
};
use leasehold_client::{
    event::Event,
    instruction,
    record::{SignedReceipt, signatures},
};
use leasehold_tests::*;
use solana_signer::Signer;

use crate::{BOND, claim, close_rounds, contradiction, is_convicted, prove, replace, retire, second_board};

/// Two receipts of machine 0 with the same number.
fn pair(scene: &Recording) -> [SignedReceipt; 2] {
    let one = scene.world.signed(1, 0, 4);
    [one, contradiction(0, &one)]
}

/// Convicts machine 0, by the buyer.
fn convict(scene: &mut Recording) {
    let [one, other] = pair(scene);
    let buyer = scene.buyer.insecure_clone();
    let prove = prove(&scene.world, [&one, &other]);
    scene.world.ok(&prove, &[&buyer]);
}

#[test]
fn prove_equivocation_ok_in_mid_lease() {
    let mut scene = Recording::leased(2, 2, 20);
    let [one, other] = pair(&scene);
    let anybody = scene.world.wallet();
    let prove = prove(&scene.world, [&one, &other]);
    let meta = scene.world.ok(&prove, &[&anybody]);
    println!("prove_equivocation: {} CU", meta.compute_units_consumed);

    assert!(is_convicted(&scene.world, 0));
    let (slot, lease) = (scene.world.slot(0), scene.world.lease(1));
    assert_eq!((slot.lease, lease.state, lease.slashed), (1, LeaseState::Open, BOND));
    let ledger = scene.world.with_board(|board, _| board.ledger);
    assert_eq!((ledger.bonds, ledger.slashed), (BOND, BOND), "all of it is burned");
    let reported = events(&meta);
    let is_it = matches!(&reported[..], [Event::MachineConvicted(event)]
        if event.receipt == other.id() && event.slashed == BOND && event.slot == 0);
    assert!(is_it, "{reported:?}");
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_ok_for_a_machine_that_is_idle() {
    let mut scene = Recording::leased(2, 2, 2);
    let [one, other] = pair(&scene);
    for _ in 0..2 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    assert!(scene.world.slot(0).is(SlotState::Idle));
    let earned = scene.world.slot(0).accrued;
    assert!(earned > 0);
    // In the other order.
    let prove = prove(&scene.world, [&other, &one]);
    scene.world.ok(&prove, &[&buyer]);
    assert!(is_convicted(&scene.world, 0));
    assert_eq!(scene.world.with_board(|board, _| board.ledger.slashed), BOND);
    assert_eq!(scene.world.lease(1).slashed, BOND);
    assert_eq!(scene.world.slot(0).accrued, earned, "it keeps what it earned");
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_fails_when_the_receipts_dont_contradict_each_other() {
    let mut scene = Recording::leased(2, 2, 20);
    let buyer = scene.buyer.insecure_clone();
    let [one, other] = pair(&scene);
    let sign = |receipt| SignedReceipt::sign(&node_key(0), receipt);
    let same = prove(&scene.world, [&one, &one]);
    scene.world.fails_last(&same, &[&buyer], LeaseholdError::NoEquivocation);
    // Signed before the lease began: for a lease that had its serial before.
    let begins = u64::try_from(scene.world.lease(1).begins()).expect("after 1970") * 1_000;
    let (end_ms, start_ms) = (begins - 1, 0);
    for pair in [
        [one, sign(Receipt { end_ms, start_ms, ..other.receipt })],
        [sign(Receipt { end_ms, start_ms, ..one.receipt }), other],
    ] {
        let prove = prove(&scene.world, [&pair[0], &pair[1]]);
        scene.world.fails_last(&prove, &[&buyer], LeaseholdError::OtherLease);
    }
    // Another number, cluster, slot, generation, lease, board, supplier or key: the instruction can't even state the two.
    let key = scene.world.slot(1).node_key;
    for other in [
        Receipt { seq: 5, ..other.receipt },
        Receipt { cluster: *b"mainnet!", ..other.receipt },
        Receipt { slot: 1, ..other.receipt },
        Receipt { generation: 1, ..other.receipt },
        Receipt { lease: 2, ..other.receipt },
        Receipt { board: [1; 8], ..other.receipt },
        Receipt { supplier: [1; 8], ..other.receipt },
        Receipt { node_key: key, ..other.receipt },
    ] {
        let prove = prove(&scene.world, [&one, &sign(other)]);
        scene.world.fails_last(&prove, &[&buyer], LeaseholdError::WrongReceipt);
    }
    for receipt in [Receipt { flags: 1, ..one.receipt }, Receipt { reserved: 1, ..one.receipt }] {
        let prove = prove(&scene.world, [&sign(receipt), &other]);
        scene.world.fails_last(&prove, &[&buyer], LeaseholdError::ReceiptMalformed);
    }
    assert_eq!(scene.world.slot(0).bond, BOND);
    scene.assert_invariants();
}

/// A change of a receipt to one of another origin, and the error that names it.
type Foreign = (fn(&mut Receipt), LeaseholdError);

/// Both receipts of the same foreign origin.
#[test]
fn prove_equivocation_names_what_is_of_another() {
    let mut scene = Recording::leased(2, 2, 20);
    let buyer = scene.buyer.insecure_clone();
    let [one, other] = pair(&scene);
    let foreign: [Foreign; 7] = [
        (|receipt| receipt.cluster = *b"mainnet!", LeaseholdError::OtherCluster),
        (|receipt| receipt.board = [1; 8], LeaseholdError::OtherBoard),
        (|receipt| receipt.lease = 2, LeaseholdError::OtherLease),
        (|receipt| receipt.supplier = [1; 8], LeaseholdError::OtherSupplier),
        (|receipt| receipt.generation += 1, LeaseholdError::OtherGeneration),
        (|receipt| receipt.slot = 1, LeaseholdError::WrongMachine),
        (|receipt| receipt.slot = 2, LeaseholdError::WrongMachine),
    ];
    for (change, error) in foreign {
        let [one, other] = [one, other].map(|signed| {
            let mut receipt = signed.receipt;
            change(&mut receipt);
            SignedReceipt::sign(&node_key(0), receipt)
        });
        let ed25519 = signatures::of_both(&one, &other);
        let (board, lease) = (scene.world.board(), scene.world.lease_address(1));
        let prove = instruction::prove_equivocation(&board, lease, &one.receipt, &other.receipt);
        scene.world.fails_last(&[ed25519, prove], &[&buyer], error);
    }
    assert_eq!(scene.world.slot(0).bond, BOND);
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_fails_when_lease_or_board_is_wrong() {
    let mut scene = Recording::leased(3, 2, 20);
    let buyer = scene.buyer.insecure_clone();
    assert_eq!(scene.world.open(&buyer, anything(), 1, 20), 2);
    let second = second_board(&mut scene.world);
    let [one, other] = pair(&scene);
    let good = prove(&scene.world, [&one, &other]);
    for (from, to, error) in [
        (scene.world.lease_address(1), scene.world.lease_address(2), LeaseholdError::OtherLease),
        (scene.world.board().address, second.address, LeaseholdError::WrongBoard),
    ] {
        let mut bent = good.clone();
        swap(from, to)(&mut bent[1]);
        scene.world.fails_last(&bent, &[&buyer], error);
    }
    // The same receipt twice.
    let neighbours = scene.world.signed(1, 1, 4);
    let both = prove(&scene.world, [&neighbours, &neighbours]);
    scene.world.fails_last(&both, &[&buyer], LeaseholdError::NoEquivocation);
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_fails_when_it_is_not_signed() {
    let mut scene = Recording::leased(1, 1, 20);
    let buyer = scene.buyer.insecure_clone();
    let [one, other] = pair(&scene);
    let [_, prove] = prove(&scene.world, [&one, &other]);
    scene.world.fails(prove.clone(), &[&buyer], LeaseholdError::SignatureMissing);
    // One of the two alone.
    scene.world.fails_last(&[one.instruction(), prove.clone()], &[&buyer], LeaseholdError::SignatureMissing);
    let each = [one.instruction(), other.instruction(), prove.clone()];
    scene.world.fails_last(&each, &[&buyer], LeaseholdError::SignatureMissing);
    // A signature of another message: the Ed25519 program itself refuses.
    let forged = SignedReceipt { signature: one.signature, ..other };
    let failed = scene.world.send(&[signatures::of_both(&one, &forged), prove], &[&buyer]).unwrap_err();
    assert!(matches!(failed.err, solana_transaction_error::TransactionError::InstructionError(1, _)));
    assert_eq!(scene.world.slot(0).bond, BOND);
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_fails_when_the_machine_is_barred() {
    let mut scene = Recording::leased(1, 1, 20);
    convict(&mut scene);
    let [one, _] = pair(&scene);
    let third = SignedReceipt::sign(&node_key(0), Receipt { request: [1; 32], ..one.receipt });
    let buyer = scene.buyer.insecure_clone();
    let again = prove(&scene.world, [&one, &third]);
    scene.world.fails_last(&again, &[&buyer], LeaseholdError::MachineBarred);
    assert_eq!(scene.world.lease(1).slashed, BOND);
    scene.assert_invariants();
}

#[test]
fn prove_equivocation_takes_what_is_left_of_a_bond() {
    let mut scene = Recording::leased(1, 1, 20);
    for round in 0..20 {
        // Down in 3 of 20 rounds; one is allowed.
        scene.world.attest(&scene.keepers, |_| round % 8 != 0);
    }
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    let left = scene.world.slot(0).bond;
    // Measured against three days: 432 rounds.
    assert_eq!(left, BOND - BOND * 2 * 2 / 432);
    assert!(scene.world.slot(0).is(SlotState::Suspended));
    convict(&mut scene);
    assert!(is_convicted(&scene.world, 0));
    assert_eq!(scene.world.lease(1).slashed, BOND);
    scene.assert_invariants();
}

#[test]
fn a_barred_machine_can_only_leave() {
    let mut scene = Recording::leased(1, 1, 4);
    scene.world.attest(&scene.keepers, |_| true);
    convict(&mut scene);
    let (key, board) = (scene.supplier.wallet.pubkey(), scene.world.board());
    let wallet = scene.supplier.wallet.insecure_clone();
    let forfeit = instruction::forfeit_machines(&board, key, vec![0]);
    scene.world.fails(forfeit, &[&wallet], LeaseholdError::MachineNotLeased);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    assert!(is_convicted(&scene.world, 0));

    let offer = Offer { slot: 0, price: USD, committed_until: scene.world.round() + 50, bond: 0 };
    let reprice = instruction::reprice_machines(&board, key, vec![offer]);
    scene.world.fails(reprice, &[&wallet], LeaseholdError::MachineBarred);
    let args = scene.world.lease_args(&buyer, anything(), 1, 1);
    let open = scene.world.open_instruction(&buyer, args);
    scene.world.fails(open, &[&buyer], LeaseholdError::NotEnoughGpus);
    let leave = retire(&scene.world, &scene.supplier, &[0]);
    scene.world.fails(leave.clone(), &[&wallet], LeaseholdError::EarningsLeft);
    claim(&mut scene.world, &scene.supplier);
    // Without a bond, it need not wait for the dispute window.
    let before = scene.world.account::<leasehold::state::Supplier>(&scene.supplier.account).stake.free;
    scene.world.ok(&[leave], &[&wallet]);
    let supplier = scene.world.account::<leasehold::state::Supplier>(&scene.supplier.account);
    assert_eq!((supplier.stake.free, supplier.machines), (before, 0));
    scene.assert_invariants();
}

#[test]
fn settle_lease_pays_a_barred_machine_for_the_rounds_before() {
    let mut scene = Recording::leased(2, 2, 6);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.attest(&scene.keepers, |_| true);
    convict(&mut scene);
    for _ in 0..4 {
        // It still answers, but is not paid.
        scene.world.attest(&scene.keepers, |_| true);
    }
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    let lease = scene.world.lease(1);
    let gross = |rounds: u64| 350_000 * 600 * rounds / 3_600;
    // A fifth of what it was up for is burned for the four rounds that it was not.
    assert_eq!(lease.burned, gross(2) / 5);
    assert_eq!(lease.paid + lease.fees, gross(2) - gross(2) / 5 + gross(6));
    assert_eq!((lease.state, lease.slashed), (LeaseState::Settled, BOND));
    assert!(is_convicted(&scene.world, 0) && scene.world.slot(0).lease == 0);
    assert!(scene.world.slot(1).is(SlotState::Idle) && scene.world.slot(1).bond == BOND);
    scene.assert_invariants();
}

#[test]
fn replace_node_replaces_a_barred_machine() {
    let mut scene = Recording::leased(3, 2, 20);
    scene.world.attest(&scene.keepers, |_| true);
    let buyer = scene.buyer.insecure_clone();
    convict(&mut scene);
    let replace = replace(&scene.world, &buyer, 0);
    scene.world.ok(&[replace], &[&buyer]);
    assert!(is_convicted(&scene.world, 0));
    assert_eq!((scene.world.slot(0).lease_until, scene.world.slot(2).lease), (scene.world.round() + 1, 1));
    assert_eq!(scene.world.lease(1).slashed, BOND);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    assert_eq!(scene.world.lease(1).slashed, BOND);
    scene.assert_invariants();
}

#[test]
fn a_machine_is_convicted_for_a_lease_that_is_over_while_it_serves_another() {
    let mut scene = Recording::leased(1, 1, 2);
    let [one, other] = pair(&scene);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    scene.world.open(&buyer, anything(), 1, 50);
    scene.world.end_round();
    let prove = prove(&scene.world, [&one, &other]);
    scene.world.ok(&prove, &[&buyer]);
    assert!(is_convicted(&scene.world, 0) && scene.world.slot(0).has_broken_promise());
    scene.world.go_to_round(scene.world.lease(2).until + 2);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 2);
    assert_eq!(scene.world.lease(2).slashed, 0, "the bond was gone already");
    scene.assert_invariants();
}
