//! Receipts on record: logs, proofs, demands, and machines that sign contradicting receipts.

mod accounts;
mod appending;
mod attacks;
mod demand;
mod enforcing;
mod equivocation;
mod forgeries;
mod log;
mod properties;
mod sizes;
mod verify;

use leasehold::{
    constants::{DEMAND_SECS, DISPUTE_SECS, RECORD_SECS},
    state::{Receipt, SlotState},
};
use leasehold_client::{
    BoardRef, MarketRef, instruction,
    record::{SignedReceipt, signatures},
};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Bond of every machine, in stake units.
pub const BOND: u64 = 100 * STAKE;

// Windows in rounds of the tests' markets.
pub const RECORD_ROUNDS: u32 = RECORD_SECS / 600;
pub const DEMAND_ROUNDS: u32 = DEMAND_SECS / 600;
pub const DISPUTE_ROUNDS: u32 = DISPUTE_SECS / 600;

/// True if a slot has no bond and is barred.
pub fn is_convicted(world: &World, slot: u16) -> bool {
    let slot = world.slot(slot);
    slot.is(SlotState::Barred) && slot.bond == 0
}

/// Another supplier of the first market, with signing machines in new slots from `first` on.
pub fn rival(world: &mut World, first: u16, machines: u16) -> SupplierActor {
    let rival = world.supplier();
    let batch: Vec<_> = (first..first + machines).map(signing_machine).collect();
    world.list(&rival, COMMITTED, &batch);
    rival
}

/// Creates a supplier's log, with lanes for these slots of the first board.
pub fn open_log(world: &mut World, supplier: &SupplierActor, machines: Vec<u16>) -> Pubkey {
    let (key, account) = (supplier.wallet.pubkey(), supplier.account);
    let create = instruction::create_log(key, account, key);
    let lanes = instruction::open_lanes(&world.board(), key, account, machines);
    world.ok(&[create, lanes], &[&supplier.wallet]);
    leasehold_client::address::log(&account)
}

/// Closes the first board's rounds that are over and have no votes.
pub fn close_rounds(world: &mut World) {
    let authority = world.authority.insecure_clone();
    world.ok(&[instruction::close_round(&world.board())], &[&authority]);
}

pub fn retire(world: &World, supplier: &SupplierActor, machines: &[u16]) -> Instruction {
    let signer = supplier.wallet.pubkey();
    instruction::retire_machines(&world.board(), signer, supplier.account, machines.to_vec())
}

/// Claims a supplier's earnings.
pub fn claim(world: &mut World, supplier: &SupplierActor) {
    let key = supplier.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&world.board(), key, supplier.account, wallet);
    world.ok(&[claim], &[&supplier.wallet]);
}

/// The Ed25519 program's instruction, and the proof that a machine signed both receipts.
pub fn prove(world: &World, [one, other]: [&SignedReceipt; 2]) -> [Instruction; 2] {
    let lease = world.lease_address(one.receipt.lease);
    let prove = instruction::prove_equivocation(&world.board(), lease, &one.receipt, &other.receipt);
    [signatures::of_both(one, other), prove]
}

/// Replaces a machine of lease 1.
pub fn replace(world: &World, buyer: &Keypair, old_slot: u16) -> Instruction {
    let (board, key, lease) = (world.board(), buyer.pubkey(), world.lease_address(1));
    let wallet = world.market.payment_account(&key);
    instruction::replace_node(&board, key, key, lease, wallet, replacement(old_slot))
}

/// A different receipt of machine `number` with the same number as `signed`.
pub fn contradiction(number: u16, signed: &SignedReceipt) -> SignedReceipt {
    let receipt = Receipt { response: [0xee; 32], ..signed.receipt };
    SignedReceipt::sign(&node_key(number), receipt)
}

/// Another board of the first market.
pub fn second_board(world: &mut World) -> BoardRef {
    let (authority, second) = (world.authority.insecure_clone(), world.market.board(1));
    world.ok(&[instruction::create_board(&second, authority.pubkey())], &[&authority]);
    second
}

/// Another market with the same mints, with a board.
pub fn second_market(world: &mut World) -> BoardRef {
    let authority = world.authority.insecure_clone();
    let (key, market) = (authority.pubkey(), world.market);
    let other = MarketRef::new(2, market.payment_mint, market.stake_mint);
    let create = instruction::create_market(&other, key, GENESIS, TIMELOCK, rules(), params());
    world.ok(&[create, instruction::create_board(&other.board(0), key)], &[&authority]);
    other.board(0)
}
