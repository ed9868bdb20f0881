//! Burns the slashed stake of a board.

use leasehold::error::LeaseholdError::NothingToWithdraw;
use leasehold_client::{BoardRef, instruction};

use super::{Step, Task, codes};

pub(super) fn step(board: &BoardRef, amount: u64) -> Step {
    Step {
        task: Task::BurnSlashed,
        text: format!("burned {amount} stake units"),
        instructions: vec![instruction::burn_slashed(board)],
        overtaken: codes([NothingToWithdraw]),
    }
}
