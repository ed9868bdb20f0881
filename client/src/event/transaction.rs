//! Events in a transaction as RPC nodes return it.

use solana_pubkey::Pubkey;
use solana_transaction_status_client_types::{
    UiInnerInstructions, UiInstruction, UiTransactionStatusMeta, option_serializer::OptionSerializer,
};

use super::{Event, decode};

/// Events of a transaction, in the order they happened. `accounts`: all accounts of the transaction, static and then
/// loaded ones. Instructions of other programs are ignored, whatever their data.
pub fn of_transaction(meta: &UiTransactionStatusMeta, accounts: &[Pubkey]) -> Vec<Event> {
    let OptionSerializer::Some(inner) = &meta.inner_instructions else {
        return Vec::new();
    };
    inner
        .iter()
        .flat_map(|UiInnerInstructions { instructions, .. }| instructions)
        .filter_map(|instruction| match instruction {
            UiInstruction::Compiled(compiled) => Some(compiled),
            UiInstruction::Parsed(_) => None,
        })
        .filter(|compiled| accounts.get(usize::from(compiled.program_id_index)) == Some(&leasehold::ID))
        .filter_map(|compiled| decode(&bs58::decode(&compiled.data).into_vec().ok()?))
        .collect()
}
