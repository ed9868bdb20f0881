//! Transactions and the packet they must fit in: messages, and their length measured by serialising them.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, CompileError, Message, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

/// Bytes of the largest transaction the network carries.
pub const PACKET_BYTES: usize = 1_232;

/// The most compute units a transaction may request.
pub const MAX_UNITS: u32 = 1_400_000;

/// Message with these instructions: a legacy one without lookup tables, else one of version 0.
///
/// # Errors
/// [`CompileError`] if the instructions name more accounts than a message of version 0 can.
pub fn message(
    payer: &Pubkey,
    instructions: &[Instruction],
    lookup_tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> Result<VersionedMessage, CompileError> {
    if lookup_tables.is_empty() {
        let message = Message::new_with_blockhash(instructions, Some(payer), &blockhash);
        return Ok(VersionedMessage::Legacy(message));
    }
    v0::Message::try_compile(payer, instructions, lookup_tables, blockhash).map(VersionedMessage::V0)
}

/// Bytes of a legacy transaction with these instructions, limit and price of compute units included.
///
/// The sender sends it like this if a packet has room for it, and leaves out price and limit if not.
pub fn len(payer: &Pubkey, instructions: &[Instruction]) -> usize {
    let mut all = instructions.to_vec();
    all.push(ComputeBudgetInstruction::set_compute_unit_limit(MAX_UNITS));
    all.push(ComputeBudgetInstruction::set_compute_unit_price(u64::MAX));
    bare_len(payer, &all)
}

/// Bytes of a legacy transaction with these instructions and nothing else.
pub fn bare_len(payer: &Pubkey, instructions: &[Instruction]) -> usize {
    message_len(&VersionedMessage::Legacy(Message::new(instructions, Some(payer))))
}

/// Bytes of a transaction with these instructions and nothing else, shortened by lookup tables if there are any.
///
/// # Errors
/// As [`message`].
pub fn len_with_tables(
    payer: &Pubkey,
    instructions: &[Instruction],
    lookup_tables: &[AddressLookupTableAccount],
) -> Result<usize, CompileError> {
    Ok(message_len(&message(payer, instructions, lookup_tables, Hash::default())?))
}

/// Bytes of a transaction with this message and its signatures.
pub fn message_len(message: &VersionedMessage) -> usize {
    let signatures = usize::from(message.header().num_required_signatures);
    // The number of signatures takes one byte up to 127 of them.
    1 + signatures * size_of::<Signature>() + message.serialize().len()
}

/// How many of the first `items` fit in one legacy transaction with the instruction that `build` makes of them.
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

/// Splits items into batches, as many in each as fit in a transaction, and builds one instruction per batch. An item
/// that doesn't fit by itself becomes a batch of its own, which the sender refuses.
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
    use leasehold::{
        constants::MAX_AVOID,
        instructions::{MeterArgs, OpenLeaseArgs},
        math::matching::{Criteria, CutOff, Place},
    };
    use solana_instruction::AccountMeta;

    use super::*;
    use crate::{instruction, listing, quote, sample};

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

    /// With every option set, as many slots to avoid as the program takes, and an owner that is not the buyer.
    #[test]
    fn the_largest_request_fits() {
        let (board, buyer) = (sample::market().board(0), sample::wallet(0));
        let criteria = Criteria { class: Some(1), place: Place::Country(276), ..quote::ANY };
        let args = OpenLeaseArgs {
            nonce: u64::MAX,
            owner: sample::wallet(1),
            criteria: Criteria { metered: true, ..criteria },
            gpus: u32::MAX,
            rounds: u32::MAX,
            max_deposit: u64::MAX,
            group: Some(u64::MAX),
            hint: Some(CutOff { price: u64::MAX, score: 1, slot: u16::MAX }),
            meter: Some(MeterArgs { spender: sample::wallet(2), deposit: u64::MAX }),
            avoid: vec![u16::MAX; MAX_AVOID],
            access: Some([u8::MAX; 32]),
        };
        let open = instruction::open_lease(&board, buyer, sample::wallet(3), args);
        let bytes = len(&buyer, core::slice::from_ref(&open));
        assert!(bytes <= PACKET_BYTES, "{bytes}");
        // Somebody else may pay the transaction's fee: another key and another signature.
        let sponsored = len(&sample::wallet(4), &[open]);
        assert!(sponsored <= PACKET_BYTES, "{sponsored}");
    }

    /// An instruction that names `accounts` accounts, and a table of all of them.
    fn named(accounts: u8) -> (Instruction, AddressLookupTableAccount) {
        let addresses: Vec<_> = (0..accounts).map(|byte| Pubkey::new_from_array([byte + 1; 32])).collect();
        let metas = addresses.iter().map(|address| AccountMeta::new(*address, false)).collect();
        let instruction = Instruction { program_id: leasehold::ID, accounts: metas, data: vec![7; 8] };
        (instruction, AddressLookupTableAccount { key: Pubkey::new_from_array([200; 32]), addresses })
    }

    #[test]
    fn a_lookup_table_shortens_a_message_by_31_bytes_per_account() {
        let payer = sample::wallet(0);
        let (instruction, table) = named(40);
        let instructions = [instruction];
        assert!(bare_len(&payer, &instructions) > PACKET_BYTES);
        let short = len_with_tables(&payer, &instructions, core::slice::from_ref(&table)).unwrap();
        assert!(short <= PACKET_BYTES, "{short}");
        // The version takes a byte; the list of tables one, the table's address 32, and the counts of its writable
        // and readonly accounts one each.
        assert_eq!(bare_len(&payer, &instructions) - short, 40 * 31 - 1 - 1 - 32 - 2);
        let message = message(&payer, &instructions, &[table], Hash::default()).unwrap();
        let VersionedMessage::V0(message) = message else { panic!("{message:?}") };
        assert_eq!(message.account_keys, [payer, leasehold::ID], "signers and programs are never looked up");
        assert_eq!(message.address_table_lookups[0].writable_indexes, (0..40).collect::<Vec<u8>>());
    }

    #[test]
    fn a_message_without_lookup_tables_is_a_legacy_one() {
        let (instruction, _) = named(3);
        let message = message(&sample::wallet(0), &[instruction], &[], Hash::default()).unwrap();
        assert!(matches!(message, VersionedMessage::Legacy(_)));
    }
}
