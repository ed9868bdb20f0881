//! Counts the votes of a round, or skips rounds without votes.

use leasehold::error::LeaseholdError::NothingToClose;
use leasehold_client::{BoardRef, instruction};

use super::{Step, Task, codes};

pub(super) fn step(board: &BoardRef, next_round: u32) -> Step {
    Step {
        task: Task::CloseRound,
        text: format!("closed rounds from {next_round} on"),
        instructions: vec![instruction::close_round(board)],
        overtaken: codes([NothingToClose]),
    }
}
