//! Records the day before in the price index of a hardware class.

use leasehold::error::LeaseholdError::{DayNotOver, IndexOfClosedBoard};
use leasehold_client::{BoardRef, instruction};

use super::{Step, Task, codes, gone};

pub(super) fn step(board: &BoardRef, class: u16) -> Step {
    let mut overtaken = codes([DayNotOver, IndexOfClosedBoard]);
    overtaken.push(gone());
    Step {
        task: Task::RecordDay,
        text: format!("recorded a day of the price index of class {class}"),
        instructions: vec![instruction::record_day(board, class)],
        overtaken,
    }
}
