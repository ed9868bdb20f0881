//! Numbers by which new leases are named.

use std::hash::{BuildHasher, RandomState};

use super::OpenArgs;

/// How new leases are named.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Number of each lease among the buyer's on its board.
    pub nonce: u64,
    /// Number of their group.
    pub group: Option<u64>,
}

impl Name {
    /// As the arguments name them, with a random nonce by default.
    pub fn new(args: &OpenArgs) -> Self {
        Name { nonce: args.nonce.unwrap_or_else(number), group: args.group }
    }
}

/// A random number: the nonce of leases, which no other command of the buyer chooses, or that of their group. It has 48 bits,
/// since readers of JSON may have numbers of 53 bits only.
pub fn number() -> u64 {
    // Seeded by the system's random numbers.
    (RandomState::new().hash_one(()) >> 16).max(1)
}
