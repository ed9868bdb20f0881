//! Takes a vacant seat; opens the account and bonds stake before it, in the same transaction.

use leasehold::error::LeaseholdError::{NoSuchSeat, SeatTaken, SecondSeat};
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, codes};

pub(super) fn step(board: &BoardRef, me: Pubkey, seat: u8, register: bool, deposit: u64) -> Step {
    let market = &board.market;
    let mut instructions = Vec::new();
    if register {
        instructions.push(instruction::register_keeper(market, me));
    }
    if deposit > 0 {
        instructions.push(instruction::deposit_bond(market, me, market.stake_account(&me), deposit));
    }
    instructions.push(instruction::take_seat(board, me, seat));
    Step {
        task: Task::TakeSeat,
        text: format!("took seat {seat}"),
        instructions,
        overtaken: codes([SeatTaken, SecondSeat, NoSuchSeat]),
    }
}
