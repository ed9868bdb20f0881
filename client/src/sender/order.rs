//! A transaction to be sent.

use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;

use super::{AnySigner, OnSigned};

/// A transaction as the caller wants it sent.
pub(super) struct Order<'a> {
    pub instructions: &'a [Instruction],
    pub signers: Vec<&'a AnySigner>,
    pub payer: &'a AnySigner,
    pub units: Option<u32>,
    pub lookup_tables: &'a [AddressLookupTableAccount],
    pub on_signed: Option<&'a OnSigned<'a>>,
}
