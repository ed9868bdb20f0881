//! Appending batches to a log.

use leasehold::{
    constants::{CLOCK_SKEW_MS, MAX_SOURCE},
    error::LeaseholdError,
    instructions::Batch,
    math::sum_tree::SumNode,
    state::MAX_BATCH,
};
use leasehold_client::{instruction, packet};
use leasehold_tests::*;
use solana_instruction::AccountMeta;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::log::open_lanes;
use crate::{close_rounds, contradiction, open_log, prove, retire, rival, second_board, second_market};

#[test]
fn append_batches_ok() {
    let mut scene = Recording::leased(3, 3, 10);
    let first = scene.receipts(1, 0, 4);
    scene.world.pass(100);
    let second = scene.receipts(1, 2, 1);
    let batches = vec![(scene.batch(0, &first), first), (scene.batch(2, &second), second)];
    scene.append(batches);
    scene.world.pass(100);
    scene.seal_next(0, 3);

    let [one, two, three] = [0, 1, 2].map(|index| scene.archive.batches[index].header);
    let board = scene.world.board().address;
    assert_eq!((one.board, one.node_key), (board, scene.world.slot(0).node_key));
    assert_eq!((one.slot, one.generation, one.lease), (0, 0, 1));
    assert_eq!((one.number, one.count, one.first_seq), (0, 4, 0));
    // Four receipts of 10, 11, 12, 13 units for 100, 101, 102, 103.
    assert_eq!((one.root.units, one.root.price), (46, 406));
    assert_eq!(one.first_ms, (scene.world.now() as u64 - 200) * 1_000);
    assert_eq!((two.slot, two.number, two.count, two.first_seq), (2, 0, 1, 0));
    assert_eq!((three.number, three.count, three.first_seq), (1, 3, 4));
    let lane = scene.lane(0);
    assert_eq!((lane.lease, lane.batches, lane.next_seq, lane.last_ms), (1, 2, 7, three.last_ms));
    assert_eq!(scene.lane(1).batches, 0);
    let log = scene.log_header();
    assert_eq!((log.batches, log.receipts), (3, 8));
    scene.assert_invariants();
}

#[test]
fn append_batches_carries_as_many_headers_as_a_transaction_holds() {
    let scene = Recording::leased(16, 16, 10);
    let receipts: Vec<_> = (0..16).map(|slot| scene.receipts(1, slot, 3)).collect();
    let batches: Vec<Batch> = (0..16).map(|slot| scene.batch(slot, &receipts[usize::from(slot)])).collect();
    let payer = scene.operator.pubkey();
    let fit = |source: &str| {
        let (board, supplier) = (scene.world.board(), scene.supplier.account);
        packet::most(&payer, &batches, |some| {
            instruction::append_batches(&board, payer, supplier, source, some.to_vec())
        })
    };
    assert_eq!((fit(SOURCE), fit(&"x".repeat(MAX_SOURCE))), (9, 8));

    let mut scene = scene;
    let most: Vec<_> = batches.into_iter().zip(receipts).take(9).collect();
    let meta = scene.append(most);
    println!("append of 9 headers: {} CU", meta.compute_units_consumed);
    assert_eq!(scene.log_header().batches, 9);
    scene.assert_invariants();
}

#[test]
fn append_batches_ok_for_a_machine_that_is_barred() {
    let mut scene = Recording::leased(1, 1, 10);
    let (buyer, receipts) = (scene.buyer.insecure_clone(), scene.receipts(1, 0, 3));
    let convict = prove(&scene.world, [&receipts[1], &contradiction(0, &receipts[1])]);
    scene.world.ok(&convict, &[&buyer]);
    // Its receipts can still be appended.
    scene.seal(0, receipts);
    scene.assert_invariants();
}

/// Changes the next batch of machine 0 and expects a refusal.
fn refuses(scene: &mut Recording, change: impl Fn(&mut Batch), error: LeaseholdError) {
    let mut batch = scene.batch(0, &scene.receipts(1, 0, 2));
    change(&mut batch);
    let (append, operator) = (scene.append_instruction(vec![batch]), scene.operator.insecure_clone());
    scene.world.fails(append, &[&operator], error);
}

#[test]
fn append_batches_fails_when_the_machine_has_no_lane_in_the_log() {
    let mut scene = Recording::leased(2, 2, 10);
    rival(&mut scene.world, 2, 1);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(3)]);
    refuses(&mut scene, |batch| batch.slot = 4, LeaseholdError::NoSuchSlot);
    refuses(&mut scene, |batch| batch.slot = 2, LeaseholdError::WrongSupplier);
    refuses(&mut scene, |batch| batch.slot = 3, LeaseholdError::NoLane);
    let retire = retire(&scene.world, &scene.supplier, &[3]);
    // A vacant slot stays on the board as long as another one follows.
    let last = signing_machine(4);
    scene.world.list(&scene.supplier, COMMITTED, &[last]);
    scene.world.ok(&[retire], &[&scene.supplier.wallet]);
    refuses(&mut scene, |batch| batch.slot = 3, LeaseholdError::SlotVacant);
    scene.seal_next(0, 2);
    scene.assert_invariants();
}

#[test]
fn append_batches_fails_when_it_is_not_the_next_batch() {
    let mut scene = Recording::leased(2, 1, 10);
    scene.seal_next(0, 5);
    // Sent twice, or a number left out.
    refuses(&mut scene, |batch| batch.number = 0, LeaseholdError::BatchOutOfOrder);
    refuses(&mut scene, |batch| batch.number = 2, LeaseholdError::BatchOutOfOrder);
    refuses(&mut scene, |batch| batch.count = 0, LeaseholdError::BatchSize);
    refuses(&mut scene, |batch| batch.count = MAX_BATCH + 1, LeaseholdError::BatchSize);
    let most = Batch { count: MAX_BATCH, ..scene.batch(0, &scene.receipts(1, 0, 1)) };
    let append = scene.append_instruction(vec![most]);
    let operator = scene.operator.insecure_clone();
    scene.world.ok(core::slice::from_ref(&append), &[&operator]);
    assert_eq!(scene.lane(0).next_seq, 5 + u64::from(MAX_BATCH));
    scene.world.fails(append, &[&operator], LeaseholdError::BatchOutOfOrder);
    let none = scene.append_instruction(vec![]);
    scene.world.fails(none, &[&operator], LeaseholdError::NoBatches);
    scene.world.assert_invariants();
}

/// Numbers may be left out, and are never used twice.
#[test]
fn append_batches_fails_when_a_number_was_in_the_log_or_left_out_before() {
    let mut scene = Recording::leased(2, 1, 10);
    scene.seal_next(0, 5);
    for first_seq in [0, 4, u64::MAX - 1, u64::MAX] {
        refuses(&mut scene, |batch| batch.first_seq = first_seq, LeaseholdError::NumberTaken);
    }
    let receipts: Vec<_> = (7..9).map(|seq| scene.world.signed(1, 0, seq)).collect();
    let index = scene.seal(0, receipts);
    let header = scene.archive.batches[index].header;
    assert_eq!((header.number, header.first_seq, header.count), (1, 7, 2));
    assert_eq!(scene.lane(0).next_seq, 9);
    refuses(&mut scene, |batch| batch.first_seq = 5, LeaseholdError::NumberTaken);
    let proof = scene.proof(index, 1).instruction();
    let buyer = scene.buyer.insecure_clone();
    scene.world.ok(&[proof], &[&buyer]);
    scene.assert_invariants();
}

#[test]
fn append_batches_fails_when_one_batch_stands_twice_in_a_transaction() {
    let mut scene = Recording::leased(1, 1, 10);
    let receipts = scene.receipts(1, 0, 2);
    let batch = scene.batch(0, &receipts);
    let twice = scene.append_instruction(vec![batch, batch]);
    let operator = scene.operator.insecure_clone();
    scene.world.fails(twice, &[&operator], LeaseholdError::BatchOutOfOrder);
    // Two batches in a row are accepted.
    let more: Vec<_> = (2..5).map(|seq| scene.world.signed(1, 0, seq)).collect();
    let next = Batch { number: 1, ..scene.batch(0, &more) };
    scene.append(vec![(batch, receipts), (next, more)]);
    assert_eq!(scene.archive.batches[1].header.first_seq, 2);
    scene.assert_invariants();
}

#[test]
fn append_batches_fails_when_times_overlap_run_backwards_or_lie_ahead() {
    let mut scene = Recording::leased(1, 1, 10);
    scene.world.pass(300);
    scene.seal_next(0, 2);
    scene.world.pass(300);
    let now = scene.world.now() as u64 * 1_000;
    let sealed = now - 300_000;
    let error = || LeaseholdError::BatchTimes;
    // Overlaps the one before.
    refuses(&mut scene, |batch| batch.first_ms = sealed - 1, LeaseholdError::BatchTimes);
    // Ends before it begins.
    refuses(&mut scene, |batch| (batch.first_ms, batch.last_ms) = (now, now - 1), error());
    // In the future, by more than clocks may differ.
    refuses(&mut scene, |batch| batch.last_ms = now + CLOCK_SKEW_MS + 1, error());
    refuses(&mut scene, |batch| batch.last_ms = u64::MAX, error());
    let receipts = scene.receipts(1, 0, 2);
    let early = Batch { first_ms: sealed, last_ms: now + CLOCK_SKEW_MS, ..scene.batch(0, &receipts) };
    scene.append(vec![(early, receipts)]);
    scene.assert_invariants();
}

#[test]
fn append_batches_takes_receipts_of_an_earlier_lease_and_no_number_twice() {
    let mut scene = Recording::leased(3, 1, 2);
    let buyer = scene.buyer.insecure_clone();
    refuses(&mut scene, |batch| batch.lease = 0, LeaseholdError::NoSuchLease);
    refuses(&mut scene, |batch| batch.lease = 2, LeaseholdError::NoSuchLease);
    assert_eq!(scene.world.open(&buyer, anything(), 1, 50), 2);
    scene.seal_next(0, 2);
    let late = scene.receipts(1, 0, 1);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    scene.world.settle(&buyer, 1);
    // Machine 1 serves lease 2, so that 0 is the cheapest that is idle.
    assert_eq!(scene.world.open(&buyer, anything(), 1, 50), 3);
    assert_eq!(scene.world.slot(0).lease, 3);
    scene.world.end_round();
    scene.seal(0, late.clone());
    let receipts = scene.receipts(3, 0, 2);
    scene.seal(0, receipts);
    let headers: Vec<_> = scene.archive.batches.iter().map(|batch| batch.header).collect();
    let found = headers.iter().map(|header| (header.lease, header.number, header.first_seq));
    assert_eq!(found.collect::<Vec<_>>(), [(1, 0, 0), (1, 1, 2), (3, 2, 3)], "numbers run on");
    let again = Batch { number: 3, ..scene.batch(0, &late) };
    let append = scene.append_instruction(vec![again]);
    let operator = scene.operator.insecure_clone();
    scene.world.fails(append, &[&operator], LeaseholdError::NumberTaken);
    scene.assert_invariants();
}

#[test]
fn append_batches_ok_after_the_lease_until_the_next() {
    let mut scene = Recording::leased(1, 1, 2);
    let late = scene.receipts(1, 0, 3);
    scene.world.go_to_round(scene.world.lease(1).until + 2);
    close_rounds(&mut scene.world);
    let buyer = scene.buyer.insecure_clone();
    scene.world.settle(&buyer, 1);
    assert_eq!(scene.world.slot(0).lease, 0);
    scene.seal(0, late);
    scene.assert_invariants();
}

#[test]
fn append_batches_fails_when_sums_do_not_fit() {
    let mut scene = Recording::leased(2, 2, 10);
    scene.seal_next(1, 1);
    let huge =
        |field: fn(&mut SumNode) -> &mut u64| move |batch: &mut Batch| *field(&mut batch.root) = u64::MAX;
    refuses(&mut scene, huge(|root| &mut root.units), LeaseholdError::MathOverflow);
    refuses(&mut scene, huge(|root| &mut root.price), LeaseholdError::MathOverflow);
    scene.seal_next(0, 2);
    scene.assert_invariants();
}

#[test]
fn append_batches_fails_when_the_source_is_empty_or_too_long() {
    let mut scene = Recording::leased(1, 1, 10);
    let (board, operator) = (scene.world.board(), scene.operator.insecure_clone());
    let batch = scene.batch(0, &scene.receipts(1, 0, 1));
    let (key, account) = (operator.pubkey(), scene.supplier.account);
    for source in [String::new(), "x".repeat(MAX_SOURCE + 1)] {
        let append = instruction::append_batches(&board, key, account, &source, vec![batch]);
        scene.world.fails(append, &[&operator], LeaseholdError::SourceLength);
    }
    let longest = "x".repeat(MAX_SOURCE);
    let append = instruction::append_batches(&board, key, account, &longest, vec![batch]);
    scene.world.ok(&[append], &[&operator]);
    scene.world.assert_invariants();
}

#[test]
fn append_batches_fails_when_an_account_is_the_wrong_one() {
    let mut scene = Recording::leased(1, 1, 10);
    let mallory = rival(&mut scene.world, 1, 1);
    let batch = scene.batch(0, &scene.receipts(1, 0, 1));
    let by = |signer: &Keypair| scene.append_by(signer, vec![batch]);
    let (ours, by_stranger) = (by(&scene.operator), by(&mallory.wallet));
    let operator = scene.operator.insecure_clone();
    scene.world.fails(by_stranger, &[&mallory.wallet], LeaseholdError::WrongAuthority);
    // Her own supplier's account with our log, and ours with hers.
    let hers = open_log(&mut scene.world, &mallory, vec![1]);
    let mut account = scene.append_by(&mallory.wallet, vec![batch]);
    swap(scene.supplier.account, mallory.account)(&mut account);
    scene.world.fails(account, &[&mallory.wallet], LeaseholdError::WrongSupplier);
    let mut log = ours.clone();
    swap(scene.log, hers)(&mut log);
    scene.world.fails(log, &[&operator], LeaseholdError::WrongSupplier);
    let mut stray = ours.clone();
    stray.accounts.push(AccountMeta::new_readonly(mallory.account, false));
    scene.world.fails(stray, &[&operator], LeaseholdError::StrayAccount);

    // Boards of the same market and of another.
    let (board, second) = (scene.world.board(), second_board(&mut scene.world));
    let mut elsewhere = ours.clone();
    swap(board.address, second.address)(&mut elsewhere);
    scene.world.fails(elsewhere, &[&operator], LeaseholdError::NoSuchSlot);
    let other = second_market(&mut scene.world);
    let mut abroad = ours.clone();
    swap(board.address, other.address)(&mut abroad);
    scene.world.fails(abroad, &[&operator], LeaseholdError::WrongMarket);
    let mut lanes = open_lanes(&scene, &[0]);
    swap(board.address, other.address)(&mut lanes);
    let supplier = scene.supplier.wallet.insecure_clone();
    scene.world.fails(lanes, &[&supplier], LeaseholdError::WrongMarket);
    scene.world.ok(&[ours], &[&operator]);
    scene.world.assert_invariants();
}
