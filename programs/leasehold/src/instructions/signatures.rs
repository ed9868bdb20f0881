//! Ed25519 signatures over messages of the protocol, which Solana's Ed25519 program checked in the instruction before.

use anchor_lang::prelude::*;
use solana_instructions_sysvar::{load_current_index_checked, load_instruction_at_checked};
use solana_sdk_ids::ed25519_program;

use crate::error::LeaseholdError;

/// Bytes before the offsets: number of signatures, and padding.
const START: usize = 2;
/// Bytes of the offsets of one signature.
const OFFSETS: usize = 14;
const KEY: usize = 32;
const SIGNATURE: usize = 64;
/// Index that means "this instruction".
const HERE: u16 = u16::MAX;

/// One key's signatures over messages of one length.
pub struct Signed {
    pub key: [u8; 32],
    data: Vec<u8>,
    first: usize,
    len: usize,
}

impl Signed {
    /// The message of a signature, counted from 0.
    pub fn message(&self, index: usize) -> Result<&[u8]> {
        let start = index.saturating_mul(self.len).saturating_add(self.first);
        let message = self.data.get(start..start.saturating_add(self.len));
        message.ok_or_else(|| LeaseholdError::SignatureMissing.into())
    }
}

/// Signatures that the Ed25519 program checked in the instruction before this one: `count` of one key over
/// messages of `len` bytes.
///
/// Only one form is accepted, so that no offset can point elsewhere: head, offsets of each signature, key, signatures,
/// messages, and nothing else.
pub fn signed(instructions: &AccountInfo, count: u8, len: usize) -> Result<Signed> {
    let missing = || LeaseholdError::SignatureMissing;
    let current = load_current_index_checked(instructions)?;
    let before = current.checked_sub(1).ok_or_else(missing)?;
    let instruction = load_instruction_at_checked(usize::from(before), instructions)?;
    require_keys_eq!(instruction.program_id, ed25519_program::ID, LeaseholdError::SignatureMissing);

    let head = head(count, len).ok_or_else(missing)?;
    let (signatures, key) = (usize::from(count).saturating_mul(SIGNATURE), head.len());
    let first = key.saturating_add(KEY).saturating_add(signatures);
    let end = usize::from(count).saturating_mul(len).saturating_add(first);
    let data = instruction.data;
    require!(data.len() == end && data.starts_with(&head), LeaseholdError::SignatureMissing);
    let bytes = data.get(key..key.saturating_add(KEY)).ok_or_else(missing)?;
    let key = bytes.try_into().map_err(|_| missing())?;
    Ok(Signed { key, data, first, len })
}

/// First bytes of instruction data in that form.
pub fn head(count: u8, len: usize) -> Option<Vec<u8>> {
    let signatures = usize::from(count);
    let key = signatures.checked_mul(OFFSETS)?.checked_add(START)?;
    let first_signature = key.checked_add(KEY)?;
    let first_message = signatures.checked_mul(SIGNATURE)?.checked_add(first_signature)?;
    let mut head = vec![count, 0];
    for index in 0..signatures {
        let signature = index.checked_mul(SIGNATURE)?.checked_add(first_signature)?;
        let message = index.checked_mul(len)?.checked_add(first_message)?;
        let fields = [signature, HERE.into(), key, HERE.into(), message, len, HERE.into()];
        for field in fields {
            head.extend_from_slice(&u16::try_from(field).ok()?.to_le_bytes());
        }
    }
    Some(head)
}
