//! The probe: a keeper's signed challenge and a machine's signed answer, each one UDP datagram.
//!
//! A challenge, [`CHALLENGE_LEN`] = 256 bytes, all integers little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag `LEASEHOLD:PING:1` |
//! | 16 | 32 | program |
//! | 48 | 32 | market |
//! | 80 | 32 | board |
//! | 112 | 4 | slot, u32 |
//! | 116 | 4 | generation of the slot, u32 |
//! | 120 | 4 | round, u32 |
//! | 124 | 4 | cluster: the first bytes of its genesis hash |
//! | 128 | 32 | keeper, ed25519 public key |
//! | 160 | 32 | seed, random, drawn by the keeper for this challenge alone |
//! | 192 | 64 | keeper's ed25519 signature over bytes 0..192 |
//!
//! An answer, [`PONG_LEN`] = 112 bytes, always shorter than its challenge:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag `LEASEHOLD:PONG:1` |
//! | 16 | 32 | sha256 of bytes 0..192 of the challenge |
//! | 48 | 64 | machine's ed25519 signature over `LEASEHOLD:PONG:1` and bytes 16..192 of the challenge |
//!
//! An answer as a keeper stores it, [`SIGNED_PONG_LEN`] = 256 bytes: bytes 0..192 of the challenge, then the
//! machine's signature. Its leaf in the tree behind `pong_root` is `sha256(0x00 | those 256 bytes)`;
//! slot, generation and round are at the offsets above. See [`tree`] for the tree.
//!
//! The answer is bound to cluster, program, market, board, slot, generation, round, keeper and seed, so replays are
//! useless: a challenge sent twice has the same answer (ed25519 signatures are deterministic), and that answer serves
//! only the keeper it names in the round it names. A machine keeps no state. It answers for its own slots and generations
//! alone, so whoever lists its key or its address somewhere else lists a machine that does not answer. A challenge is no valid Solana transaction signed by
//! the keeper: its first bytes would announce 76 signatures and 83 account keys in 176 bytes.
//!
//! Signatures are verified strictly (no points of small order, canonical encodings), as Solana's ed25519
//! program does. Batch verification is not used: it accepts signatures that strict verification refuses, so a machine
//! could make a keeper set a bit that the keeper cannot prove later.

mod pong;
#[cfg(test)]
mod tests;
pub mod tree;

pub use anchor_lang::prelude::Pubkey;
pub use ed25519_dalek::SigningKey;
pub use pong::{Pong, SignedPong};
pub use tree::{PongTree, pong_root, verify_proof};

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest, Sha256};

/// First 16 bytes of every challenge.
pub const CHALLENGE_TAG: &[u8; TAG_LEN] = b"LEASEHOLD:PING:1";
/// First 16 bytes of every answer, and of the message that a machine signs.
pub const PONG_TAG: &[u8; TAG_LEN] = b"LEASEHOLD:PONG:1";
/// Bytes of a challenge datagram.
pub const CHALLENGE_LEN: usize = BODY_LEN + 64;
/// Bytes of an answer datagram.
pub const PONG_LEN: usize = TAG_LEN + 32 + 64;
/// Bytes of a stored answer: the challenge without its signature, then the machine's signature.
pub const SIGNED_PONG_LEN: usize = BODY_LEN + 64;

const TAG_LEN: usize = 16;
const BODY_LEN: usize = 192;

// An answer longer than its challenge would let a forged source address multiply traffic.
const _: () = assert!(PONG_LEN <= CHALLENGE_LEN);

/// A cluster as challenges name it: the first bytes of its genesis hash.
pub fn cluster(genesis: &[u8; 32]) -> [u8; 4] {
    array(genesis, 0)
}

/// Why bytes are not a valid challenge or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("the datagram has {got} bytes instead of {expected}")]
    Length { expected: usize, got: usize },
    #[error("the datagram does not begin with the tag of this version")]
    Tag,
    #[error("the signing key is not the key that the challenge names as its keeper")]
    WrongKeeper,
    #[error("the answer is for another challenge")]
    OtherChallenge,
    #[error("the public key is not a valid ed25519 key")]
    PublicKey,
    #[error("the signature is not by the expected key")]
    Signature,
}

/// A keeper's challenge to one machine in one round. The fields are those of the byte table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub program: Pubkey,
    pub market: Pubkey,
    pub board: Pubkey,
    /// Index of the machine on its board.
    pub slot: u32,
    /// Generation of the slot; a later generation is another machine.
    pub generation: u32,
    /// The round that runs, as the board counts rounds.
    pub round: u32,
    /// First bytes of the cluster's genesis hash, see [`cluster`].
    pub cluster: [u8; 4],
    /// ed25519 public key of the keeper that signs the challenge.
    pub keeper: Pubkey,
    /// 32 random bytes, so that no answer can be signed in advance.
    pub seed: [u8; 32],
}

impl Challenge {
    /// Bytes 0..192 of the datagram: all but the keeper's signature.
    pub fn body(&self) -> [u8; BODY_LEN] {
        let mut body = [0; BODY_LEN];
        body[..16].copy_from_slice(CHALLENGE_TAG);
        body[16..48].copy_from_slice(self.program.as_ref());
        body[48..80].copy_from_slice(self.market.as_ref());
        body[80..112].copy_from_slice(self.board.as_ref());
        body[112..116].copy_from_slice(&self.slot.to_le_bytes());
        body[116..120].copy_from_slice(&self.generation.to_le_bytes());
        body[120..124].copy_from_slice(&self.round.to_le_bytes());
        body[124..128].copy_from_slice(&self.cluster);
        body[128..160].copy_from_slice(self.keeper.as_ref());
        body[160..192].copy_from_slice(&self.seed);
        body
    }

    fn from_body(body: &[u8; BODY_LEN]) -> Result<Self, ProbeError> {
        if body[..16] != CHALLENGE_TAG[..] {
            return Err(ProbeError::Tag);
        }
        Ok(Self {
            program: Pubkey::from(array(body, 16)),
            market: Pubkey::from(array(body, 48)),
            board: Pubkey::from(array(body, 80)),
            slot: u32::from_le_bytes(array(body, 112)),
            generation: u32::from_le_bytes(array(body, 116)),
            round: u32::from_le_bytes(array(body, 120)),
            cluster: array(body, 124),
            keeper: Pubkey::from(array(body, 128)),
            seed: array(body, 160),
        })
    }

    /// sha256 of the body, by which an answer names its challenge.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.body()).into()
    }

    /// Signs the challenge and returns the datagram to send.
    ///
    /// # Errors
    /// [`ProbeError::WrongKeeper`] if `keeper` is not the key of `self.keeper`: machines ignore such a challenge.
    pub fn sign(&self, keeper: &SigningKey) -> Result<[u8; CHALLENGE_LEN], ProbeError> {
        if keeper.verifying_key().as_bytes() != self.keeper.as_array() {
            return Err(ProbeError::WrongKeeper);
        }
        let body = self.body();
        let mut datagram = [0; CHALLENGE_LEN];
        datagram[..BODY_LEN].copy_from_slice(&body);
        datagram[BODY_LEN..].copy_from_slice(&keeper.sign(&body).to_bytes());
        Ok(datagram)
    }

    /// Signs the answer to this challenge with the machine's key.
    pub fn answer(&self, node_key: &SigningKey) -> Pong {
        Pong { challenge: self.hash(), signature: node_key.sign(&self.pong_message()).to_bytes() }
    }

    /// The message a machine signs: the answer's tag instead of the challenge's, then the rest of the body.
    fn pong_message(&self) -> [u8; BODY_LEN] {
        let mut message = self.body();
        message[..TAG_LEN].copy_from_slice(PONG_TAG);
        message
    }
}

/// A received challenge: well-formed, but of unknown origin until [`SignedChallenge::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedChallenge {
    pub challenge: Challenge,
    /// The keeper's signature over [`Challenge::body`].
    pub signature: [u8; 64],
}

impl SignedChallenge {
    /// Decodes a datagram, without cryptography: a machine can cheaply drop challenges that aren't for it.
    ///
    /// # Errors
    /// [`ProbeError::Length`] or [`ProbeError::Tag`].
    pub fn decode(datagram: &[u8]) -> Result<Self, ProbeError> {
        let datagram: &[u8; CHALLENGE_LEN] = datagram
            .try_into()
            .map_err(|_| ProbeError::Length { expected: CHALLENGE_LEN, got: datagram.len() })?;
        let challenge = Challenge::from_body(&array(datagram, 0))?;
        Ok(Self { challenge, signature: array(datagram, BODY_LEN) })
    }

    /// Checks that the keeper named in the challenge signed it.
    ///
    /// # Errors
    /// [`ProbeError::PublicKey`] or [`ProbeError::Signature`].
    pub fn verify(&self) -> Result<(), ProbeError> {
        verify(&self.challenge.keeper, &self.challenge.body(), &self.signature)
    }
}

fn verify(key: &Pubkey, message: &[u8], signature: &[u8; 64]) -> Result<(), ProbeError> {
    VerifyingKey::from_bytes(key.as_array())
        .map_err(|_| ProbeError::PublicKey)?
        .verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| ProbeError::Signature)
}

/// `N` bytes of `bytes` from `offset`, which must be in bounds.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}
