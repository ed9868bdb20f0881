//! Every instruction of keepers, seats and rounds: its success, and each of its refusals.

mod keepers;
mod pay;
mod rounds;
mod seats;

use leasehold::state::{Keeper, Seat};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

pub fn keeper(world: &World, wallet: &Keypair) -> Keeper {
    world.account(&world.market.keeper(&wallet.pubkey()))
}

pub fn seat(world: &World, index: u8) -> Seat {
    world.with_board(|board, _| board.seats[usize::from(index)])
}

pub fn leave(world: &World, keeper: &KeeperActor) -> Instruction {
    instruction::leave_seat(&world.board(), keeper.wallet.pubkey(), keeper.account, keeper.seat, false)
}

pub fn claim(world: &World, keeper: &KeeperActor) -> Instruction {
    let key = keeper.wallet.pubkey();
    let wallet = world.market.payment_account(&key);
    instruction::claim_keeper_fees(&world.board(), key, wallet, keeper.seat)
}

/// A keeper's vote for a round, with every machine up.
pub fn vote(world: &World, keeper: &KeeperActor, round: u32) -> Instruction {
    let machines = world.with_board(|board, _| board.slots_at(world.round()));
    submit(&world.board(), keeper, round, bitmap(machines, |_| true))
}

pub fn close(world: &World) -> Instruction {
    instruction::close_round(&world.board())
}

/// Three keepers who have earned the least fee out of a pool of one payment token.
pub fn paid() -> Scene {
    let mut scene = Scene::listed(4);
    scene.world.fund_keepers(&scene.buyer, USD);
    scene.world.attest(&scene.keepers, |_| true);
    scene
}
