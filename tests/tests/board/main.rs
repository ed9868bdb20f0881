//! Every instruction of boards and machines: its success, and each of its refusals.

mod boards;
mod bound;
mod forfeiting;
mod generations;
mod listing;
mod moving;
mod repricing;
mod retiring;
mod withholding;

use leasehold::{
    instructions::Machine,
    state::{Supplier, board_len},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Rent of one more slot on a board of `slots` slots.
pub fn rent_of_slot(world: &World, slots: usize) -> u64 {
    let rent = |slots| world.svm.minimum_balance_for_rent_exemption(board_len(slots));
    rent(slots + 1) - rent(slots)
}

pub fn list(
    world: &World,
    supplier: &SupplierActor,
    machines: Vec<Machine>,
    former: &[Pubkey],
) -> Instruction {
    let until = world.round() + 100;
    instruction::list_machines(&world.board(), supplier.wallet.pubkey(), until, machines, former)
}

pub fn retire(world: &World, supplier: &SupplierActor, machines: &[u16]) -> Instruction {
    let signer = supplier.wallet.pubkey();
    instruction::retire_machines(&world.board(), signer, supplier.account, machines.to_vec())
}

pub fn forfeit(world: &World, supplier: &SupplierActor, machines: &[u16]) -> Instruction {
    instruction::forfeit_machines(&world.board(), supplier.wallet.pubkey(), machines.to_vec())
}

pub fn free_stake(world: &World, supplier: &SupplierActor) -> u64 {
    world.account::<Supplier>(&supplier.account).stake.free
}

/// An idle machine that its owner left, and that is bound for 11 rounds: up in 11 rounds of a lease of 100, it was down in the
/// last before the owner cancelled.
pub fn bound() -> Scene {
    let Scene { mut world, supplier, keepers, buyer } = Scene::leased(1, 1, 100);
    for round in 0..11 {
        world.attest(&keepers, |_| round != 10);
    }
    let cancel = world.cancel_instruction(&buyer, 1, &[]);
    world.ok(&[cancel], &[&buyer]);
    world.attest(&keepers, |_| true);
    world.settle(&buyer, 1);
    Scene { world, supplier, keepers, buyer }
}
