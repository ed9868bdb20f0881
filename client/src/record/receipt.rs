//! Signed receipts, and the file formats for them.

use bytemuck::Zeroable;
use ed25519_dalek::{Signer, SigningKey};
use leasehold::state::Receipt;
use serde::Deserialize;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{RecordError, from_base64, signatures, split_signed, to_base64, verify};

/// A receipt of this version and program whose other fields are zero.
pub fn blank() -> Receipt {
    Receipt { tag: Receipt::TAG, program: leasehold::ID.to_bytes(), ..Receipt::zeroed() }
}

/// How receipts and vouchers name a board or a supplier's account: the first 8 bytes of its address.
pub fn prefix(address: &Pubkey) -> [u8; 8] {
    let mut prefix = [0; 8];
    prefix.iter_mut().zip(address.as_array()).for_each(|(to, from)| *to = *from);
    prefix
}

/// A receipt with its machine's signature over [`Receipt::message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    pub receipt: Receipt,
    pub signature: [u8; 64],
}

impl SignedReceipt {
    /// Length of receipt and signature in bytes.
    pub const LEN: usize = Receipt::LEN + 64;

    /// Signs a receipt. `key` is the key of the machine that the receipt names.
    pub fn sign(key: &SigningKey, receipt: Receipt) -> Self {
        SignedReceipt { receipt, signature: key.sign(&receipt.message()).to_bytes() }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`RecordError::NotAReceipt`], [`RecordError::Key`] or [`RecordError::Signature`].
    pub fn verify(&self) -> Result<(), RecordError> {
        Receipt::read(self.receipt.bytes()).ok_or(RecordError::NotAReceipt)?;
        verify(&self.receipt.node_key, &self.receipt.message(), &self.signature)
    }

    /// The inference's id.
    pub fn id(&self) -> [u8; 32] {
        self.receipt.id()
    }

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (receipt, signature) = bytes.split_at_mut(Receipt::LEN);
        receipt.copy_from_slice(self.receipt.bytes());
        signature.copy_from_slice(&self.signature);
        bytes
    }

    /// Decodes the bytes of [`SignedReceipt::to_bytes`]. The signature is not checked.
    ///
    /// # Errors
    /// [`RecordError::Length`] or [`RecordError::NotAReceipt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let (receipt, signature) = split_signed::<{ Receipt::LEN }>(bytes)?;
        let receipt = Receipt::read(receipt).ok_or(RecordError::NotAReceipt)?;
        Ok(SignedReceipt { receipt, signature })
    }

    /// Base64, as in the API and the header `Leasehold-Receipt`.
    pub fn to_base64(&self) -> String {
        to_base64(&self.to_bytes())
    }

    /// Decodes the text of [`SignedReceipt::to_base64`]. The signature is not checked.
    ///
    /// # Errors
    /// [`RecordError::Base64`], [`RecordError::Length`] or [`RecordError::NotAReceipt`].
    pub fn from_base64(text: &str) -> Result<Self, RecordError> {
        Self::from_bytes(&from_base64(text)?)
    }

    /// Instruction that has the Ed25519 program check the signature, for [`crate::instruction::demand_receipt`].
    pub fn instruction(&self) -> Instruction {
        signatures::verify_instruction(&self.receipt.node_key, &[(&self.signature, &self.receipt.message())])
    }
}

/// A receipt as its holder stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptFile {
    pub receipt: SignedReceipt,
    /// Salt of the hashes of request and response; with it the holder can show that a text was hashed.
    pub salt: Option<[u8; 32]>,
}

/// The JSON form; unknown fields are ignored.
#[derive(Deserialize)]
struct ReceiptJson {
    receipt: String,
    salt: Option<String>,
}

impl ReceiptFile {
    /// Reads a file: JSON as the API returns it, the bare base64 text, or the 392 bytes. The signature is not
    /// checked.
    ///
    /// # Errors
    /// As [`SignedReceipt::from_base64`], and [`RecordError::Form`] for JSON of another form.
    pub fn parse(content: &[u8]) -> Result<Self, RecordError> {
        if content.len() == SignedReceipt::LEN && content.starts_with(&Receipt::TAG) {
            return Ok(ReceiptFile { receipt: SignedReceipt::from_bytes(content)?, salt: None });
        }
        let text = std::str::from_utf8(content).map_err(|_| RecordError::Base64)?.trim();
        if !text.starts_with('{') {
            return Ok(ReceiptFile { receipt: SignedReceipt::from_base64(text)?, salt: None });
        }
        let form =
            RecordError::Form { expected: "JSON with `receipt` in base64 and `salt` in 64 hex digits" };
        let json: ReceiptJson = serde_json::from_str(text).map_err(|_| form.clone())?;
        let salt = json.salt.map(|salt| parse_hash(&salt).ok_or(form)).transpose()?;
        Ok(ReceiptFile { receipt: SignedReceipt::from_base64(&json.receipt)?, salt })
    }

    /// The JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({ "receipt": self.receipt.to_base64() });
        if let Some(salt) = self.salt {
            json["salt"] = hex::encode(salt).into();
        }
        json
    }
}

/// Parses a salt or an id of 64 hex digits.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text.trim(), &mut hash).ok()?;
    Some(hash)
}
