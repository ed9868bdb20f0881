//! What attackers will try with the Ed25519 program's instruction, for everything that relies on it.

use anchor_lang::error::ErrorCode;
use leasehold::{constants::RECORD_ROUNDS, error::LeaseholdError, state::Receipt};
use leasehold_client::record::{SignedReceipt, SignedVoucher, signatures};
use leasehold_tests::*;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{VersionedMessage, v0};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use crate::{BOND, contradiction, prove};

/// Place of the Ed25519 program's instruction, behind that for the compute budget.
const PLACE: u16 = 1;

/// Signed messages of one key, and what relies on them.
struct Reliance {
    name: &'static str,
    key: [u8; 32],
    signed: Vec<([u8; 64], Vec<u8>)>,
    /// Messages that were never signed, of the same length, that somebody would like to pass.
    unsigned: Vec<Vec<u8>>,
    instruction: Instruction,
}

impl Reliance {
    fn ed25519(&self) -> Instruction {
        signatures::verify_instruction(&self.key, &refs(&self.signed))
    }
}

fn refs(signed: &[([u8; 64], Vec<u8>)]) -> Vec<(&[u8; 64], &[u8])> {
    signed.iter().map(|(signature, message)| (signature, &message[..])).collect()
}

/// A world with something to do for every instruction that relies on a signature.
fn reliances() -> (Recording, Vec<Reliance>) {
    let mut scene = Recording::leased(2, 1, 100);
    let buyer = scene.buyer.insecure_clone();
    let metered = scene.world.open_metered(&buyer, 100 * USD, 50);
    let [one, lie] = {
        let one = scene.world.signed(1, 0, 3);
        [one, contradiction(0, &one)]
    };
    scene.world.go_to_round(scene.world.round() + RECORD_ROUNDS);
    let voucher = scene.world.voucher(metered, USD);
    let receipts = |signed: &[&SignedReceipt]| -> Vec<_> {
        signed.iter().map(|signed| (signed.signature, signed.receipt.bytes().to_vec())).collect()
    };
    let other = Receipt { seq: 9, ..one.receipt };
    let [_, demand] = scene.world.demand_instructions(&buyer, &one);
    let [_, prove] = prove(&scene.world, &buyer, [&one, &lie], None);
    let [_, redeem] = scene.world.redeem_instructions(metered, &voucher, 1);
    let more = SignedVoucher { voucher: scene.world.unsigned_voucher(metered, 2 * USD), ..voucher };
    let reliances = vec![
        Reliance {
            name: "demand_receipt",
            key: one.receipt.node_key,
            signed: receipts(&[&one]),
            unsigned: vec![other.bytes().to_vec()],
            instruction: demand,
        },
        Reliance {
            name: "prove_equivocation",
            key: one.receipt.node_key,
            signed: receipts(&[&one, &lie]),
            unsigned: vec![one.receipt.bytes().to_vec(), other.bytes().to_vec()],
            instruction: prove,
        },
        Reliance {
            name: "redeem_voucher",
            key: public(&spender()).to_bytes(),
            signed: vec![(voucher.signature, voucher.voucher.bytes().to_vec())],
            unsigned: vec![more.voucher.bytes().to_vec()],
            instruction: redeem,
        },
    ];
    (scene, reliances)
}

/// An instruction of the Ed25519 program whose offsets point wherever they are told to: signature, key and
/// message of each, with the instruction they stand in.
fn pointing(offsets: &[[u16; 7]], rest: &[u8]) -> Instruction {
    let mut data = vec![u8::try_from(offsets.len()).expect("few"), 0];
    for field in offsets.iter().flatten() {
        data.extend_from_slice(&field.to_le_bytes());
    }
    data.extend_from_slice(rest);
    Instruction { program_id: ed25519_program(), accounts: vec![], data }
}

fn ed25519_program() -> solana_pubkey::Pubkey {
    signatures::verify_instruction(&[0; 32], &[]).program_id
}

/// What the Ed25519 program finds in order, and this program must not rely on.
fn forms(reliance: &Reliance) -> Vec<(&'static str, Vec<Instruction>)> {
    let good = reliance.ed25519();
    let (count, len) = (reliance.signed.len(), reliance.signed[0].1.len());
    let bent = |bend: &dyn Fn(&mut Vec<u8>)| {
        let mut bent = good.clone();
        bend(&mut bent.data);
        vec![bent]
    };
    // The fields that say in which instruction signature, key and message stand.
    let indices: Vec<usize> =
        (0..count).flat_map(|one| [1, 3, 6].map(|field| 2 + one * 14 + field * 2)).collect();
    let named = bent(&|data| {
        for at in &indices {
            data[*at..at + 2].copy_from_slice(&PLACE.to_le_bytes());
        }
    });
    let one_named = bent(&|data| {
        let at = indices[indices.len() - 1];
        data[at..at + 2].copy_from_slice(&PLACE.to_le_bytes());
    });
    let padded = bent(&|data| data[1] = 1);
    let longer = bent(&|data| data.push(0));
    let more = [reliance.signed.clone(), vec![reliance.signed[0].clone()]].concat();
    let more = vec![signatures::verify_instruction(&reliance.key, &refs(&more))];
    let none = vec![Instruction { data: vec![0, 0], ..good.clone() }];
    vec![
        ("indices named", named),
        ("one index named", one_named),
        ("padding", padded),
        ("longer", longer),
        ("one signature more", more),
        ("no signature", none),
        ("offsets to what stands behind", vec![behind(reliance, len)]),
        ("offsets into another instruction", elsewhere(reliance, len)),
    ]
}

/// The form that is expected, with messages that nobody signed; behind it, where the offsets point, a message
/// of the attacker's own.
fn behind(reliance: &Reliance, len: usize) -> Instruction {
    let count = reliance.signed.len();
    let mut rest = reliance.key.to_vec();
    for (signature, _) in &reliance.signed {
        rest.extend_from_slice(signature);
    }
    for message in &reliance.unsigned {
        rest.extend_from_slice(message);
    }
    let (key, message) = (node_key(66), vec![7; len]);
    let start = 2 + count * 14 + rest.len();
    let signature = ed25519_dalek::Signer::sign(&key, &message).to_bytes();
    let tail = [&signature[..], &key.verifying_key().to_bytes()[..], &message[..]].concat();
    let [signature, key, message] = [0, 64, 96].map(|offset| u16::try_from(start + offset).expect("fits"));
    let here = u16::MAX;
    let len = u16::try_from(len).expect("fits");
    let offsets = vec![[signature, here, key, here, message, len, here]; count];
    pointing(&offsets, &[rest, tail].concat())
}

/// As [`behind`], with the attacker's own message in the instruction before.
fn elsewhere(reliance: &Reliance, len: usize) -> Vec<Instruction> {
    let (key, message) = (node_key(66), vec![7; len]);
    let signature = ed25519_dalek::Signer::sign(&key, &message).to_bytes();
    let public = key.verifying_key().to_bytes();
    let own = signatures::verify_instruction(&public, &[(&signature, &message)]);
    let count = reliance.signed.len();
    let mut rest = reliance.key.to_vec();
    for (signature, _) in &reliance.signed {
        rest.extend_from_slice(signature);
    }
    for message in &reliance.unsigned {
        rest.extend_from_slice(message);
    }
    // Where the form with one signature has its parts.
    let len = u16::try_from(len).expect("fits");
    let offsets = vec![[16 + 32, PLACE, 16, PLACE, 16 + 32 + 64, len, PLACE]; count];
    vec![own, pointing(&offsets, &rest)]
}

#[test]
fn attack_ed25519_instruction_of_another_form() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    for reliance in &reliances {
        for (form, before) in forms(reliance) {
            println!("{}: {form}", reliance.name);
            let all = [before, vec![reliance.instruction.clone()]].concat();
            // The last instruction is refused, so that the Ed25519 program has found nothing wrong.
            scene.world.fails_last(&all, &[&buyer], LeaseholdError::SignatureMissing);
        }
    }
    for reliance in reliances {
        // A conviction ends all else: last but one.
        let all = [reliance.ed25519(), reliance.instruction];
        scene.world.ok(&all, &[&buyer]);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_message_of_another_length() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    let voucher = scene.world.voucher(2, USD);
    let shorter = &voucher.voucher.bytes()[..151];
    let signature = ed25519_dalek::Signer::sign(&spender(), shorter).to_bytes();
    let signed = signatures::verify_instruction(&public(&spender()).to_bytes(), &[(&signature, shorter)]);
    let redeem = reliances[2].instruction.clone();
    scene.world.fails_last(&[signed, redeem.clone()], &[&buyer], LeaseholdError::SignatureMissing);
    // A receipt where a voucher is expected, and the other way round.
    let receipt = reliances[0].ed25519();
    scene.world.fails_last(&[receipt, redeem], &[&buyer], LeaseholdError::SignatureMissing);
    let all = [reliances[2].ed25519(), reliances[0].instruction.clone()];
    scene.world.fails_last(&all, &[&buyer], LeaseholdError::SignatureMissing);
    scene.world.assert_invariants();
}

#[test]
fn attack_signature_forged() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    for reliance in reliances {
        let mut forged = reliance.ed25519();
        for (_, message) in &reliance.signed {
            assert!(forged.data.windows(message.len()).any(|window| window == message));
        }
        let last = forged.data.len() - 200.min(forged.data.len() - 1);
        forged.data[last] ^= 1;
        let failed = scene.world.send(&[forged, reliance.instruction], &[&buyer]).unwrap_err();
        let by_ed25519 = matches!(failed.err, TransactionError::InstructionError(1, _));
        assert!(by_ed25519, "{}: {:?}", reliance.name, failed.err);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_signature_that_is_not_right_before() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    let nothing = transfer(&buyer.pubkey(), &buyer.pubkey(), 1);
    for reliance in reliances {
        let (ed25519, ours) = (reliance.ed25519(), reliance.instruction);
        scene.world.fails(ours.clone(), &[&buyer], LeaseholdError::SignatureMissing);
        let apart = [ed25519.clone(), nothing.clone(), ours.clone()];
        scene.world.fails_last(&apart, &[&buyer], LeaseholdError::SignatureMissing);
        // First of all instructions, and the signature behind it.
        let message = v0::Message::try_compile(
            &buyer.pubkey(),
            &[ours, ed25519],
            &[],
            scene.world.svm.latest_blockhash(),
        );
        let message = VersionedMessage::V0(message.expect("compiles"));
        let first = VersionedTransaction::try_new(message, &[&buyer]).expect("everybody signs");
        let failed = scene.world.svm.send_transaction(first).unwrap_err();
        let expected = TransactionError::InstructionError(0, custom(LeaseholdError::SignatureMissing));
        assert_eq!(failed.err, expected, "{}", reliance.name);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_forged_instructions_account() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    for reliance in reliances {
        let mut forged = reliance.instruction.clone();
        let sysvar: solana_pubkey::Pubkey =
            "Sysvar1nstructions1111111111111111111111111".parse().expect("an address");
        swap(sysvar, buyer.pubkey())(&mut forged);
        assert_ne!(forged, reliance.instruction);
        let all = [reliance.ed25519(), forged];
        scene.world.fails_last(&all, &[&buyer], ErrorCode::ConstraintAddress);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_stray_account_with_a_signature() {
    let (mut scene, reliances) = reliances();
    let buyer = scene.buyer.insecure_clone();
    for reliance in reliances {
        let (ed25519, mut stray) = (reliance.ed25519(), reliance.instruction);
        stray.accounts.push(AccountMeta::new_readonly(buyer.pubkey(), false));
        scene.world.fails_last(&[ed25519, stray], &[&buyer], LeaseholdError::StrayAccount);
    }
    assert_eq!(scene.world.slot(0).bond, BOND);
    scene.world.assert_invariants();
}
