//! Attacks with the Ed25519 program's instruction, on every instruction that relies on it. A new one gets a [`Case`].

use anchor_lang::error::ErrorCode;
use ed25519_dalek::SigningKey;
use leasehold::{error::LeaseholdError, state::Receipt};
use leasehold_client::record::{SignedReceipt, SignedVoucher, signatures};
use leasehold_tests::*;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use crate::{BOND, RECORD_ROUNDS, contradiction, prove};

/// Index of the Ed25519 program's instruction, after that of the compute budget.
const PLACE: u16 = 1;

/// Messages signed by one key, and the instruction that relies on them.
struct Case {
    name: &'static str,
    key: [u8; 32],
    signed: Vec<([u8; 64], Vec<u8>)>,
    /// Messages of the same length that nobody signed; an attacker would like the program to accept them.
    unsigned: Vec<Vec<u8>>,
    instruction: Instruction,
}

impl Case {
    fn ed25519(&self) -> Instruction {
        signatures::verify_instruction(&self.key, &refs(&self.signed))
    }

    fn message_len(&self) -> usize {
        self.signed[0].1.len()
    }

    /// The key, the signatures and the unsigned messages, as the expected form has them behind its offsets.
    fn unsigned_body(&self) -> Vec<u8> {
        let signatures = self.signed.iter().flat_map(|(signature, _)| signature);
        self.key.iter().chain(signatures).chain(self.unsigned.iter().flatten()).copied().collect()
    }
}

fn refs(signed: &[([u8; 64], Vec<u8>)]) -> Vec<(&[u8; 64], &[u8])> {
    signed.iter().map(|(signature, message)| (signature, &message[..])).collect()
}

/// A case of every instruction that relies on a signature, and the world in which it succeeds.
fn cases() -> (Recording, Vec<Case>) {
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
        signed.iter().map(|signed| (signed.signature, signed.receipt.message().to_vec())).collect()
    };
    let other = Receipt { seq: 9, ..one.receipt };
    let [_, demand] = scene.world.demand_instructions(&buyer, &one);
    let [_, prove] = prove(&scene.world, [&one, &lie]);
    let [_, redeem] = scene.world.redeem_instructions(metered, &voucher);
    let more = SignedVoucher { voucher: scene.world.unsigned_voucher(metered, 2 * USD), ..voucher };
    let cases = vec![
        Case {
            name: "demand_receipt",
            key: one.receipt.node_key,
            signed: receipts(&[&one]),
            unsigned: vec![other.message().to_vec()],
            instruction: demand,
        },
        Case {
            name: "prove_equivocation",
            key: one.receipt.node_key,
            signed: receipts(&[&one, &lie]),
            unsigned: vec![one.receipt.message().to_vec(), other.message().to_vec()],
            instruction: prove,
        },
        Case {
            name: "redeem_voucher",
            key: public(&spender()).to_bytes(),
            signed: vec![(voucher.signature, voucher.voucher.bytes().to_vec())],
            unsigned: vec![more.voucher.bytes().to_vec()],
            instruction: redeem,
        },
    ];
    (scene, cases)
}

/// Sends every case in each of the named forms, all of which must be refused with exactly `error`. Returns the world
/// and its cases.
#[track_caller]
fn refuses_each(
    forms: impl Fn(&Case, &Pubkey) -> Vec<(&'static str, Vec<Instruction>)>,
    error: impl Into<u32>,
) -> (Recording, Vec<Case>) {
    let ((mut scene, cases), error) = (cases(), error.into());
    let buyer = scene.buyer.insecure_clone();
    for case in &cases {
        for (form, instructions) in forms(case, &buyer.pubkey()) {
            println!("{}: {form}", case.name);
            scene.world.fails_last(&instructions, &[&buyer], error);
        }
    }
    assert_eq!(scene.world.slot(0).bond, BOND);
    scene.world.assert_invariants();
    (scene, cases)
}

/// An instruction of the Ed25519 program with arbitrary offsets: for each signature, where signature, key and message
/// are, and in which instruction.
fn pointing(offsets: &[[u16; 7]], rest: &[u8]) -> Instruction {
    let mut data = vec![u8::try_from(offsets.len()).expect("few"), 0];
    for field in offsets.iter().flatten() {
        data.extend_from_slice(&field.to_le_bytes());
    }
    data.extend_from_slice(rest);
    Instruction { program_id: ed25519_program(), accounts: vec![], data }
}

fn ed25519_program() -> Pubkey {
    signatures::verify_instruction(&[0; 32], &[]).program_id
}

/// Instructions that the Ed25519 program accepts, but this program must not rely on.
fn other_forms(case: &Case) -> Vec<(&'static str, Vec<Instruction>)> {
    let good = case.ed25519();
    let count = case.signed.len();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = good.clone();
        change(&mut changed.data);
        vec![changed]
    };
    // The fields that say in which instruction signature, key and message are.
    let indices: Vec<usize> =
        (0..count).flat_map(|one| [1, 3, 6].map(|field| 2 + one * 14 + field * 2)).collect();
    let explicit = changed(&|data| {
        for at in &indices {
            data[*at..at + 2].copy_from_slice(&PLACE.to_le_bytes());
        }
    });
    let one_explicit = changed(&|data| {
        let at = indices[indices.len() - 1];
        data[at..at + 2].copy_from_slice(&PLACE.to_le_bytes());
    });
    let padded = changed(&|data| data[1] = 1);
    let longer = changed(&|data| data.push(0));
    let more = [case.signed.clone(), vec![case.signed[0].clone()]].concat();
    let more = vec![signatures::verify_instruction(&case.key, &refs(&more))];
    let none = vec![Instruction { data: vec![0, 0], ..good.clone() }];
    vec![
        ("all indices explicit", explicit),
        ("one index explicit", one_explicit),
        ("padding", padded),
        ("longer", longer),
        ("one signature more", more),
        ("no signature", none),
        ("offsets past the expected form", vec![offsets_past_the_form(case)]),
        ("offsets into another instruction", offsets_into_another_instruction(case)),
    ]
}

/// A message of the attacker's own, and its signature.
fn attackers_message(len: usize) -> (SigningKey, [u8; 64], Vec<u8>) {
    let (key, message) = (node_key(66), vec![7; len]);
    let signature = ed25519_dalek::Signer::sign(&key, &message).to_bytes();
    (key, signature, message)
}

/// The expected form with unsigned messages, followed by the attacker's own message, to which the offsets point.
fn offsets_past_the_form(case: &Case) -> Instruction {
    let (count, body) = (case.signed.len(), case.unsigned_body());
    let (key, signature, message) = attackers_message(case.message_len());
    let start = 2 + count * 14 + body.len();
    let tail = [&signature[..], &key.verifying_key().to_bytes()[..], &message[..]].concat();
    let place = |offset: usize| u16::try_from(start + offset).expect("fits");
    let (here, len) = (u16::MAX, u16::try_from(message.len()).expect("fits"));
    let offsets = vec![[place(0), here, place(64), here, place(96), len, here]; count];
    pointing(&offsets, &[body, tail].concat())
}

/// The expected form with unsigned messages, whose offsets point into the instruction before it, which has the
/// attacker's own message.
fn offsets_into_another_instruction(case: &Case) -> Vec<Instruction> {
    let (key, signature, message) = attackers_message(case.message_len());
    let own = signatures::verify_instruction(&key.verifying_key().to_bytes(), &[(&signature, &message)]);
    let len = u16::try_from(message.len()).expect("fits");
    // The offsets of the form with one signature.
    let offsets = vec![[16 + 32, PLACE, 16, PLACE, 16 + 32 + 64, len, PLACE]; case.signed.len()];
    vec![own, pointing(&offsets, &case.unsigned_body())]
}

#[test]
fn attack_ed25519_instruction_of_another_form() {
    let before = |case: &Case, _: &Pubkey| {
        let forms = other_forms(case).into_iter();
        forms.map(|(form, before)| (form, [before, vec![case.instruction.clone()]].concat())).collect()
    };
    // The last instruction is refused, so the Ed25519 program has accepted the one before.
    let (mut scene, cases) = refuses_each(before, LeaseholdError::SignatureMissing);
    let buyer = scene.buyer.insecure_clone();
    for case in cases {
        scene.world.ok(&[case.ed25519(), case.instruction], &[&buyer]);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_message_of_another_length() {
    let (mut scene, cases) = cases();
    let buyer = scene.buyer.insecure_clone();
    let voucher = scene.world.voucher(2, USD);
    let shorter = &voucher.voucher.bytes()[..199];
    let signature = ed25519_dalek::Signer::sign(&spender(), shorter).to_bytes();
    let signed = signatures::verify_instruction(&public(&spender()).to_bytes(), &[(&signature, shorter)]);
    let redeem = cases[2].instruction.clone();
    scene.world.fails_last(&[signed, redeem.clone()], &[&buyer], LeaseholdError::SignatureMissing);
    // A receipt where a voucher is expected, and the other way round.
    let receipt = cases[0].ed25519();
    scene.world.fails_last(&[receipt, redeem], &[&buyer], LeaseholdError::SignatureMissing);
    let all = [cases[2].ed25519(), cases[0].instruction.clone()];
    scene.world.fails_last(&all, &[&buyer], LeaseholdError::SignatureMissing);
    scene.world.assert_invariants();
}

#[test]
fn attack_signature_forged() {
    let (mut scene, cases) = cases();
    let buyer = scene.buyer.insecure_clone();
    for case in cases {
        let mut forged = case.ed25519();
        for (_, message) in &case.signed {
            assert!(forged.data.windows(message.len()).any(|window| window == message));
        }
        let last = forged.data.len() - 1;
        forged.data[last] ^= 1;
        let failed = scene.world.send(&[forged, case.instruction], &[&buyer]).unwrap_err();
        let by_ed25519 = matches!(failed.err, TransactionError::InstructionError(1, _));
        assert!(by_ed25519, "{}: {:?}", case.name, failed.err);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_signature_that_is_not_right_before() {
    let forms = |case: &Case, buyer: &Pubkey| {
        let (ours, nothing) = (case.instruction.clone(), transfer(buyer, buyer, 1));
        vec![("no signature", vec![ours.clone()]), ("another between", vec![case.ed25519(), nothing, ours])]
    };
    let (mut scene, cases) = refuses_each(forms, LeaseholdError::SignatureMissing);
    let buyer = scene.buyer.insecure_clone();
    for case in cases {
        // The first of all instructions, with the signature after it.
        let instructions = [case.instruction.clone(), case.ed25519()];
        let blockhash = scene.world.svm.latest_blockhash();
        let message = v0::Message::try_compile(&buyer.pubkey(), &instructions, &[], blockhash);
        let message = VersionedMessage::V0(message.expect("compiles"));
        let first = VersionedTransaction::try_new(message, &[&buyer]).expect("everybody signs");
        let failed = scene.world.svm.send_transaction(first).unwrap_err();
        let expected = TransactionError::InstructionError(0, custom(LeaseholdError::SignatureMissing));
        assert_eq!(failed.err, expected, "{}", case.name);
    }
    scene.world.assert_invariants();
}

#[test]
fn attack_forged_instructions_account() {
    let forged = |case: &Case, buyer: &Pubkey| {
        let sysvar: Pubkey = "Sysvar1nstructions1111111111111111111111111".parse().expect("an address");
        let mut forged = case.instruction.clone();
        swap(sysvar, *buyer)(&mut forged);
        assert_ne!(forged, case.instruction);
        vec![("another account", vec![case.ed25519(), forged])]
    };
    refuses_each(forged, ErrorCode::ConstraintAddress);
}

#[test]
fn attack_stray_account_with_a_signature() {
    let stray = |case: &Case, buyer: &Pubkey| {
        let mut stray = case.instruction.clone();
        stray.accounts.push(AccountMeta::new_readonly(*buyer, false));
        vec![("one account more", vec![case.ed25519(), stray])]
    };
    refuses_each(stray, LeaseholdError::StrayAccount);
}
