//! How much fits in a transaction, measured by serialising one.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

/// Bytes of the largest transaction the network carries.
pub const PACKET_BYTES: usize = 1_232;

/// The most compute units a transaction may request.
pub const MAX_UNITS: u32 = 1_400_000;

/// Bytes of a transaction with these instructions, limit and price of compute units included. So
/// [`crate::sender::Sender`] sends it where a packet has room for that; it leaves out what has none.
pub fn len(payer: &Pubkey, instructions: &[Instruction]) -> usize {
    let mut all = instructions.to_vec();
    all.push(ComputeBudgetInstruction::set_compute_unit_limit(MAX_UNITS));
    all.push(ComputeBudgetInstruction::set_compute_unit_price(u64::MAX));
    bare_len(payer, &all)
}

/// Bytes of a transaction with these instructions and nothing else.
pub fn bare_len(payer: &Pubkey, instructions: &[Instruction]) -> usize {
    let message = Message::new(instructions, Some(payer));
    signed_len(message.header.num_required_signatures.into(), &message.serialize())
}

/// Bytes of a transaction with so many signatures and this message.
pub(crate) fn signed_len(signatures: usize, message: &[u8]) -> usize {
    // The number of signatures takes one byte up to 127 of them.
    1 + signatures * size_of::<Signature>() + message.len()
}

/// How many of the first `items` fit in one transaction whose instruction `build` makes of them.
pub fn most<T>(payer: &Pubkey, items: &[T], build: impl Fn(&[T]) -> Instruction) -> usize {
    // An upper bound: no item takes less than a byte.
    let items = &items[..items.len().min(PACKET_BYTES)];
    let (mut fits, mut exceeds) = (0, items.len() + 1);
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        if len(payer, &[build(&items[..middle])]) <= PACKET_BYTES { fits = middle } else { exceeds = middle }
    }
    fits
}

/// One instruction for each batch of items, as many in each as fit. An item that doesn't fit by itself has a
/// batch by itself, which the sender refuses.
pub fn batches<T>(payer: &Pubkey, items: &[T], build: impl Fn(&[T]) -> Instruction) -> Vec<Instruction> {
    let mut rest = items;
    let mut instructions = Vec::new();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(most(payer, rest, &build).max(1));
        instructions.push(build(batch));
        rest = later;
    }
    instructions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instruction, listing, sample};

    #[test]
    fn batches_are_as_large_as_fits_and_lose_nothing() {
        let board = sample::market().board(0);
        let supplier = board.market.supplier(&sample::wallet(0));
        let slots: Vec<u16> = (0..2_000).collect();
        let build =
            |batch: &[u16]| instruction::retire_machines(&board, sample::wallet(0), supplier, batch.to_vec());
        let made = batches(&sample::wallet(0), &slots, build);
        let most = most(&sample::wallet(0), &slots, build);
        assert!(len(&sample::wallet(0), &[build(&slots[..most])]) <= PACKET_BYTES);
        assert!(len(&sample::wallet(0), &[build(&slots[..most + 1])]) > PACKET_BYTES);
        let expected: Vec<_> = slots.chunks(most).map(build).collect();
        assert_eq!(made, expected);
        assert_eq!(made, listing::retire(&board, sample::wallet(0), supplier, &slots));
        assert_eq!(batches(&sample::wallet(0), &[], build), []);
    }

    #[test]
    fn an_item_that_never_fits_has_a_batch_by_itself() {
        let board = sample::market().board(0);
        let build = |batch: &[u16]| {
            let bitmap = vec![0; batch.len() * 2_000];
            instruction::submit_round(&board, sample::wallet(0), 0, 0, [0; 32], bitmap)
        };
        assert_eq!(batches(&sample::wallet(0), &[1, 2], build).len(), 2);
    }

    #[test]
    fn a_vote_on_a_full_board_fits() {
        let board = sample::market().board(0);
        let vote = instruction::submit_round(&board, sample::wallet(0), 14, 0, [0; 32], vec![0xff; 768]);
        let bytes = len(&sample::wallet(0), &[vote]);
        assert!(bytes <= PACKET_BYTES, "{bytes}");
    }
}
