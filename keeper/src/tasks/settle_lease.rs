//! Settles the machines of a lease whose rounds are all closed, or pays those of a running one.

use leasehold::error::LeaseholdError::LeaseSettled;
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, codes, gone};

pub(super) fn step(board: &BoardRef, serial: u32, lease: Pubkey, is_due: bool) -> Step {
    let mut overtaken = codes([LeaseSettled]);
    overtaken.push(gone());
    let when = if is_due { "" } else { " in mid-term" };
    Step {
        task: Task::SettleLease,
        text: format!("settled lease {serial}{when}"),
        instructions: vec![instruction::settle_lease(board, lease)],
        overtaken,
    }
}
