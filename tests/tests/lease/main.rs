//! Every instruction of leases: its success, and each of its refusals.

mod access;
mod changes;
mod contesting;
mod metered;
mod opening;
mod replacing;
mod settling;
mod steps;
mod vouchers;

use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Deposit for a machine at 0.35 an hour, for `rounds` rounds of ten minutes.
pub fn cost(rounds: u64) -> u64 {
    (350_000 * 600 * rounds).div_ceil(3_600)
}

/// Earnings of the same machine, fee included.
pub fn gross(rounds: u64) -> u64 {
    350_000 * 600 * rounds / 3_600
}

pub fn lease_address(world: &World) -> Pubkey {
    world.lease_address(1)
}

pub fn payments(world: &World, owner: &Keypair) -> Pubkey {
    world.market.payment_account(&owner.pubkey())
}

pub fn cancel(world: &World, owner: &Keypair) -> Instruction {
    world.cancel_instruction(owner, 1, &[])
}

pub fn claim_refund(world: &World, owner: &Keypair) -> Instruction {
    let wallet = payments(world, owner);
    instruction::claim_refund(&world.board(), owner.pubkey(), lease_address(world), wallet)
}

/// Slots of a lease.
pub fn leased(world: &World, serial: u32) -> Vec<usize> {
    world.with_board(|_, slots| (0..slots.len()).filter(|slot| slots[*slot].lease == serial).collect())
}
