//! Burns the payment units that a board has set aside for it.

use leasehold::error::LeaseholdError::NothingToWithdraw;
use leasehold_client::{BoardRef, instruction};

use super::{Step, Task, codes};

pub(super) fn step(board: &BoardRef, amount: u64) -> Step {
    Step {
        task: Task::BurnPayments,
        text: format!("burned {amount} payment units"),
        instructions: vec![instruction::burn_payments(board, None)],
        overtaken: codes([NothingToWithdraw]),
    }
}
