//! Attacks on logs and demands.

use leasehold::{
    error::LeaseholdError,
    instructions::{Batch, BatchProof},
    math::mmr::Range,
    state::{Receipt, Voucher},
};
use leasehold_client::{
    account::Account,
    address, instruction,
    record::{SignedReceipt, SignedVoucher},
};
use leasehold_tests::*;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use crate::{BOND, RECORD_ROUNDS, contradiction, prove, replace, second_board, second_market};

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
    scene.world.fails_last(&demand, &[&buyer], LeaseholdError::OtherBoard);
    let proof = prove(&scene.world, [&one, &lie]);
    scene.world.fails_last(&proof, &[&buyer], LeaseholdError::OtherBoard);
    scene.world.assert_invariants();
    scene.world.market = home;
    let demand = scene.world.demand_instructions(&buyer, &one);
    scene.world.ok(&demand, &[&buyer]);
    let proof = prove(&scene.world, [&one, &lie]);
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
    let args = scene.world.lease_args(&buyer, anything(), 1, 100);
    let wallet = scene.world.market.payment_account(&buyer.pubkey());
    scene.world.ok(&[instruction::open_lease(&second, buyer.pubkey(), wallet, args)], &[&buyer]);
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS + 1);
    let demand = scene.world.demand(&buyer, &receipts[1]);

    let begin = u64::from(scene.world.round()) * 600_000;
    let batch = Batch { first_ms: begin, last_ms: begin, ..scene.batch(0, &receipts) };
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
    scene.world.fails(show, &[&buyer], LeaseholdError::NotInLog);
    scene.world.assert_invariants();
}

/// Invariant 13: a machine that runs on two clusters, where boards and leases have the same addresses and numbers, signs no
/// receipt that convicts it on the other, and no voucher of one is paid on the other.
#[test]
fn attack_receipt_or_voucher_of_another_cluster() {
    let mut scene = Recording::leased(2, 1, 100);
    let buyer = scene.buyer.insecure_clone();
    let metered = scene.world.open_metered(&buyer, 100 * USD, 50);
    let supplier = scene.supplier.wallet.insecure_clone();
    let before = Before::new(&scene.world, &[&supplier, &buyer]);
    let one = scene.world.signed(1, 0, 3);
    let abroad = |signed: &SignedReceipt| {
        SignedReceipt::sign(&node_key(0), Receipt { cluster: *b"mainnet!", ..signed.receipt })
    };
    let [one, lie] = [one, contradiction(0, &one)].map(|signed| abroad(&signed));
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS + 1);
    let demand = scene.world.demand_instructions(&buyer, &one);
    scene.world.fails_last(&demand, &[&buyer], LeaseholdError::OtherCluster);
    let proof = prove(&scene.world, [&one, &lie]);
    scene.world.fails_last(&proof, &[&buyer], LeaseholdError::OtherCluster);
    let voucher = Voucher { cluster: *b"mainnet!", ..scene.world.unsigned_voucher(metered, USD) };
    let redeem = scene.world.redeem_instructions(metered, &SignedVoucher::sign(&spender(), voucher));
    scene.world.fails_last(&redeem, &[&buyer], LeaseholdError::WrongVoucher);
    assert_eq!(before.gains(&scene.world), [(0, 0); 2]);
    scene.assert_invariants();
}

/// Before a machine has appended the last receipts of a lease, it is put into an older one: the log must take them all the
/// same, or they would cost its bond.
#[test]
fn attack_machine_put_into_an_older_lease_before_its_last_batch() {
    let mut scene = Recording::leased(2, 1, 100);
    let (buyer, mallory) = (scene.buyer.insecure_clone(), scene.world.wallet());
    scene.world.open(&mallory, anything(), 1, 3);
    scene.world.end_round();
    let last = scene.receipts(2, 1, 3);
    for _ in 0..3 {
        scene.world.attest(&scene.keepers, |_| true);
    }
    scene.world.settle(&buyer, 2);
    let replace = replace(&scene.world, &buyer, 0);
    scene.world.ok(&[replace], &[&buyer]);
    assert_eq!(scene.world.slot(1).lease, 1);

    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS + 1);
    let demand = scene.world.demand(&mallory, &last[0]);
    let batch = scene.seal(1, last);
    let answer = scene.answer_instructions(&scene.supplier.wallet, batch, 0);
    scene.world.ok(&answer, &[&scene.supplier.wallet]);
    assert!(scene.world.svm.get_account(&demand).is_none_or(|account| account.lamports == 0));
    // It goes on in the older lease, and no number comes twice, whichever lease a batch names.
    let next = scene.receipts(1, 1, 2);
    assert_eq!(next[0].receipt.seq, 3);
    scene.seal(1, next);
    for (lease, first_seq) in [(1, 0), (1, 4), (2, 0), (2, 4)] {
        let again = Batch { lease, first_seq, ..scene.batch(1, &scene.receipts(1, 1, 1)) };
        let again = scene.append_instruction(vec![again]);
        scene.world.fails(again, &[&scene.operator.insecure_clone()], LeaseholdError::NumberTaken);
    }
    assert_eq!(scene.world.slot(1).bond, BOND);
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
    let replace = replace(&scene.world, &buyer, 0);
    scene.world.ok(&[replace], &[&buyer]);
    let gone = scene.world.slot(0);
    assert_eq!((gone.lease_until, gone.bond), (scene.world.round() + 1, BOND));
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
