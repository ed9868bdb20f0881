//! A machine's answer: on the wire ([`Pong`]) and as a keeper stores it ([`SignedPong`]).

use super::{
    BODY_LEN, Challenge, PONG_LEN, PONG_TAG, ProbeError, Pubkey, SIGNED_PONG_LEN, TAG_LEN, array, tree,
    verify,
};

/// An answer on the wire. Nothing in it is trusted until [`SignedPong::new`] pairs it with its challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// [`Challenge::hash`] of the challenge that is answered.
    pub challenge: [u8; 32],
    /// The machine's signature.
    pub signature: [u8; 64],
}

impl Pong {
    /// The datagram.
    pub fn encode(&self) -> [u8; PONG_LEN] {
        let mut datagram = [0; PONG_LEN];
        datagram[..TAG_LEN].copy_from_slice(PONG_TAG);
        datagram[16..48].copy_from_slice(&self.challenge);
        datagram[48..].copy_from_slice(&self.signature);
        datagram
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// [`ProbeError::Length`] or [`ProbeError::Tag`].
    pub fn decode(datagram: &[u8]) -> Result<Self, ProbeError> {
        let datagram: &[u8; PONG_LEN] = datagram
            .try_into()
            .map_err(|_| ProbeError::Length { expected: PONG_LEN, got: datagram.len() })?;
        if datagram[..TAG_LEN] != PONG_TAG[..] {
            return Err(ProbeError::Tag);
        }
        Ok(Self { challenge: array(datagram, 16), signature: array(datagram, 48) })
    }
}

/// A challenge with the machine's signature: a keeper stores it, and shows it to prove a bit of its bitmap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPong {
    pub challenge: Challenge,
    /// The machine's signature over the answer's tag and the challenge.
    pub signature: [u8; 64],
}

impl SignedPong {
    /// Pairs an answer with its challenge, if it answers that challenge and is signed by `node_key`.
    ///
    /// # Errors
    /// [`ProbeError::OtherChallenge`], [`ProbeError::PublicKey`] or [`ProbeError::Signature`].
    pub fn new(challenge: &Challenge, pong: &Pong, node_key: &Pubkey) -> Result<Self, ProbeError> {
        if pong.challenge != challenge.hash() {
            return Err(ProbeError::OtherChallenge);
        }
        let signed = Self { challenge: challenge.clone(), signature: pong.signature };
        signed.verify(node_key)?;
        Ok(signed)
    }

    /// Checks that `node_key` signed the answer.
    ///
    /// # Errors
    /// [`ProbeError::PublicKey`] or [`ProbeError::Signature`].
    pub fn verify(&self, node_key: &Pubkey) -> Result<(), ProbeError> {
        verify(node_key, &self.challenge.pong_message(), &self.signature)
    }

    /// The stored bytes, which are hashed into the tree.
    pub fn encode(&self) -> [u8; SIGNED_PONG_LEN] {
        let mut bytes = [0; SIGNED_PONG_LEN];
        bytes[..BODY_LEN].copy_from_slice(&self.challenge.body());
        bytes[BODY_LEN..].copy_from_slice(&self.signature);
        bytes
    }

    /// Decodes stored bytes. The signature is not checked.
    ///
    /// # Errors
    /// [`ProbeError::Length`] or [`ProbeError::Tag`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProbeError> {
        let bytes: &[u8; SIGNED_PONG_LEN] = bytes
            .try_into()
            .map_err(|_| ProbeError::Length { expected: SIGNED_PONG_LEN, got: bytes.len() })?;
        Ok(Self { challenge: Challenge::from_body(&array(bytes, 0))?, signature: array(bytes, BODY_LEN) })
    }

    /// The answer's leaf in the tree of [`super::pong_root`].
    pub fn leaf(&self) -> [u8; 32] {
        tree::leaf_hash(&self.encode())
    }
}
