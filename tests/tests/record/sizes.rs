//! Compute units and bytes of proofs in a log of a million receipts.

use anchor_lang::AnchorDeserialize;
use bytemuck::Zeroable;
use leasehold::{
    instructions::{BatchProof, VerifiedReceipt},
    math::sum_tree::{SumNode, SumTree},
    state::{BatchHeader, Receipt},
};
use leasehold_client::{
    address, instruction,
    packet::{self, PACKET_BYTES},
};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

use crate::{contradiction, prove, verify::run};

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
        let (scene, tree) = Recording::grown(batches, count);
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

/// The largest logs whose proofs fit a legacy transaction, by the size of the batch.
#[test]
fn proofs_that_fit_a_legacy_transaction() {
    let scene = Recording::listed(1);
    let fits = |batch_levels| {
        (0..41).take_while(|log_levels| bytes(&scene, batch_levels, *log_levels) <= PACKET_BYTES).last()
    };
    println!("10 + 10 levels: {} bytes, 16 + 4: {}", bytes(&scene, 10, 10), bytes(&scene, 16, 4));
    // Receipts of a batch, and levels of the log's highest mountain: 7 levels are fewer than 256 batches.
    for (batch, levels) in
        [(1u32, Some(22)), (1_024, Some(7)), (4_096, Some(4)), (16_384, Some(1)), (65_536, None)]
    {
        assert_eq!(fits(batch.ilog2() as usize), levels, "batches of {batch}");
    }
}

/// Bytes that a wallet may add to a transaction.
const WALLET_BYTES: usize = 150;
/// Accusations, and what pays a machine, leave room for what wallets add.
#[test]
fn what_wallets_sign_leaves_them_room() {
    let mut scene = Recording::leased(2, 1, 100);
    let buyer = scene.buyer.insecure_clone();
    let metered = scene.world.open_metered(&buyer, 100 * USD, 50);
    let one = scene.world.signed(1, 0, 3);
    let lie = contradiction(0, &one);
    let voucher = scene.world.voucher(metered, USD);
    for (name, instructions) in [
        ("demand_receipt", scene.world.demand_instructions(&buyer, &one)),
        ("prove_equivocation", prove(&scene.world, [&one, &lie])),
        ("redeem_voucher", scene.world.redeem_instructions(metered, &voucher)),
    ] {
        let bytes = packet::len(&buyer.pubkey(), &instructions);
        println!("{name}: {bytes} bytes");
        assert!(bytes <= PACKET_BYTES - WALLET_BYTES, "{name}: {bytes}");
    }
}

/// An answer has two halves, so that each fits for the largest batch and log. Nodes sign it; for batches of up to 16,384
/// receipts, and logs of up to 2^20 batches, a wallet can, too.
#[test]
fn both_halves_of_an_answer_fit() {
    let mut scene = Recording::leased(1, 1, 100);
    let (buyer, claimant) = (scene.buyer.insecure_clone(), scene.world.wallet());
    let receipts = scene.receipts(1, 0, 3);
    scene.world.go_to_round(scene.world.round() + crate::RECORD_ROUNDS);
    let demand = scene.world.demand(&claimant, &receipts[1]);
    let account = scene.world.demand_account(&demand);
    let index = scene.seal(0, receipts);
    let show = |levels: usize| {
        let batch = BatchProof { path: vec![[0; 32]; levels], ..scene.archive.batch(index) };
        packet::len(&buyer.pubkey(), &[instruction::show_batch(demand, scene.log, batch)])
    };
    let answer = |levels: usize| {
        let path = vec![SumNode::default(); levels];
        packet::len(&buyer.pubkey(), &[instruction::answer_demand(buyer.pubkey(), demand, &account, path)])
    };
    println!(
        "show_batch: {} and {} bytes, answer_demand: {} and {}",
        show(20),
        show(23),
        answer(14),
        answer(16)
    );
    assert!(show(20).max(answer(14)) <= PACKET_BYTES - WALLET_BYTES);
    assert!(show(23).max(answer(16)) <= PACKET_BYTES);
    assert_eq!(demand, address::demand(&scene.archive.batches[index].receipts[1].id()));
}
