//! Attacks on logs and demands.

use leasehold::{
    constants::RECORD_ROUNDS, error::LeaseholdError, instructions::BatchProof, math::mmr::Range,
    state::Receipt,
};
use leasehold_client::{account::Account, address, instruction, record::SignedReceipt};
use leasehold_tests::*;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use crate::{BOND, close_rounds, contradiction, prove, second_board, second_market};

/// Invariant 13: a receipt of one market is refused in another, even with the same key and number.
#[test]
fn attack_receipt_of_another_market() {
    let mut scene = Recording::leased(1, 1, 100);
    let (buyer, one) = (scene.buyer.insecure_clone(), scene.world.signed(1, 0, 3));
    let lie = contradiction(0, &one);
    let home = scene.world.market;
    let other = second_market(&mut scene.world);
    scene.world.market = other.market;
    let supplier = scene.world.supplier();
    scene.world.list(&supplier, COMMITTED, &[signing_machine(0)]);
    assert_eq!(scene.world.open(&buyer, anything(), 1, 100), 1);
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS + 1);
    assert_eq!(scene.world.slot(0).node_key, one.receipt.node_key);
    let demand = scene.world.demand_instructions(&buyer, &one);
    scene.world.fails_last(&demand, &[&buyer], LeaseholdError::WrongReceipt);
    let proof = prove(&scene.world, &buyer, [&one, &lie], None);
    scene.world.fails_last(&proof, &[&buyer], LeaseholdError::WrongReceipt);
    scene.world.assert_invariants();
    scene.world.market = home;
    let demand = scene.world.demand_instructions(&buyer, &one);
    scene.world.ok(&demand, &[&buyer]);
    let proof = prove(&scene.world, &buyer, [&one, &lie], None);
    scene.world.ok(&proof, &[&buyer]);
    scene.assert_invariants();
}

/// The same key on two boards of a market, in leases with the same serial: a batch of one board must not answer a
/// demand of the other.
#[test]
fn attack_demand_answered_by_a_batch_of_another_board() {
    let mut scene = Recording::leased(1, 1, 100);
    let (buyer, receipts) = (scene.buyer.insecure_clone(), scene.receipts(1, 0, 3));
    let second = second_board(&mut scene.world);
    let (key, account) = (scene.supplier.wallet.pubkey(), scene.supplier.account);
    let until = scene.world.round() + COMMITTED;
    let list = instruction::list_machines(&second, key, until, vec![signing_machine(0)], &[]);
    let lanes = instruction::open_lanes(&second, key, account, vec![0]);
    scene.world.ok(&[list, lanes], &[&scene.supplier.wallet]);
    let args = scene.world.lease_args(anything(), 1, 100);
    let args = leasehold::instructions::OpenLeaseArgs { serial: 1, ..args };
    let wallet = scene.world.market.payment_account(&buyer.pubkey());
    scene.world.ok(&[instruction::open_lease(&second, buyer.pubkey(), wallet, args)], &[&buyer]);
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS + 1);
    let demand = scene.world.demand(&buyer, &receipts[1]);

    let begin = u64::from(scene.world.round()) * 600_000;
    let batch =
        leasehold::instructions::Batch { first_ms: begin, last_ms: begin, ..scene.batch(0, &receipts) };
    let append = instruction::append_batches(&second, key, account, SOURCE, vec![batch]);
    let meta = scene.world.ok(&[append], &[&scene.supplier.wallet]);
    let header = match &events(&meta)[..] {
        [leasehold_client::event::Event::BatchesAppended(event)] => event.headers[0],
        other => panic!("{other:?}"),
    };
    let mut range = Range::default();
    range.append(header.leaf());
    let path = range.path(0, 1).expect("it is in the log");
    let show = instruction::show_batch(demand, scene.log, BatchProof { header, index: 0, path });
    scene.world.fails(show, &[&buyer], LeaseholdError::WrongReceipt);
    scene.world.assert_invariants();
}

/// A supplier whose machine is about to lose its bond to a buyer has it convicted in a lease of its own, to be
/// compensated itself.
#[test]
fn attack_conviction_that_compensates_the_suppliers_own_lease() {
    let mut scene = Recording::leased(2, 1, 10);
    let crony = scene.world.wallet();
    assert_eq!(scene.world.open(&crony, anything(), 1, 500), 2);
    let forfeit =
        instruction::forfeit_machines(&scene.world.board(), scene.supplier.wallet.pubkey(), vec![0]);
    scene.world.ok(&[forfeit], &[&scene.supplier.wallet]);
    // Machine 0 was never in lease 2.
    let one = SignedReceipt::sign(&node_key(0), scene.world.receipt(2, 0, 0));
    let lie = contradiction(0, &one);
    let proof = prove(&scene.world, &crony, [&one, &lie], None);
    let _ = scene.world.send(&proof, &[&crony]);
    assert_eq!(scene.world.lease(2).compensation_due, 0, "machine 0 did not serve lease 2");
    scene.world.assert_invariants();
}

/// The same while the machine is idle and a receipt of its last lease is demanded.
#[test]
fn attack_conviction_that_compensates_the_suppliers_own_lease_while_a_demand_waits() {
    let mut scene = Recording::leased(2, 1, 5);
    let (buyer, crony) = (scene.buyer.insecure_clone(), scene.world.wallet());
    let hidden = scene.world.signed(1, 0, 0);
    assert_eq!(scene.world.open(&crony, anything(), 1, 500), 2);
    scene.world.go_to_round(scene.world.lease(1).until + RECORD_ROUNDS);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    scene.world.demand(&buyer, &hidden);
    let one = SignedReceipt::sign(&node_key(0), scene.world.receipt(2, 0, 0));
    let proof = prove(&scene.world, &crony, [&one, &contradiction(0, &one)], None);
    let _ = scene.world.send(&proof, &[&crony]);
    assert_eq!(scene.world.lease(2).compensation_due, 0, "machine 0 did not serve lease 2");
    scene.assert_invariants();
}

/// A machine dates its receipts ahead, so that nobody can demand them yet, and gets itself replaced, so that its bond
/// leaves before they are due.
#[test]
fn attack_receipt_of_the_future_by_a_machine_that_leaves_the_lease() {
    let mut scene = Recording::leased(2, 1, 900);
    let buyer = scene.buyer.insecure_clone();
    let end_ms = u64::from(scene.world.lease(1).until) * 600_000;
    let receipt = Receipt { end_ms, ..scene.world.receipt(1, 0, 0) };
    let receipt = SignedReceipt::sign(&node_key(0), receipt);
    scene.world.attest(&scene.keepers, |_| false);
    let (board, key) = (scene.world.board(), buyer.pubkey());
    let wallet = scene.world.market.payment_account(&key);
    let replace = instruction::replace_node(&board, key, board.lease(1), wallet, 0, u64::MAX, None);
    scene.world.ok(&[replace], &[&buyer]);
    let gone = scene.world.slot(0);
    assert_eq!((gone.lease, gone.bond), (0, BOND));
    // A later time counts as the time when the machine left.
    scene.world.go_to_round(gone.lease_until + RECORD_ROUNDS);
    let demand = scene.world.demand_instructions(&buyer, &receipt);
    let found = scene.world.send(&demand, &[&buyer]).map(|_| ()).map_err(|failed| failed.err);
    assert_eq!(found, Ok(()), "the machine put off the time to demand the receipt");
    scene.world.assert_invariants();
}

#[test]
fn attack_prefunded_address_stops_no_demand_and_no_log() {
    for lamports in [1_000_000, 5_000_000_000] {
        let mut scene = Recording::leased(1, 1, 100);
        let buyer = scene.buyer.insecure_clone();
        let receipt = scene.world.signed(1, 0, 0);
        let demand = address::demand(&receipt.id());
        scene.world.ok(&[transfer(&buyer.pubkey(), &demand, lamports)], &[&buyer]);
        let other = scene.world.supplier();
        let (key, log) = (other.wallet.pubkey(), address::log(&other.account));
        scene.world.ok(&[transfer(&buyer.pubkey(), &log, lamports)], &[&buyer]);
        scene.world.ok(&[instruction::create_log(key, other.account, key)], &[&other.wallet]);
        assert!(matches!(Account::decode(&scene.world.data(&log)), Ok(Account::Log(_))));
        scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS);
        scene.world.demand(&buyer, &receipt);
        assert_eq!(scene.world.demand_account(&demand).seq, 0);
        scene.assert_invariants();
    }
}
