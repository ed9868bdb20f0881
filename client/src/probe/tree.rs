//! The Merkle tree over the answers behind one submission.
//!
//! It is the tree of RFC 9162, section 2.1, over [`SignedPong::encode`] of each machine that answered,
//! in the order of their slots:
//!
//! ```text
//! no answer     sha256 of nothing
//! leaf          sha256(0x00 | 256 bytes of the signed answer)
//! node          sha256(0x01 | left | right)
//! ```
//!
//! A tree of n > 1 leaves has the largest power of two below n on its left. No leaf is doubled to fill
//! a level, so no two lists of answers have one root. A submission's bitmap gives the rest that a
//! proof needs: the number of leaves is the number of bits set, a machine's index is the number of bits set
//! below its own.

use super::SignedPong;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Hash of a leaf whose content is `bytes`.
pub fn leaf_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root over the answers of a submission, by slot.
pub fn pong_root(answers: &BTreeMap<u32, SignedPong>) -> [u8; 32] {
    PongTree::of(answers).root()
}

/// All hashes of a tree, for making proofs: 64 bytes per leaf.
#[derive(Clone, Debug)]
pub struct PongTree {
    /// From the leaves up; the last level has one hash, the root. A last hash that has no partner moves
    /// up as it is, which makes the shape that RFC 9162 describes from the top.
    levels: Vec<Vec<[u8; 32]>>,
}

impl PongTree {
    /// The tree over `leaves`, in their order.
    pub fn new(leaves: Vec<[u8; 32]>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    rest => rest[0],
                })
                .collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The tree over the answers of a submission, by slot.
    pub fn of(answers: &BTreeMap<u32, SignedPong>) -> Self {
        Self::new(answers.values().map(SignedPong::leaf).collect())
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.levels[0].len()
    }

    /// True if nobody answered.
    pub fn is_empty(&self) -> bool {
        self.levels[0].is_empty()
    }

    /// The root for the submission.
    pub fn root(&self) -> [u8; 32] {
        match self.levels.last().and_then(|level| level.first()) {
            Some(root) => *root,
            None => Sha256::digest([]).into(),
        }
    }

    /// The hashes beside the path from leaf `index` to the root, lowest first; `None` if there is no such leaf. At most 13
    /// for a board of 6,144 machines.
    pub fn proof(&self, index: usize) -> Option<Vec<[u8; 32]>> {
        if index >= self.len() {
            return None;
        }
        let mut at = index;
        let mut proof = Vec::new();
        for level in &self.levels {
            proof.extend(level.get(at ^ 1).copied());
            at >>= 1;
        }
        Some(proof)
    }
}

/// True if `leaf` is number `index` of the `count` leaves under `root` (RFC 9162, section 2.1.3.2).
///
/// Take `count` and `index` from the submitted bitmap, not from the prover.
pub fn verify_proof(
    root: &[u8; 32],
    leaf: &[u8; 32],
    index: usize,
    count: usize,
    proof: &[[u8; 32]],
) -> bool {
    if index >= count {
        return false;
    }
    let mut at = index;
    // Index of the last hash of the level.
    let mut last = count - 1;
    let mut hash = *leaf;
    let mut beside = proof.iter();
    while last > 0 {
        // A last hash without partner moves up as it is.
        if at != last || at & 1 == 1 {
            let Some(other) = beside.next() else { return false };
            hash = if at & 1 == 1 { node_hash(other, &hash) } else { node_hash(&hash, other) };
        }
        at >>= 1;
        last >>= 1;
    }
    beside.next().is_none() && hash == *root
}
