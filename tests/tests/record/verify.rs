//! Verifying that a receipt or a batch is in a log.

use anchor_lang::AnchorDeserialize;
use leasehold::{
    error::LeaseholdError,
    instructions::{BatchProof, VerifiedReceipt},
    math::{
        digest::{Domain, digest},
        sum_tree::SumNode,
    },
    state::BatchHeader,
};
use leasehold_client::{instruction, record::Proof};
use leasehold_tests::*;
use litesvm::types::TransactionMetadata;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_program_runtime::{declare_process_instruction, solana_sbpf::program::BuiltinFunctionDefinition};
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;

use crate::{open_log, rival};

/// Simulates an instruction that changes nothing.
pub fn run(scene: &Recording, instruction: Instruction) -> Result<TransactionMetadata, TransactionError> {
    let transaction = scene.world.transaction(&[instruction], &[&scene.buyer]);
    scene.world.svm.simulate_transaction(transaction).map(|done| done.meta).map_err(|failed| failed.err)
}

/// Expects that a proof is refused with `NotInLog`.
#[track_caller]
fn refuses_proof(scene: &mut Recording, instruction: Instruction) {
    let buyer = scene.buyer.insecure_clone();
    scene.world.fails(instruction, &[&buyer], LeaseholdError::NotInLog);
}

/// Batches of 5, 4, 3, 2 and 1 receipts of two machines.
fn some_batches() -> Recording {
    let mut scene = Recording::leased(2, 2, 20);
    for count in (1..6).rev() {
        scene.seal_next((count % 2) as u16, count);
        scene.world.pass(60);
    }
    scene
}

#[test]
fn verify_receipt_ok() {
    let scene = some_batches();
    let account = scene.world.data(&scene.log);
    for (index, batch) in scene.archive.batches.iter().enumerate() {
        for place in 0..batch.receipts.len() {
            let proof = scene.proof(index, place);
            let meta = run(&scene, proof.instruction()).expect("it is in the log");
            assert_eq!(meta.return_data.program_id, leasehold::ID);
            let returned = VerifiedReceipt::try_from_slice(&meta.return_data.data).expect("what it returns");
            let before = &batch.receipts[..place];
            let expected = VerifiedReceipt {
                seq: batch.receipts[place].receipt.seq,
                header: batch.header,
                units_before: before.iter().map(|signed| signed.receipt.units).sum(),
                price_before: before.iter().map(|signed| signed.receipt.price).sum(),
            };
            assert_eq!(returned, expected);
            // The client verifies the same off-chain.
            let verified = proof.verify(&account).expect("it is in the log");
            assert_eq!((verified.seq, verified.header), (expected.seq, expected.header));
            assert_eq!(verified.price_before, expected.price_before);
        }
    }
    scene.assert_invariants();
}

#[test]
fn verify_batch_ok() {
    let mut scene = some_batches();
    for index in 0..5 {
        let verify = instruction::verify_batch(scene.log, scene.archive.batch(index));
        assert!(run(&scene, verify).is_ok());
    }
    let nothing = Recording::listed(1);
    let alone = BatchProof { index: 0, path: vec![], ..scene.archive.batch(0) };
    let verify = instruction::verify_batch(nothing.log, alone);
    refuses_proof(&mut { nothing }, verify);
    let beyond = BatchProof { index: 5, ..scene.archive.batch(4) };
    let beyond = instruction::verify_batch(scene.log, beyond);
    refuses_proof(&mut scene, beyond);
    scene.assert_invariants();
}

/// Every field of the receipt and the header, and every node of the paths.
#[test]
fn verify_fails_when_any_byte_is_changed() {
    let scene = some_batches();
    let proof = scene.proof(1, 1);
    assert_eq!((proof.path.len(), proof.batch_path.len()), (2, 2));
    for instruction in [proof.instruction(), instruction::verify_batch(scene.log, scene.archive.batch(1))] {
        assert!(run(&scene, instruction.clone()).is_ok());
        // After the eight bytes that name the instruction.
        for byte in 8..instruction.data.len() {
            let mut bent = instruction.clone();
            bent.data[byte] ^= 1 << (byte % 8);
            assert!(run(&scene, bent).is_err(), "byte {byte} counts");
        }
    }
}

#[test]
fn verify_receipt_fails_when_a_field_is_changed() {
    let mut scene = some_batches();
    let proof = scene.proof(0, 3);
    let bend = |bend: &dyn Fn(&mut Proof)| {
        let mut bent = proof.clone();
        bend(&mut bent);
        assert_ne!(bent, proof);
        bent.instruction()
    };
    let header = |bend: fn(&mut BatchHeader)| move |proof: &mut Proof| bend(&mut proof.header);
    let bent = [
        bend(&|proof| proof.receipt.receipt.seq += 1),
        bend(&|proof| proof.receipt.receipt.model[0] ^= 1),
        bend(&|proof| proof.receipt.receipt.units += 1),
        bend(&|proof| proof.receipt.receipt.price -= 1),
        bend(&|proof| proof.place -= 1),
        bend(&|proof| proof.place = 5),
        bend(&|proof| proof.place = u32::MAX),
        bend(&|proof| proof.path[0].units += 1),
        bend(&|proof| proof.path[0].price += 1),
        bend(&|proof| proof.path.swap(0, 1)),
        bend(&|proof| _ = proof.path.pop()),
        bend(&|proof| proof.index += 1),
        bend(&|proof| proof.index = u64::MAX),
        bend(&|proof| proof.batch_path.swap(0, 1)),
        bend(&|proof| _ = proof.batch_path.pop()),
        bend(&|proof| proof.batch_path.push([0; 32])),
        bend(&header(|header| header.board = leasehold::ID)),
        bend(&header(|header| header.node_key[31] ^= 1)),
        bend(&header(|header| header.slot ^= 1)),
        bend(&header(|header| header.generation += 1)),
        bend(&header(|header| header.lease += 1)),
        bend(&header(|header| header.number += 1)),
        bend(&header(|header| header.count += 1)),
        bend(&header(|header| header.count -= 1)),
        bend(&header(|header| header.first_seq += 1)),
        bend(&header(|header| header.root.units += 1)),
        bend(&header(|header| header.root.price += 1)),
        bend(&header(|header| header.first_ms -= 1)),
        bend(&header(|header| header.last_ms += 1)),
        bend(&header(|header| header.source[0] ^= 1)),
    ];
    for instruction in bent {
        refuses_proof(&mut scene, instruction);
    }
    // Units moved from one side to the other, so that the sum stays.
    let shifted = bend(&|proof| {
        proof.receipt.receipt.units += 1;
        proof.path[0].units -= 1;
    });
    refuses_proof(&mut scene, shifted);
    scene.assert_invariants();
}

#[test]
fn attack_node_for_a_leaf_and_leaf_for_a_node() {
    let mut scene = some_batches();
    // Four of the five receipts are under a perfect tree of height 2.
    let Proof { header, index, batch_path, .. } = scene.proof(0, 0);
    let leaves: Vec<SumNode> =
        scene.archive.batches[0].receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    let node = SumNode::parent(&leaves[0], &leaves[1]).expect("fits");
    let path = scene.archive.batches[0].tree.path(0).expect("a leaf");
    let batch = BatchProof { header, index, path: batch_path };
    for (leaf, place, path) in [
        // An inner node with the rest of the path, at every place it could claim.
        (node, 0, path[1..].to_vec()),
        (node, 1, path[1..].to_vec()),
        (header.root, 0, vec![]),
        (header.root, 4, vec![]),
        // The root of a padded tree.
        (leaves[4], 5, vec![leaves[4], SumNode::default()]),
    ] {
        let verify = instruction::verify_receipt(scene.log, leaf, place, path, batch.clone());
        refuses_proof(&mut scene, verify);
    }
    // With fewer receipts the node would be a leaf; but the count is part of the header.
    let fewer = BatchProof { header: BatchHeader { count: 3, ..header }, ..batch.clone() };
    let verify = instruction::verify_receipt(scene.log, node, 0, path[1..].to_vec(), fewer);
    refuses_proof(&mut scene, verify);

    // In the log: a peak, and the node beside it, as if they were batches. A batch's leaf is the hash of its header,
    // so no node passes for one.
    for (place, beside) in [(0u64, 0usize), (1, 0), (2, 1)] {
        let short = BatchProof { index: place, path: batch.path[beside..].to_vec(), ..batch.clone() };
        if short != batch {
            let verify = instruction::verify_batch(scene.log, short);
            refuses_proof(&mut scene, verify);
        }
    }
    let own_leaf = BatchProof { path: vec![header.leaf(); 2], ..batch.clone() };
    let verify = instruction::verify_batch(scene.log, own_leaf);
    refuses_proof(&mut scene, verify);
    scene.assert_invariants();
}

#[test]
fn attack_batch_of_another_log() {
    let mut scene = Recording::leased(1, 1, 20);
    let mallory = rival(&mut scene.world, 1, 1);
    let hers = open_log(&mut scene.world, &mallory, vec![1]);
    let index = scene.seal_next(0, 3);
    let ours = scene.proof(index, 1);
    let theirs = Proof { log: hers, ..ours.clone() };
    refuses_proof(&mut scene, theirs.instruction());
    let batch = instruction::verify_batch(hers, ours.batch());
    refuses_proof(&mut scene, batch);
    let buyer = scene.buyer.insecure_clone();
    scene.world.ok(&[ours.instruction()], &[&buyer]);
    scene.assert_invariants();
}

#[test]
fn attack_proof_for_the_log_as_it_was() {
    let mut scene = Recording::leased(1, 1, 20);
    for _ in 0..3 {
        scene.seal_next(0, 2);
    }
    // A peak by itself, and the first of a mountain of two.
    let old = [scene.proof(2, 0), scene.proof(0, 0)];
    scene.seal_next(0, 2);
    for proof in &old {
        refuses_proof(&mut scene, proof.instruction());
    }
    let account = scene.world.data(&scene.log);
    let error = old[0].verify(&account).unwrap_err();
    assert_eq!(error, leasehold_client::record::RecordError::NotInLog { batches: 4 });
    // With the batches appended since, the proof can be made for the log as it is now.
    let buyer = scene.buyer.insecure_clone();
    scene.world.ok(&[scene.archive.proof(scene.log, 2, 0).instruction()], &[&buyer]);
    scene.assert_invariants();
}

/// Receipts, nodes, headers and peaks are hashed in different domains: whatever its bytes, no kind passes for another.
#[test]
fn attack_domain_confusion() {
    let mut scene = some_batches();
    let proof = scene.proof(0, 0);
    let receipt = proof.receipt.receipt;
    let header = proof.header;
    for domain in [Domain::SumNode, Domain::Batch, Domain::LogNode, Domain::LogRoot] {
        let leaf = SumNode { hash: digest(domain, &[receipt.bytes()]), ..receipt.leaf() };
        let verify = instruction::verify_receipt(scene.log, leaf, 0, proof.path.clone(), proof.batch());
        refuses_proof(&mut scene, verify);
    }
    // The bytes of two nodes, hashed as if they were a receipt.
    let (left, right) = (receipt.leaf(), proof.path[0]);
    let pair = [bytemuck::bytes_of(&left), bytemuck::bytes_of(&right)].concat();
    let leaf = SumNode {
        hash: digest(Domain::Receipt, &[&pair]),
        units: left.units + right.units,
        price: left.price + right.price,
    };
    let verify = instruction::verify_receipt(scene.log, leaf, 0, proof.path[1..].to_vec(), proof.batch());
    refuses_proof(&mut scene, verify);
    // A header whose root is the receipt itself, as a batch of one.
    let raw = BatchHeader { root: receipt.leaf(), count: 1, ..header };
    let batch = BatchProof { header: raw, ..proof.batch() };
    let verify = instruction::verify_receipt(scene.log, receipt.leaf(), 0, vec![], batch);
    refuses_proof(&mut scene, verify);
    scene.assert_invariants();
}

/// A program that acts only if a receipt is in a log: it calls `verify_receipt` with its own data, and reads the
/// returned data.
const CALLER: Pubkey = Pubkey::new_from_array([0xca; 32]);

declare_process_instruction!(Caller, 150, |invoke_context| {
    let context = invoke_context.transaction_context.get_current_instruction_context()?;
    let log = *context.get_key_of_instruction_account(0)?;
    let verify = Instruction {
        program_id: leasehold::ID,
        accounts: vec![AccountMeta::new_readonly(log, false)],
        data: context.get_instruction_data().to_vec(),
    };
    invoke_context.native_invoke_signed(verify, &[])?;
    let (program, data) = invoke_context.transaction_context.get_return_data();
    let verified = VerifiedReceipt::try_from_slice(data).ok();
    let is_third = verified.is_some_and(|verified| *program == leasehold::ID && verified.seq == 2);
    if is_third { Ok(()) } else { Err(InstructionError::InvalidArgument) }
});

#[test]
fn verify_receipt_ok_for_another_program() {
    let mut scene = Recording::leased(1, 1, 20);
    scene.world.svm.add_builtin(CALLER, Caller::register);
    let index = scene.seal_next(0, 5);
    let call = |proof: &Proof| {
        let accounts = vec![
            AccountMeta::new_readonly(proof.log, false),
            AccountMeta::new_readonly(leasehold::ID, false),
        ];
        Instruction { program_id: CALLER, accounts, data: proof.instruction().data }
    };
    let buyer = scene.buyer.insecure_clone();
    let third = scene.proof(index, 2);
    let meta = scene.world.ok(&[call(&third)], &[&buyer]);
    println!("verify_receipt from another program: {} CU", meta.compute_units_consumed);
    // It reads which receipt it is, and stops if the proof is refused.
    let fourth = call(&scene.proof(index, 3));
    assert_eq!(scene.world.instruction_error(fourth, &[&buyer]), InstructionError::InvalidArgument);
    let mut forged = third;
    forged.receipt.receipt.price += 1;
    let forged = call(&forged);
    scene.world.fails(forged, &[&buyer], LeaseholdError::NotInLog);
    scene.assert_invariants();
}
