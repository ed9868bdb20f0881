//! Appending batches, and verifying a receipt in a large log.

use leasehold::{math::sum_tree::SumNode, state::Receipt};
use leasehold_client::{
    instruction,
    packet::{self, PACKET_BYTES},
};
use solana_signer::Signer;

use super::{SLOTS, Table, cost, table::LAMPORTS_PER_SIGNATURE};
use crate::Recording;

/// Batches in the log, and receipts in each: 2²⁰ receipts.
const MILLION: (u32, u32) = (1_024, 1_024);
/// Machines with one batch each: more batches than fit in a transaction.
const MACHINES: u16 = 16;

pub fn measure(table: &mut Table) {
    append(table);
    verify(table);
}

/// As many batches as fit in a transaction, each of a different machine.
fn append(table: &mut Table) {
    let mut scene = Recording::leased(MACHINES, u32::from(MACHINES), 100);
    let batches: Vec<_> = (0..MACHINES).map(|slot| scene.batch(slot, &scene.receipts(1, slot, 1))).collect();
    let payer = scene.operator.insecure_clone();
    let fits = packet::most(&payer.pubkey(), &batches, |some| scene.append_instruction(some.to_vec()));
    let full = scene.append_instruction(batches[..fits].to_vec());
    table.add("append_batches_full", SLOTS[0], cost(&scene.world, "append_batches_full", &full, &[&payer]));

    let before = scene.world.lamports(&payer.pubkey());
    let one = scene.append_instruction(batches[..1].to_vec());
    scene.world.ok(&[one], &[&payer]);
    let fee = before - scene.world.lamports(&payer.pubkey());
    assert_eq!(fee, LAMPORTS_PER_SIGNATURE, "the fee that the table assumes");
}

/// The receipt with the longest proof in a log of a million. The proof does not fit a legacy transaction; only other
/// programs, whose data may be longer, can send it.
fn verify(table: &mut Table) {
    let (batches, count) = MILLION;
    let (scene, tree) = Recording::grown(batches, count);
    let sample: Receipt = scene.archive.batches[0].receipts[0].receipt;
    let place = count - 1;
    let seq = u64::from(place);
    let leaf = Receipt { seq, units: 1 + seq % 1_000, price: 1 + seq % 77, ..sample }.leaf();
    let path: Vec<SumNode> = tree.path(place as usize).expect("it is in the batch");
    let batch = scene.archive.batch(batches as usize - 1);
    let verify = instruction::verify_receipt(scene.log, leaf, place, path, batch);
    let figure = cost(&scene.world, "verify_receipt_of_a_million", &verify, &[&scene.buyer]);
    assert!(figure.bytes > PACKET_BYTES as u64, "the proof fits a transaction after all");
    table.add("verify_receipt_of_a_million", SLOTS[0], figure);
}
