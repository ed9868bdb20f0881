//! What proofs cost and take among a million receipts.

use anchor_lang::AnchorDeserialize;
use bytemuck::Zeroable;
use leasehold::{
    instructions::{BatchProof, VerifiedReceipt},
    math::{
        mmr::Range,
        sum_tree::{SumNode, SumTree},
    },
    state::{BatchHeader, Receipt},
};
use leasehold_client::{instruction, packet, record::LogData, sender::PACKET_BYTES};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::verify::run;

/// Puts a log with that many batches of `count` receipts in the place of the scene's: peaks, numbers and sums
/// as if they had been appended. All batches have one tree, and differ in their numbers.
fn grown(batches: u32, count: u32) -> (Recording, SumTree) {
    let mut scene = Recording::leased(1, 1, 100);
    let first = scene.receipts(1, 0, 1);
    scene.seal(0, first.clone());
    let Sealed { header: one, .. } = scene.archive.batches.remove(0);
    let sample: Receipt = first[0].receipt;
    let leaf = |seq: u64| Receipt { seq, units: 1 + seq % 1_000, price: 1 + seq % 77, ..sample }.leaf();
    let tree = SumTree::new((0..u64::from(count)).map(leaf).collect()).expect("sums fit");
    let mut range = Range::default();
    let header = |number| BatchHeader {
        number,
        count,
        first_seq: u64::from(number) * u64::from(count),
        root: tree.root(),
        ..one
    };
    for number in 0..batches {
        range.append(header(number).leaf());
    }
    let mut account = scene.world.svm.get_account(&scene.log).expect("a log");
    let mut data = LogData::new(&account.data).expect("a log");
    let (log, _) = data.view_mut().expect("a log");
    log.batches = batches.into();
    log.receipts = u64::from(batches) * u64::from(count);
    log.units = u64::from(batches) * tree.root().units;
    log.price = u64::from(batches) * tree.root().price;
    log.peaks = range.peaks();
    account.data = data.bytes().to_vec();
    scene.world.svm.set_account(scene.log, account).expect("any account can be made up");
    scene.archive.range = range;
    scene.archive.batches = (0..batches)
        .map(|number| Sealed { header: header(number), receipts: first.clone(), tree: tree.clone() })
        .collect();
    (scene, tree)
}

fn verify_at(scene: &Recording, tree: &SumTree, index: usize, place: usize) -> Instruction {
    let sample: Receipt = scene.archive.batches[0].receipts[0].receipt;
    let seq = place as u64;
    let leaf = Receipt { seq, units: 1 + seq % 1_000, price: 1 + seq % 77, ..sample }.leaf();
    let path = tree.path(place).expect("a leaf");
    let place = u32::try_from(place).expect("at most 65,536");
    instruction::verify_receipt(scene.log, leaf, place, path, scene.archive.batch(index))
}

/// The requirement: at most 60,000 compute units among 2^20 receipts.
#[test]
fn verify_receipt_takes_at_most_60_000_units_among_a_million_receipts() {
    for (batches, count) in [(1_024, 1_024), (16, 65_536), (1_023, 1_024)] {
        let (scene, tree) = grown(batches, count);
        assert!(scene.log_header().receipts >= (1 << 20) - 1_024);
        let mut most = 0;
        for index in [0, 1, batches / 2, batches - 1] {
            for place in [0, 1, count / 2 - 1, count - 1] {
                let verify = verify_at(&scene, &tree, index as usize, place as usize);
                let meta = run(&scene, verify).expect("it is in the log");
                let returned = VerifiedReceipt::try_from_slice(&meta.return_data.data).expect("returned");
                assert_eq!(returned.seq, u64::from(index) * u64::from(count) + u64::from(place));
                most = most.max(meta.compute_units_consumed);
            }
        }
        println!("verify_receipt among {batches} x {count}: {most} CU");
        assert!(most <= 60_000, "{most}");
        let batch = instruction::verify_batch(scene.log, scene.archive.batch(0));
        let meta = run(&scene, batch).expect("it is in the log");
        println!("verify_batch among {batches}: {} CU", meta.compute_units_consumed);
    }
}

/// Bytes of a proof with paths of that length, as a legacy transaction that sets units and price.
fn bytes(scene: &Recording, batch_levels: usize, log_levels: usize) -> usize {
    let batch = BatchProof { header: BatchHeader::zeroed(), index: 0, path: vec![[0; 32]; log_levels] };
    let path = vec![SumNode::default(); batch_levels];
    let verify = instruction::verify_receipt(scene.log, SumNode::default(), 0, path, batch);
    packet::len(&scene.buyer.pubkey(), &[verify])
}

/// How large logs may be whose proofs a legacy transaction carries whole, by the size of the batch.
#[test]
fn proofs_that_fit_a_legacy_transaction() {
    let scene = Recording::listed(1);
    let fits = |batch_levels| {
        (0..41).take_while(|log_levels| bytes(&scene, batch_levels, *log_levels) <= PACKET_BYTES).last()
    };
    println!("10 + 10 levels: {} bytes, 16 + 4: {}", bytes(&scene, 10, 10), bytes(&scene, 16, 4));
    // Receipts of a batch, and levels of the highest mountain in the log: 7 are of less than 256 batches.
    for (batch, levels) in
        [(1u32, Some(22)), (1_024, Some(7)), (4_096, Some(4)), (16_384, Some(1)), (65_536, None)]
    {
        assert_eq!(fits(batch.ilog2() as usize), levels, "batches of {batch}");
    }
}
