//! Records of what was computed: signed receipts, vouchers, call tokens, and proofs that a receipt is in a log.
//!
//! A signed receipt says which machine answered, for whom, how much and when. A [`Proof`] shows, with the log's account
//! alone, that the receipt is in the log. Neither shows that the model ran faithfully.

pub mod call;
pub mod log;
pub mod proof;
pub mod receipt;
pub mod signatures;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
pub mod voucher;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

pub use call::{CallToken, SignedCall};
pub use log::LogData;
pub use proof::{Proof, Verified};
pub use receipt::{ReceiptFile, SignedReceipt};
pub use voucher::SignedVoucher;

use crate::decode::DecodeError;

/// Why a receipt, a voucher or a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("it has {got} bytes instead of {expected}: pass it unchanged")]
    Length { expected: usize, got: usize },
    #[error("it is not base64: pass it unchanged")]
    Base64,
    #[error("it is not {expected}: pass it unchanged")]
    Form { expected: &'static str },
    #[error("it is not a receipt of version 2 of this program: check the file")]
    NotAReceipt,
    #[error("it is not a voucher of version 2 of this program: check the file")]
    NotAVoucher,
    #[error("{0} is not an Ed25519 key: the record is forged")]
    Key(Pubkey),
    #[error("the signature is not by {0}: the record is forged or was changed")]
    Signature(Pubkey),
    #[error("the log can't be decoded: {0}")]
    Log(#[from] DecodeError),
    #[error(
        "the proof names log {named}, but the account is the log at {found}: read the log that the proof names"
    )]
    OtherLog { named: Pubkey, found: Pubkey },
    #[error(
        "the receipt names another supplier than {log}, whose log this is: the machine lied, so pay nothing for it"
    )]
    OtherSupplier { log: Pubkey },
    #[error(
        "the batch is of machine {batch} and the receipt of {receipt}, or their slots differ: ask another archive"
    )]
    OtherMachine { batch: Pubkey, receipt: Pubkey },
    #[error("the batch is of another lease than the receipt: ask another archive")]
    OtherLease,
    #[error(
        "index {place} of the batch has number {found}, but the receipt has {expected}: ask another archive"
    )]
    OtherPlace { place: u32, found: u64, expected: u64 },
    #[error("the receipt is not in the batch: ask another archive")]
    NotInBatch,
    #[error(
        "the batch is not in the log as of {batches} batches: read log and proof again, or ask another archive"
    )]
    NotInLog { batches: u64 },
}

/// Salted hash of a request's or response's body, as receipts have it: sha256(salt | body).
pub fn salted(salt: &[u8; 32], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(body).finalize().into()
}

/// How receipts and vouchers name a cluster: the first 8 bytes of its genesis hash.
pub fn cluster(genesis: &Hash) -> [u8; 8] {
    let mut cluster = [0; 8];
    cluster.iter_mut().zip(genesis.as_bytes()).for_each(|(to, from)| *to = *from);
    cluster
}

/// Checks a signature as Solana's Ed25519 program does.
fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), RecordError> {
    let name = Pubkey::new_from_array(*key);
    let key = VerifyingKey::from_bytes(key).map_err(|_| RecordError::Key(name))?;
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| RecordError::Signature(name))
}

fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Result<Vec<u8>, RecordError> {
    STANDARD.decode(text.trim()).map_err(|_| RecordError::Base64)
}

/// A message of `LEN` bytes, and the signature after it.
fn split_signed<const LEN: usize>(bytes: &[u8]) -> Result<(&[u8; LEN], [u8; 64]), RecordError> {
    let wrong = RecordError::Length { expected: LEN.saturating_add(64), got: bytes.len() };
    let (message, signature) = bytes.split_first_chunk::<LEN>().ok_or(wrong.clone())?;
    Ok((message, signature.try_into().map_err(|_| wrong)?))
}
