//! Call tokens: with them the buyer of a metered lease calls its machine.

use ed25519_dalek::{Signer, SigningKey};
use solana_pubkey::Pubkey;

use super::{RecordError, from_base64, split_signed, to_base64, verify};

/// Authorises its bearer to call the machine of a metered lease until it expires. Whoever has it can use it, so it must
/// be sent over TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallToken {
    /// Address of the lease's account.
    pub lease: Pubkey,
    /// First round of the lease: tells leases at one address apart.
    pub from: u32,
    /// Unix seconds from which on it is invalid.
    pub expiry: u64,
}

/// A token with the signature over its bytes by the lease's `spender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedCall {
    pub token: CallToken,
    pub signature: [u8; 64],
}

impl CallToken {
    /// Domain separator: no voucher or transaction that the spender signs begins so.
    pub const TAG: [u8; 16] = *b"LEASEHOLD:CALL:1";
    /// Tag, lease, first round, expiry; numbers in little-endian order.
    pub const LEN: usize = 16 + 32 + 4 + 8;
    /// Prefix of the text form, before the base64 of bytes and signature.
    pub const PREFIX: &str = "leasehold:";

    fn to_bytes(self) -> [u8; Self::LEN] {
        let (lease, from, expiry) =
            (self.lease.to_bytes(), self.from.to_le_bytes(), self.expiry.to_le_bytes());
        let mut bytes = [0; Self::LEN];
        let all = Self::TAG.iter().chain(&lease).chain(&from).chain(&expiry);
        bytes.iter_mut().zip(all).for_each(|(to, byte)| *to = *byte);
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let rest = bytes.strip_prefix(&Self::TAG)?;
        let (lease, rest) = rest.split_first_chunk::<32>()?;
        let (from, expiry) = rest.split_first_chunk::<4>()?;
        Some(CallToken {
            lease: Pubkey::new_from_array(*lease),
            from: u32::from_le_bytes(*from),
            expiry: u64::from_le_bytes(expiry.try_into().ok()?),
        })
    }
}

impl SignedCall {
    /// Signs a token. `key` is the lease's `spender`.
    pub fn sign(key: &SigningKey, token: CallToken) -> Self {
        SignedCall { token, signature: key.sign(&token.to_bytes()).to_bytes() }
    }

    /// Checks that `spender` signed it. The caller must compare lease and expiry.
    ///
    /// # Errors
    /// [`RecordError::Key`] or [`RecordError::Signature`].
    pub fn verify(&self, spender: &Pubkey) -> Result<(), RecordError> {
        verify(spender.as_array(), &self.token.to_bytes(), &self.signature)
    }

    /// Text form: the API key for clients of OpenAI's API.
    pub fn encode(&self) -> String {
        let bytes = [self.token.to_bytes().as_slice(), &self.signature].concat();
        [CallToken::PREFIX, &to_base64(&bytes)].concat()
    }

    /// Decodes the text form. The signature is not checked.
    ///
    /// # Errors
    /// [`RecordError::Form`], [`RecordError::Base64`] or [`RecordError::Length`].
    pub fn decode(text: &str) -> Result<Self, RecordError> {
        let wrong = RecordError::Form { expected: "a call token of version 1" };
        let bytes = from_base64(text.trim().strip_prefix(CallToken::PREFIX).ok_or(wrong.clone())?)?;
        let (token, signature) = split_signed::<{ CallToken::LEN }>(&bytes)?;
        Ok(SignedCall { token: CallToken::from_bytes(token).ok_or(wrong)?, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spender() -> SigningKey {
        SigningKey::from_bytes(&[2; 32])
    }

    fn public(key: &SigningKey) -> Pubkey {
        Pubkey::new_from_array(key.verifying_key().to_bytes())
    }

    fn token() -> CallToken {
        CallToken { lease: Pubkey::new_from_array([0x1e; 32]), from: 990, expiry: 1_700_000_000 }
    }

    #[test]
    fn a_call_token_is_decoded_from_its_text_form() {
        let signed = SignedCall::sign(&spender(), token());
        let text = signed.encode();
        assert_eq!(SignedCall::decode(&text), Ok(signed));
        assert_eq!(SignedCall::decode(&format!(" {text}\n")), Ok(signed));
        signed.verify(&public(&spender())).unwrap();
        let bytes = from_base64(&text["leasehold:".len()..]).unwrap();
        assert_eq!(bytes.len(), 124);
        assert_eq!(&bytes[..16], b"LEASEHOLD:CALL:1");
        assert_eq!(bytes[16..48], [0x1e; 32]);
        assert_eq!(bytes[48..60], [0xde, 3, 0, 0, 0, 0xf1, 0x53, 0x65, 0, 0, 0, 0]);
        assert_eq!(bytes[60..], signed.signature);
    }

    #[test]
    fn a_changed_call_token_has_no_valid_signature() {
        let signed = SignedCall::sign(&spender(), token());
        let by_other = SignedCall::sign(&SigningKey::from_bytes(&[3; 32]), token());
        let spender = public(&spender());
        let changed = [
            SignedCall { token: CallToken { lease: spender, ..token() }, ..signed },
            SignedCall { token: CallToken { from: 991, ..token() }, ..signed },
            SignedCall { token: CallToken { expiry: u64::MAX, ..token() }, ..signed },
            by_other,
        ];
        for forged in changed {
            assert_eq!(forged.verify(&spender), Err(RecordError::Signature(spender)));
        }
    }

    #[test]
    fn malformed_call_tokens_are_refused() {
        let form = RecordError::Form { expected: "a call token of version 1" };
        let encoded = |bytes: &[u8]| SignedCall::decode(&[CallToken::PREFIX, &to_base64(bytes)].concat());
        assert_eq!(SignedCall::decode("sk-123"), Err(form.clone()));
        assert_eq!(SignedCall::decode("leasehold:!"), Err(RecordError::Base64));
        assert_eq!(encoded(&[0; 123]), Err(RecordError::Length { expected: 124, got: 123 }));
        assert_eq!(encoded(&[0; 125]), Err(RecordError::Length { expected: 124, got: 125 }));
        assert_eq!(encoded(&[0; 124]), Err(form));
    }
}
