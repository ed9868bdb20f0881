//! Opening and replacing on boards that are made to be expensive, without a hint and with a wrong one.

use leasehold::instructions::{OpenLeaseArgs, ReplaceNodeArgs};
use leasehold::{
    math::matching::{Criteria, CutOff, Policy},
    state::{Board, Slot, split_mut},
};
use leasehold_client::instruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{Table, figure, transaction};
use crate::{World, anything, hostile::hostile, machine, replacement};

/// GPUs that are asked for.
const GPUS: [u32; 4] = [1, 40, 1_000, 6_000];
/// Rounds of the leases.
const ROUNDS: u32 = 24;

/// The worst of all hostile boards, of both policies, for each number of GPUs. A transaction that the prices make too dear
/// counts too.
pub fn measure(table: &mut Table, slots: u16) {
    let mut world = World::new();
    let supplier = world.supplier();
    let machines: Vec<_> = (0..slots).map(machine).collect();
    world.list(&supplier, 5_000, &machines);
    let keepers = world.keepers(3);
    let buyer = world.wallet();
    world.end_round();
    world.attest(&keepers, |_| true);
    // The lease whose machine is replaced.
    let first = Criteria { allow_unseen: false, ..anything() };
    let leased = world.open(&buyer, first, 1, ROUNDS);
    let replaced = world.with_board(|_, slots| slots.iter().position(|slot| slot.lease == leased));
    let replaced = u16::try_from(replaced.expect("it is leased")).expect("a slot");
    for (_, board) in hostile(usize::from(slots)) {
        disguise(&mut world, &board);
        for policy in [Policy::Cheapest, Policy::Best] {
            let criteria = Criteria { policy, allow_unseen: false, ..anything() };
            for gpus in GPUS {
                for (hint, suffix) in hints() {
                    let args = OpenLeaseArgs { hint, ..world.lease_args(&buyer, criteria, gpus, ROUNDS) };
                    let open = world.open_instruction(&buyer, args);
                    let number = if gpus == 1 { String::new() } else { format!("_{gpus}") };
                    add(table, &world, &format!("open_lease{number}_hostile{suffix}"), slots, &open, &buyer);
                }
            }
            for (hint, suffix) in hints() {
                let args = ReplaceNodeArgs { hint, ..replacement(replaced) };
                let (key, lease) = (buyer.pubkey(), world.lease_address(leased));
                let wallet = world.market.payment_account(&key);
                let replace = instruction::replace_node(&world.board(), key, key, lease, wallet, args);
                add(table, &world, &format!("replace_node_hostile{suffix}"), slots, &replace, &buyer);
            }
        }
    }
}

/// No hint, and one that is as wrong as can be.
fn hints() -> [(Option<CutOff>, &'static str); 2] {
    let wrong = CutOff { price: u64::MAX, score: 0, slot: u16::MAX };
    [(None, ""), (Some(wrong), "_wrong_hint")]
}

/// Gives the idle machines of the board the prices, GPUs and scores of a hostile one.
fn disguise(world: &mut World, like: &[Slot]) {
    let address = world.board().address;
    let mut account = world.svm.get_account(&address).expect("a board");
    let (_, slots): (&mut Board, &mut [Slot]) = split_mut(&mut account.data).expect("a board");
    for (slot, like) in slots.iter_mut().zip(like).filter(|(slot, _)| slot.lease == 0) {
        (slot.price, slot.score, slot.traits.gpus) = (like.price, like.score, like.traits.gpus);
    }
    world.svm.set_account(address, account).expect("any account can be made up");
}

/// Adds what an instruction takes, whether it succeeds or not: the table keeps the highest.
fn add(table: &mut Table, world: &World, name: &str, slots: u16, instruction: &Instruction, buyer: &Keypair) {
    let instructions = core::slice::from_ref(instruction);
    let meta = match world.svm.simulate_transaction(transaction(world, instructions, &[buyer])) {
        Ok(done) => done.meta,
        Err(failed) => failed.meta,
    };
    table.add(name, slots, figure(meta.compute_units_consumed, instructions, &[buyer]));
}
