//! Ends a metered lease whose deposit does not cover the next hour's standby price.

use leasehold::error::LeaseholdError::{LeaseNotOpen, NoticeTooLate, StandbyCovered};
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, codes, gone};

pub(super) fn step(board: &BoardRef, me: Pubkey, serial: u32, lease: Pubkey) -> Step {
    // Its buyer may have added to the deposit, or ended it.
    let mut overtaken = codes([StandbyCovered, LeaseNotOpen, NoticeTooLate]);
    overtaken.push(gone());
    Step {
        task: Task::GiveNotice,
        text: format!("ended metered lease {serial}, whose deposit is used up"),
        instructions: vec![instruction::give_notice(board, me, lease, None)],
        overtaken,
    }
}
