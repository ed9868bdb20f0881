//! Every instruction of markets: its success, and each of its refusals.

mod creation;
mod governance;
mod money;

use leasehold::state::HardwareClass;
use leasehold_tests::*;
use solana_keypair::Keypair;

/// Timelock of the tests' markets, in seconds.
pub const TIMELOCK: i64 = 2 * 86_400;

pub fn classes(count: usize) -> Vec<HardwareClass> {
    vec![HardwareClass { name: [b'x'; 16], weight_bps: 10_000 }; count]
}

/// A world and its authority, who signs.
pub fn governed() -> (World, Keypair) {
    let world = World::new();
    let authority = world.authority.insecure_clone();
    (world, authority)
}
