//! Invariant 14: the log accepts exactly the appended batches. Random appends are compared with a list of headers.

use leasehold::{
    error::LeaseholdError,
    instructions::BatchProof,
    math::{
        digest::{Domain, digest},
        sum_tree::SumNode,
    },
    state::BatchHeader,
};
use leasehold_client::record::Proof;
use leasehold_tests::*;
use proptest::{
    collection::vec,
    prelude::any,
    prop_assert, prop_assert_eq,
    sample::Index,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use solana_instruction::{Instruction, error::InstructionError};
use solana_transaction_error::TransactionError;

const MACHINES: u16 = 3;

/// Peaks and root of a log over these leaves, by definition: perfect trees in order of their height, the highest first,
/// with nodes numbered as they are created; peaks are bagged from the right.
fn naive(leaves: &[[u8; 32]]) -> (Vec<(u32, [u8; 32])>, [u8; 32]) {
    fn mountain(leaves: &[[u8; 32]], next: &mut u64) -> [u8; 32] {
        let hash = if let [leaf] = leaves {
            *leaf
        } else {
            let (left, right) = leaves.split_at(leaves.len() / 2);
            let (left, right) = (mountain(left, next), mountain(right, next));
            digest(Domain::LogNode, &[&next.to_le_bytes(), &left, &right])
        };
        *next += 1;
        hash
    }
    let (mut rest, mut nodes, mut peaks) = (leaves, 0, vec![]);
    while !rest.is_empty() {
        let height = rest.len().ilog2();
        let (first, after) = rest.split_at(1 << height);
        peaks.push((height, mountain(first, &mut nodes)));
        rest = after;
    }
    let bag = |rest: [u8; 32], peak: [u8; 32]| digest(Domain::LogRoot, &[&nodes.to_le_bytes(), &peak, &rest]);
    let root = peaks.iter().rev().map(|(_, peak)| *peak).reduce(bag).unwrap_or_default();
    (peaks, root)
}

/// True if the program accepts the proof, false if it refuses with `NotInLog`. Any other error fails the test.
fn holds(scene: &Recording, proof: &Proof) -> Result<bool, TestCaseError> {
    let transaction = scene.world.transaction(&[proof.instruction()], &[&scene.buyer]);
    match scene.world.svm.simulate_transaction(transaction).map_err(|failed| failed.err) {
        Ok(_) => Ok(true),
        Err(TransactionError::InstructionError(1, InstructionError::Custom(code)))
            if code == u32::from(LeaseholdError::NotInLog) =>
        {
            Ok(false)
        }
        Err(other) => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

/// The proof with one thing changed.
fn changed(proof: &Proof, how: u8, by: Index, archive: &Archive) -> Proof {
    let mut changed = proof.clone();
    let flip = |bytes: &mut [u8]| {
        let bit = by.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    };
    match how % 9 {
        0 => flip(bytemuck::bytes_of_mut(&mut changed.receipt.receipt)),
        1 => flip(bytemuck::bytes_of_mut(&mut changed.header)),
        2 => changed.index = by.index(archive.batches.len() + 1) as u64,
        3 => changed.place = by.index(proof.header.count as usize + 1) as u32,
        4 if !changed.batch_path.is_empty() => {
            let at = by.index(changed.batch_path.len());
            flip(&mut changed.batch_path[at]);
        }
        5 if !changed.path.is_empty() => {
            let at = by.index(changed.path.len());
            flip(bytemuck::bytes_of_mut(&mut changed.path[at]));
        }
        6 => _ = changed.batch_path.pop(),
        7 => changed.path.push(SumNode::default()),
        _ => changed.header = archive.batches[by.index(archive.batches.len())].header,
    }
    changed
}

fn is_the_log(scene: &Recording) -> Result<(), TestCaseError> {
    let headers: Vec<BatchHeader> = scene.archive.batches.iter().map(|batch| batch.header).collect();
    let leaves: Vec<_> = headers.iter().map(BatchHeader::leaf).collect();
    let (peaks, root) = naive(&leaves);
    let log = scene.log_header();
    for (height, peak) in peaks {
        prop_assert_eq!(log.peaks[height as usize], peak);
    }
    prop_assert_eq!(leasehold::math::mmr::root(&log.peaks, log.batches), root);
    prop_assert_eq!(log.batches, headers.len() as u64);
    let sum = |of: fn(&BatchHeader) -> u64| headers.iter().map(of).sum::<u64>();
    prop_assert_eq!(log.receipts, sum(|header| header.count.into()));
    prop_assert_eq!((log.units, log.price), (sum(|h| h.root.units), sum(|h| h.root.price)));
    Ok(())
}

#[test]
fn the_log_holds_exactly_what_was_appended() {
    let beginning = Recording::leased(MACHINES, MACHINES.into(), 100);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[14; 32]);
    // Transactions of batches: machine and receipts. Then proofs, and how each is changed.
    let appends = vec(vec((0..MACHINES, 1..9u64), 1..4), 1..10);
    let changes = vec((any::<Index>(), any::<Index>(), any::<u8>(), any::<Index>()), 30);
    let mut refused = 0;
    let count = std::cell::RefCell::new(&mut refused);
    let outcome = TestRunner::new_with_rng(config, rng).run(&(appends, changes), |(appends, changes)| {
        let mut scene = beginning.fork();
        for transaction in appends {
            scene.world.pass(7);
            let mut batches: Vec<(leasehold::instructions::Batch, Vec<_>)> = vec![];
            for (slot, receipts) in transaction {
                let (mut number, mut first) = (scene.lane(slot).batches, scene.lane(slot).next_seq);
                for (batch, _) in batches.iter().filter(|(batch, _)| batch.slot == slot) {
                    number += 1;
                    first += u64::from(batch.count);
                }
                let seqs = first..first + receipts;
                let receipts: Vec<_> = seqs.map(|seq| scene.world.signed(1, slot, seq)).collect();
                batches.push((
                    leasehold::instructions::Batch { number, ..scene.batch(slot, &receipts) },
                    receipts,
                ));
            }
            scene.append(batches);
            is_the_log(&scene)?;
        }
        scene.assert_invariants();
        let account = scene.world.data(&scene.log);
        for (index, batch) in scene.archive.batches.iter().enumerate() {
            // Each of them natively, as a client does, and one of each batch on chain.
            for place in 0..batch.receipts.len() {
                let verified = scene.proof(index, place).verify(&account);
                prop_assert_eq!(verified.map(|verified| verified.seq), Ok(batch.receipts[place].receipt.seq));
            }
            prop_assert!(holds(&scene, &scene.proof(index, batch.receipts.len() / 2))?);
        }
        for (batch, place, how, by) in changes {
            let batch = batch.index(scene.archive.batches.len());
            let place = place.index(scene.archive.batches[batch].receipts.len());
            let proof = scene.proof(batch, place);
            let changed = changed(&proof, how, by, &scene.archive);
            // A receipt's other fields count by its hash alone.
            if changed != proof {
                prop_assert!(!holds(&scene, &changed)?, "{changed:?}");
                **count.borrow_mut() += 1;
            }
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(refused > 500, "{refused} changed proofs");
}

/// A batch that was appended is in the log at every later size, and at no other place.
#[test]
fn a_batch_stays_in_the_log_as_it_grows() {
    let mut scene = Recording::leased(1, 1, 100);
    for size in 1..=18u64 {
        scene.seal_next(0, 1);
        for index in 0..size {
            let proof = scene.archive.batch(index as usize);
            for place in 0..size + 1 {
                let moved = BatchProof { index: place, ..proof.clone() };
                let verify = leasehold_client::instruction::verify_batch(scene.log, moved);
                let found = run(&scene, verify);
                assert_eq!(found.is_ok(), place == index, "{index} at {place} of {size}");
            }
        }
    }
    scene.assert_invariants();
}

fn run(scene: &Recording, instruction: Instruction) -> Result<(), TransactionError> {
    let transaction = scene.world.transaction(&[instruction], &[&scene.buyer]);
    scene.world.svm.simulate_transaction(transaction).map(|_| ()).map_err(|failed| failed.err)
}
