//! Votes on the round that ended last.

use leasehold::error::LeaseholdError::{
    AlreadySubmitted, EarlierRoundOpen, NoSuchSeat, OutsideSubmitWindow, RoundClosed, WrongKeeper,
};
use leasehold_client::{BoardRef, instruction};
use solana_pubkey::Pubkey;

use super::{Step, Task, codes};
use crate::prober::ProbeReport;

pub(super) fn step(
    board: &BoardRef,
    me: Pubkey,
    seat: u8,
    round: u32,
    slots: u32,
    report: &ProbeReport,
) -> Step {
    let submission = report.submission(slots);
    let up: u32 = submission.bitmap.iter().map(|byte| byte.count_ones()).sum();
    Step {
        task: Task::SubmitRound,
        text: format!("voted on round {round}: {up} machines of {} answered", report.stats.targets),
        instructions: vec![instruction::submit_round(
            board,
            me,
            seat,
            round,
            submission.pong_root,
            submission.bitmap,
        )],
        // The next plan votes again if that is still possible.
        overtaken: codes([
            AlreadySubmitted,
            EarlierRoundOpen,
            NoSuchSeat,
            OutsideSubmitWindow,
            RoundClosed,
            WrongKeeper,
        ]),
    }
}
