//! Proofs that a receipt is in a log, verified with the log's account alone.

use leasehold::{
    instructions::BatchProof,
    math::sum_tree::{SumNode, climb},
    state::BatchHeader,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{LogData, RecordError, SignedReceipt, receipt::parse_hash};
use crate::{address, instruction, text};

/// A signed receipt with its path to a log: through its batch's tree to the batch, and from the batch to the log.
///
/// JSON: `{receipt: base64, log, header: hex, index, batch_path: [hex], place, path: [{hash, units, price}]}`,
/// with sums as strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    #[serde(with = "receipt_text")]
    pub receipt: SignedReceipt,
    /// Address of the log.
    #[serde(with = "text::key")]
    pub log: Pubkey,
    #[serde(with = "header_text")]
    pub header: BatchHeader,
    /// Index of the batch in the log.
    pub index: u64,
    /// Hashes beside the path from the batch to its peak, lowest first. They depend on the log's number of batches.
    #[serde(with = "hash_texts")]
    pub batch_path: Vec<[u8; 32]>,
    /// Index of the receipt in the batch.
    pub place: u32,
    /// Nodes beside the path from the receipt to the batch's root, lowest first.
    #[serde(with = "text::nodes")]
    pub path: Vec<SumNode>,
}

/// Facts that a verified proof shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub id: [u8; 32],
    /// Number of the receipt among its machine's.
    pub seq: u64,
    pub header: BatchHeader,
    /// Account of the log's supplier.
    pub supplier: Pubkey,
    /// Number of batches in the log when it was read.
    pub batches: u64,
    /// Sums over all receipts of the batch before this one: compute units and payment units.
    pub units_before: u64,
    pub price_before: u64,
}

impl Proof {
    /// Checks every step, from the machine's signature to the log. `log_account_data` must be the data of an account of
    /// this program at the address [`Proof::log`], read from a trusted RPC node.
    ///
    /// # Errors
    /// The first step that fails, in this order: [`RecordError::NotAReceipt`], [`RecordError::Key`],
    /// [`RecordError::Signature`], [`RecordError::OtherMachine`], [`RecordError::OtherLease`],
    /// [`RecordError::OtherPlace`], [`RecordError::NotInBatch`], [`RecordError::Log`],
    /// [`RecordError::OtherLog`], [`RecordError::OtherSupplier`], [`RecordError::NotInLog`].
    pub fn verify(&self, log_account_data: &[u8]) -> Result<Verified, RecordError> {
        self.receipt.verify()?;
        let (units_before, price_before) = self.verify_in_batch()?;
        let log = LogData::new(log_account_data)?;
        let (log, _) = log.view()?;
        let found = address::log(&log.supplier);
        if found != self.log {
            return Err(RecordError::OtherLog { named: self.log, found });
        }
        if !log.supplier.as_ref().starts_with(&self.receipt.receipt.supplier) {
            return Err(RecordError::OtherSupplier { log: log.supplier });
        }
        if !log.holds(&self.header, self.index, &self.batch_path) {
            return Err(RecordError::NotInLog { batches: log.batches });
        }
        Ok(Verified {
            id: self.receipt.id(),
            seq: self.receipt.receipt.seq,
            header: self.header,
            supplier: log.supplier,
            batches: log.batches,
            units_before,
            price_before,
        })
    }

    /// Checks that the receipt is at its index in the batch. Returns the sums before it: compute units and payment units.
    fn verify_in_batch(&self) -> Result<(u64, u64), RecordError> {
        let (receipt, header) = (&self.receipt.receipt, &self.header);
        let listed = (header.node_key, header.slot, header.generation);
        if listed != (receipt.node_key, receipt.slot, receipt.generation) {
            let [batch, receipt] = [header.node_key, receipt.node_key].map(Pubkey::new_from_array);
            return Err(RecordError::OtherMachine { batch, receipt });
        }
        if !receipt.is_of(&header.board, header.lease) {
            return Err(RecordError::OtherLease);
        }
        let (place, expected) = (self.place, receipt.seq);
        if header.index_of(expected) != Some(place) {
            let found = header.first_seq.saturating_add(u64::from(place));
            return Err(RecordError::OtherPlace { place, found, expected });
        }
        let proven = climb(receipt.leaf(), place, header.count, &self.path)
            .filter(|proven| proven.root == header.root)
            .ok_or(RecordError::NotInBatch)?;
        Ok((proven.units_before, proven.price_before))
    }

    /// Proof that the batch is in the log, for instructions.
    pub fn batch(&self) -> BatchProof {
        BatchProof { header: self.header, index: self.index, path: self.batch_path.clone() }
    }

    /// Instruction that has the program check that the receipt is in the log.
    pub fn instruction(&self) -> Instruction {
        let leaf = self.receipt.receipt.leaf();
        instruction::verify_receipt(self.log, leaf, self.place, self.path.clone(), self.batch())
    }
}

mod receipt_text {
    use super::*;

    pub fn serialize<S: Serializer>(receipt: &SignedReceipt, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&receipt.to_base64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedReceipt, D::Error> {
        SignedReceipt::from_base64(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

mod header_text {
    use super::*;

    pub fn serialize<S: Serializer>(header: &BatchHeader, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytemuck::bytes_of(header)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BatchHeader, D::Error> {
        let mut bytes = [0; BatchHeader::LEN];
        hex::decode_to_slice(String::deserialize(from)?, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytemuck::pod_read_unaligned(&bytes))
    }
}

mod hash_texts {
    use super::*;

    pub fn serialize<S: Serializer>(hashes: &[[u8; 32]], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(hashes.iter().map(hex::encode))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 32]>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let hashes = texts.iter().map(|text| parse_hash(text)).collect::<Option<Vec<_>>>();
        hashes.ok_or_else(|| D::Error::custom("a hash has 64 hex digits"))
    }
}
