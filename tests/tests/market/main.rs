//! Every instruction of a market: that it works, and everything it refuses.

mod creation;
mod governance;
mod money;

use leasehold::state::HardwareClass;
use leasehold_tests::*;
use solana_keypair::Keypair;

/// Notice of the harness's markets, in seconds.
pub const TIMELOCK: i64 = 86_400;

pub fn classes(count: usize) -> Vec<HardwareClass> {
    vec![HardwareClass { name: [b'x'; 16], weight_bps: 10_000 }; count]
}

/// A world and its authority, who signs.
pub fn governed() -> (World, Keypair) {
    let world = World::new();
    let authority = world.authority.insecure_clone();
    (world, authority)
}
