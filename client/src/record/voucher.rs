//! Signed vouchers.

use bytemuck::Zeroable;
use ed25519_dalek::{Signer, SigningKey};
use leasehold::state::Voucher;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{RecordError, from_base64, signatures, split_signed, to_base64, verify};

/// A voucher of this version and program whose other fields are zero.
pub fn blank() -> Voucher {
    Voucher { tag: Voucher::TAG, program: leasehold::ID.to_bytes(), ..Voucher::zeroed() }
}

/// A voucher with the signature over its bytes by the lease's `spender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedVoucher {
    pub voucher: Voucher,
    pub signature: [u8; 64],
}

impl SignedVoucher {
    /// Length of voucher and signature in bytes.
    pub const LEN: usize = Voucher::LEN + 64;

    /// Signs a voucher. `key` is the lease's `spender`.
    pub fn sign(key: &SigningKey, voucher: Voucher) -> Self {
        SignedVoucher { voucher, signature: key.sign(voucher.bytes()).to_bytes() }
    }

    /// Checks that `spender` signed it.
    ///
    /// # Errors
    /// [`RecordError::NotAVoucher`], [`RecordError::Key`] or [`RecordError::Signature`].
    pub fn verify(&self, spender: &Pubkey) -> Result<(), RecordError> {
        Voucher::read(self.voucher.bytes()).ok_or(RecordError::NotAVoucher)?;
        verify(spender.as_array(), self.voucher.bytes(), &self.signature)
    }

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (voucher, signature) = bytes.split_at_mut(Voucher::LEN);
        voucher.copy_from_slice(self.voucher.bytes());
        signature.copy_from_slice(&self.signature);
        bytes
    }

    /// Decodes the bytes of [`SignedVoucher::to_bytes`]. The signature is not checked.
    ///
    /// # Errors
    /// [`RecordError::Length`] or [`RecordError::NotAVoucher`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let (voucher, signature) = split_signed::<{ Voucher::LEN }>(bytes)?;
        let voucher = Voucher::read(voucher).ok_or(RecordError::NotAVoucher)?;
        Ok(SignedVoucher { voucher, signature })
    }

    /// Base64, as the node's API takes it.
    pub fn to_base64(&self) -> String {
        to_base64(&self.to_bytes())
    }

    /// Decodes the text of [`SignedVoucher::to_base64`]. The signature is not checked.
    ///
    /// # Errors
    /// [`RecordError::Base64`], [`RecordError::Length`] or [`RecordError::NotAVoucher`].
    pub fn from_base64(text: &str) -> Result<Self, RecordError> {
        Self::from_bytes(&from_base64(text)?)
    }

    /// Instruction that has the Ed25519 program check the signature of `spender`, for
    /// [`crate::instruction::redeem_voucher`].
    pub fn instruction(&self, spender: &Pubkey) -> Instruction {
        signatures::verify_instruction(spender.as_array(), &[(&self.signature, self.voucher.bytes())])
    }
}
