//! Settles a lease whose rounds are all closed.

use leasehold::error::LeaseholdError::LeaseSettled;
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, codes, gone};

pub(super) fn step(board: &BoardRef, me: Pubkey, serial: u32, keeper: Option<Pubkey>) -> Step {
    let mut overtaken = codes([LeaseSettled]);
    overtaken.push(gone());
    Step {
        task: Task::SettleLease,
        text: format!("settled lease {serial}"),
        instructions: vec![instruction::settle_lease(board, me, board.lease(serial), keeper)],
        overtaken,
    }
}
