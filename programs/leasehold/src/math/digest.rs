//! Hashes. Everything that is hashed begins with a byte of its own, so that nothing passes for anything else.

/// Domain of a hash: the first byte that is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Domain {
    /// A receipt: its hash is its id, and a leaf of its batch.
    Receipt = 0,
    /// Node of the tree over a batch.
    SumNode = 1,
    /// Header of a batch: a leaf of a compute log.
    Batch = 2,
    /// Node of a compute log.
    LogNode = 3,
    /// Root over the peaks of a compute log.
    LogRoot = 4,
    /// What follows the head of a receipt.
    ReceiptRest = 5,
}

/// sha256(domain | parts).
pub fn digest(domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
    let first = [domain as u8];
    let mut all: [&[u8]; MAX_PARTS] = [&[]; MAX_PARTS];
    let used = parts.len().min(MAX_PARTS.saturating_sub(1));
    for (place, part) in all.iter_mut().zip(core::iter::once(&first[..]).chain(parts.iter().copied())) {
        *place = part;
    }
    solana_sha256_hasher::hashv(all.get(..=used).unwrap_or(&all)).to_bytes()
}

/// Most parts of one hash, the domain included.
const MAX_PARTS: usize = 8;
