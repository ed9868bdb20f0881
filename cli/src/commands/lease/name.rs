//! Numbers by which new leases are named.

use std::hash::{BuildHasher, RandomState};

use leasehold_operate::{chain::Chain, failure::Failure, market::MarketView};
use solana_pubkey::Pubkey;

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

/// Refuses a nonce by which the buyer has a lease on one of the boards, before anything is asked or sent.
pub async fn require_unused(
    chain: &Chain,
    market: &MarketView,
    boards: impl Iterator<Item = u32>,
    buyer: Pubkey,
    nonce: u64,
) -> Result<(), Failure> {
    for board in boards {
        let lease = chain.fetch().lease(market.board(board).lease(&buyer, nonce)).await?;
        if let Some(lease) = lease {
            let name = format!("{board}:{}", lease.account.serial);
            return Err(Failure::Refused(format!(
                "{buyer} has opened lease {name} with nonce {nonce}: see `leasehold lease show {name}`, or choose \
                 another --nonce"
            )));
        }
    }
    Ok(())
}

/// A random number: the nonce of leases, which no other command of the buyer chooses, or that of their group. It has 48 bits,
/// since readers of JSON may have numbers of 53 bits only.
pub fn number() -> u64 {
    // Seeded by the system's random numbers.
    (RandomState::new().hash_one(()) >> 16).max(1)
}
