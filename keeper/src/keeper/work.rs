//! Steps under way, and their outcomes.

use std::{collections::HashMap, time::Duration};

use leasehold_client::sender::Confirmation;
use solana_pubkey::Pubkey;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, debug, info};

use super::{Keeper, Operation};
use crate::{
    memory::Chore,
    metrics::Outcome,
    planner::Action,
    prober::Fault,
    tasks::{self, End, Finished, Task},
};

/// A step that ended, for programs that run the keeper as a library.
#[derive(Clone, Debug)]
pub struct Report {
    /// The keeper's wallet.
    pub keeper: Pubkey,
    /// Number of the board.
    pub board: u32,
    pub task: Task,
    pub outcome: Outcome,
    /// `None` if no transaction took effect.
    pub confirmation: Option<Confirmation>,
    /// The step that was done, or the reason why it was not.
    pub text: String,
}

/// Steps under way.
#[derive(Default)]
pub(super) struct Work {
    /// Aborted when the keeper stops: an unfinished round of probes is no vote.
    probes: JoinSet<Finished>,
    /// Finished when the keeper stops.
    transactions: JoinSet<Finished>,
    chores: HashMap<Id, Chore>,
}

impl Work {
    /// Waits for the next step to end; `None` if none is under way.
    pub(super) async fn next(&mut self) -> Option<(Id, Result<Finished, JoinError>)> {
        let joined = tokio::select! {
            Some(joined) = self.transactions.join_next_with_id() => joined,
            Some(joined) = self.probes.join_next_with_id() => joined,
            else => return None,
        };
        Some(with_id(joined))
    }

    /// A step that has ended already; `None` if there is none.
    pub(super) fn try_next(&mut self) -> Option<(Id, Result<Finished, JoinError>)> {
        let joined =
            self.transactions.try_join_next_with_id().or_else(|| self.probes.try_join_next_with_id());
        joined.map(with_id)
    }

    /// Aborts all rounds of probes.
    pub(super) async fn stop_probes(&mut self) {
        self.probes.shutdown().await;
    }

    /// Number of steps under way.
    pub(super) fn len(&self) -> usize {
        self.probes.len() + self.transactions.len()
    }
}

fn with_id(joined: Result<(Id, Finished), JoinError>) -> (Id, Result<Finished, JoinError>) {
    match joined {
        Ok((id, finished)) => (id, Ok(finished)),
        Err(error) => (error.id(), Err(error)),
    }
}

impl Keeper {
    /// Begins the steps of a plan.
    pub(super) fn begin(&mut self, actions: Vec<Action>, work: &mut Work) {
        for action in actions {
            let chore = action.chore();
            self.memory.begin(chore);
            if let Action::SubmitRound { board, round, slots, answers, .. } = &action {
                let root = answers.report.submission(*slots).pong_root;
                self.votes.note(board.address, *round, root);
            }
            let tools = self.tools.clone();
            let set = if matches!(action, Action::ProbeRound { .. }) {
                &mut work.probes
            } else {
                &mut work.transactions
            };
            let handle = set.spawn(tasks::run(action, tools).in_current_span());
            work.chores.insert(handle.id(), chore);
        }
    }

    /// Notes the outcome of a step.
    pub(super) async fn end(
        &mut self,
        id: Id,
        finished: Result<Finished, JoinError>,
        work: &mut Work,
    ) -> Outcome {
        let chore = work.chores.remove(&id);
        let longest = self.reader.limits().pause;
        let now_ms = self.reader.now_ms().unwrap_or_default();
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                // A panic: the other steps go on.
                if let Some(chore) = chore {
                    self.memory.fail(&chore, now_ms, longest);
                    self.failures.fail(
                        Operation::Chore(chore),
                        &format!("a step ({chore}) failed with a bug: {error}"),
                    );
                }
                return Outcome::Failed;
            }
        };
        let Finished { chore, task, board, text, end } = finished;
        let operation = Operation::Chore(chore);
        let outcome = match &end {
            End::Failed(_) => Outcome::Failed,
            End::Overtaken(_) => Outcome::Overtaken,
            End::Probed { .. } | End::Sent(_) => Outcome::Done,
        };
        self.metrics.step(task, outcome);
        match outcome {
            Outcome::Failed => drop(self.memory.fail(&chore, now_ms, longest)),
            _ => {
                self.memory.end(&chore, now_ms);
                self.failures.reset(&operation);
            }
        }
        if matches!(task, Task::SettleLease | Task::GiveNotice | Task::EnforceDemand | Task::RecordDay) {
            self.reader.forget(&board.address);
        }
        let mut confirmation = None;
        let text = match end {
            End::Probed { mut report, ports, at, ends } => {
                self.metrics.standings().tried(board.index, &ports);
                let (answered, repeated) = (report.answers.len(), report.repeated.len());
                let text = match repeated {
                    0 => format!("{text}: {answered} answered"),
                    _ => format!("{text}: {answered} answered, {repeated} more with the key of a lower slot"),
                };
                info!("board {}: {text}", board.index);
                // The clock is known better than when the round began.
                let late = self.reader.ms_at(at).unwrap_or(now_ms).saturating_sub(ends.saturating_mul(1_000));
                if late > 0 && !report.is_complete() {
                    let late = Duration::from_millis(late.unsigned_abs());
                    report.fault.get_or_insert(Fault::Over { late });
                }
                self.keep(board, *report, now_ms).await;
                text
            }
            End::Sent(sent) => {
                if let Chore::SubmitRound { board, round } = chore {
                    self.votes.confirm(&board, round);
                }
                self.metrics.paid(sent.fee.unwrap_or_default());
                info!(signature = %sent.signature, cu = sent.cu, "board {}: {text}", board.index);
                confirmation = Some(sent);
                text
            }
            End::Overtaken(reason) => {
                debug!("board {}: {} ({chore}) is not needed any more: {reason}", board.index, task.name());
                reason
            }
            End::Failed(reason) => {
                let line = format!("board {}: {} ({chore}) failed: {reason}", board.index, task.name());
                self.failures.fail(operation, &line);
                reason
            }
        };
        if let Some(reports) = &self.reports {
            // An error means that nobody receives reports any more.
            let _ = reports.send(Report {
                keeper: self.me,
                board: board.index,
                task,
                outcome,
                confirmation,
                text,
            });
        }
        outcome
    }
}
