//! Instructions of the Ed25519 program in the only form that this program accepts. They must come right before the
//! instruction that relies on them.

use leasehold::instructions::signatures::head;
use solana_instruction::Instruction;
use solana_sdk_ids::ed25519_program;

use super::SignedReceipt;

/// Instruction that has the Ed25519 program check one key's signatures, each with its message.
///
/// All messages must have the same length and fit in a transaction; the Ed25519 program refuses anything else.
pub fn verify_instruction(key: &[u8; 32], signed: &[(&[u8; 64], &[u8])]) -> Instruction {
    let len = signed.first().map_or(0, |(_, message)| message.len());
    let count = u8::try_from(signed.len()).ok();
    let mut data = count.and_then(|count| head(count, len)).unwrap_or_default();
    data.extend_from_slice(key);
    for (signature, _) in signed {
        data.extend_from_slice(*signature);
    }
    for (_, message) in signed {
        data.extend_from_slice(message);
    }
    Instruction { program_id: ed25519_program::ID, accounts: Vec::new(), data }
}

/// Instruction that has two receipts of one machine checked, for [`crate::instruction::prove_equivocation`].
pub fn of_both(one: &SignedReceipt, other: &SignedReceipt) -> Instruction {
    let messages = [one, other].map(|signed| signed.receipt.message());
    let [first, second] = &messages;
    verify_instruction(&one.receipt.node_key, &[(&one.signature, first), (&other.signature, second)])
}
