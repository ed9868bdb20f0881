//! Compute units, bytes and accounts of every instruction, measured in the real virtual machine. Keys, addresses
//! and times are fixed, so that every run gives the same figures.

mod every;
mod hostile;
mod hot;
mod record;
mod table;

pub use table::{Figure, Table, sizes};

use leasehold_client::packet;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use crate::World;

/// Sizes of boards that the hot instructions are measured on, in slots.
const SLOTS: [u16; 4] = [64, 1_024, 4_096, 6_144];

/// Measures everything. Takes some seconds.
///
/// # Panics
/// If an instruction fails; the message names it.
pub fn measure() -> Table {
    let mut table = Table::default();
    every::measure(&mut table, SLOTS[0]);
    record::measure(&mut table);
    for slots in SLOTS {
        hot::measure(&mut table, slots);
    }
    hostile::measure(&mut table, SLOTS[3]);
    table
}

/// Simulates an instruction and measures it. The first signer pays.
fn cost(world: &World, name: &str, instruction: &Instruction, signers: &[&Keypair]) -> Figure {
    cost_of_all(world, name, core::slice::from_ref(instruction), signers)
}

/// Like [`cost`], for a transaction of several instructions.
fn cost_of_all(world: &World, name: &str, instructions: &[Instruction], signers: &[&Keypair]) -> Figure {
    let units = match world.svm.simulate_transaction(transaction(world, instructions, signers)) {
        Ok(done) => done.meta.compute_units_consumed,
        Err(failed) => panic!("{name}: {:?}\n{}", failed.err, failed.meta.pretty_logs()),
    };
    figure(units, instructions, signers)
}

/// Like [`cost`], but executes the instruction.
fn run(world: &mut World, name: &str, instruction: &Instruction, signers: &[&Keypair]) -> Figure {
    world.svm.expire_blockhash();
    let instructions = core::slice::from_ref(instruction);
    let transaction = transaction(world, instructions, signers);
    let units = match world.svm.send_transaction(transaction) {
        Ok(done) => done.compute_units_consumed,
        Err(failed) => panic!("{name}: {:?}\n{}", failed.err, failed.meta.pretty_logs()),
    };
    figure(units, instructions, signers)
}

fn figure(cu: u64, instructions: &[Instruction], signers: &[&Keypair]) -> Figure {
    let bytes = packet::len(&signers[0].pubkey(), instructions) as u64;
    let accounts = instructions.iter().map(|instruction| instruction.accounts.len() as u64).sum();
    Figure { cu, bytes, accounts }
}

/// The transaction whose bytes [`packet::len`] counts: legacy, with a limit and a price of compute units.
fn transaction(world: &World, instructions: &[Instruction], signers: &[&Keypair]) -> VersionedTransaction {
    let mut all = instructions.to_vec();
    all.push(ComputeBudgetInstruction::set_compute_unit_limit(1_400_000));
    all.push(ComputeBudgetInstruction::set_compute_unit_price(1));
    let message =
        Message::new_with_blockhash(&all, Some(&signers[0].pubkey()), &world.svm.latest_blockhash());
    VersionedTransaction::try_new(VersionedMessage::Legacy(message), signers).expect("everybody signs")
}
