//! Executes steps: a file for each, named like the program's instruction.

mod burn_payments;
mod burn_slashed;
mod claim_keeper_fees;
mod close_round;
mod enforce_demand;
mod give_notice;
mod probe_round;
mod record_day;
mod settle_lease;
mod submit_round;
mod take_seat;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::error::ErrorCode;
use leasehold::error::LeaseholdError;
use leasehold_client::{
    BoardRef,
    sender::{Confirmation, Sender},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use tokio::time::timeout;

use crate::{
    memory::Chore,
    planner::Action,
    prober::{Ports, ProbeReport, Prober},
};

/// Kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    TakeSeat,
    ProbeRound,
    SubmitRound,
    CloseRound,
    SettleLease,
    GiveNotice,
    EnforceDemand,
    RecordDay,
    BurnPayments,
    BurnSlashed,
    ClaimKeeperFees,
}

impl Task {
    pub const ALL: [Self; 11] = [
        Self::TakeSeat,
        Self::ProbeRound,
        Self::SubmitRound,
        Self::CloseRound,
        Self::SettleLease,
        Self::GiveNotice,
        Self::EnforceDemand,
        Self::RecordDay,
        Self::BurnPayments,
        Self::BurnSlashed,
        Self::ClaimKeeperFees,
    ];

    /// The name of the program's instruction, or of the probe.
    pub fn name(self) -> &'static str {
        match self {
            Self::TakeSeat => "take_seat",
            Self::ProbeRound => "probe_round",
            Self::SubmitRound => "submit_round",
            Self::CloseRound => "close_round",
            Self::SettleLease => "settle_lease",
            Self::GiveNotice => "give_notice",
            Self::EnforceDemand => "enforce_demand",
            Self::RecordDay => "record_day",
            Self::BurnPayments => "burn_payments",
            Self::BurnSlashed => "burn_slashed",
            Self::ClaimKeeperFees => "claim_keeper_fees",
        }
    }
}

/// How a step ended.
#[derive(Debug)]
pub enum End {
    /// The machines were probed. With the moment at which that ended, and the Unix second at which the round did.
    Probed { report: Box<ProbeReport>, ports: Arc<Ports>, at: Instant, ends: i64 },
    /// The transaction took effect.
    Sent(Confirmation),
    /// Another keeper was faster, or the time for it was over: nothing is left to do.
    Overtaken(String),
    /// It failed, and is retried if a later plan still has it.
    Failed(String),
}

/// A step that has ended.
#[derive(Debug)]
pub struct Finished {
    pub chore: Chore,
    pub task: Task,
    pub board: BoardRef,
    /// Line for the log.
    pub text: String,
    pub end: End,
}

/// Resources shared by steps.
#[derive(Clone)]
pub struct Tools {
    pub me: Pubkey,
    pub sender: Sender,
    pub prober: Prober,
}

/// A transaction to send.
struct Step {
    task: Task,
    text: String,
    instructions: Vec<Instruction>,
    /// Codes of errors that mean that nothing is left to do.
    overtaken: Vec<u32>,
}

/// Executes a step. Dropping the future aborts a round of probes; a transaction that was sent may still take effect.
pub async fn run(action: Action, tools: Tools) -> Finished {
    let (chore, board) = (action.chore(), *action.board());
    let patience = match &action {
        Action::SubmitRound { patience, .. } => *patience,
        _ => Duration::MAX,
    };
    let step = match action {
        Action::ProbeRound { round, cluster, targets, time, ends, .. } => {
            let tried = tools.prober.try_ports(&targets);
            let probed = probe_round::run(&tools, &board, round, cluster, &targets, time).await;
            let end = match probed {
                Ok(report) => End::Probed {
                    report: Box::new(report),
                    ports: tried.ports.clone(),
                    at: Instant::now(),
                    ends,
                },
                Err(error) => End::Failed(error.to_string()),
            };
            let text = format!("probed the {} machines of round {round}", targets.len());
            return Finished { chore, task: Task::ProbeRound, board, text, end };
        }
        Action::TakeSeat { seat, register, deposit, .. } => {
            take_seat::step(&board, tools.me, seat, register, deposit)
        }
        Action::SubmitRound { seat, round, slots, answers, .. } => {
            submit_round::step(&board, tools.me, seat, round, slots, &answers.report)
        }
        Action::CloseRound { next_round, .. } => close_round::step(&board, next_round),
        Action::SettleLease { serial, lease, is_due, .. } => {
            settle_lease::step(&board, serial, lease, is_due)
        }
        Action::GiveNotice { serial, lease, .. } => give_notice::step(&board, tools.me, serial, lease),
        Action::EnforceDemand { demand, .. } => enforce_demand::step(tools.me, &demand),
        Action::RecordDay { class, .. } => record_day::step(&board, class),
        Action::BurnPayments { amount, .. } => burn_payments::step(&board, amount),
        Action::BurnSlashed { amount, .. } => burn_slashed::step(&board, amount),
        Action::ClaimKeeperFees { seat, .. } => claim_keeper_fees::step(&board, tools.me, seat),
    };
    let sent = match timeout(patience, tools.sender.send(&step.instructions, &[])).await {
        Ok(sent) => sent,
        Err(_) => {
            let reason = format!("the RPC node did not confirm it in {} s", patience.as_secs());
            return Finished { chore, task: step.task, board, text: step.text, end: End::Failed(reason) };
        }
    };
    let end = match sent {
        Ok(receipt) => End::Sent(receipt),
        Err(error) if error.code().is_some_and(|code| step.overtaken.contains(&code)) => {
            End::Overtaken(error.explain())
        }
        Err(error) => End::Failed(error.explain()),
    };
    Finished { chore, task: step.task, board, text: step.text, end }
}

fn codes(errors: impl IntoIterator<Item = LeaseholdError>) -> Vec<u32> {
    errors.into_iter().map(u32::from).collect()
}

/// Code of the error for an account that was closed.
fn gone() -> u32 {
    ErrorCode::AccountNotInitialized.into()
}
