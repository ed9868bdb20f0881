//! Steps under way, and what is made of their end.

use std::collections::HashMap;

use leasehold_client::sender::Confirmation;
use solana_pubkey::Pubkey;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, debug, info};

use super::{Keeper, Trouble};
use crate::{
    memory::Chore,
    metrics::Outcome,
    planner::Action,
    tasks::{self, End, Finished, Task},
};

/// A step that ended, for whoever runs the keeper as a library.
#[derive(Clone, Debug)]
pub struct Report {
    /// The keeper's wallet.
    pub keeper: Pubkey,
    /// Number of the board.
    pub board: u32,
    pub task: Task,
    pub outcome: Outcome,
    /// Of the transaction, if one took effect.
    pub receipt: Option<Confirmation>,
    /// What was done, or why not.
    pub text: String,
}

/// Steps under way.
#[derive(Default)]
pub(super) struct Work {
    /// Given up when the keeper stops: an unfinished round of probes is no vote.
    probes: JoinSet<Finished>,
    /// Waited for when the keeper stops.
    transactions: JoinSet<Finished>,
    chores: HashMap<Id, Chore>,
}

impl Work {
    /// The next step that ends; `None` where none is under way.
    pub(super) async fn next(&mut self) -> Option<(Id, Result<Finished, JoinError>)> {
        let joined = tokio::select! {
            Some(joined) = self.transactions.join_next_with_id() => joined,
            Some(joined) = self.probes.join_next_with_id() => joined,
            else => return None,
        };
        Some(sorted(joined))
    }

    /// A step that has ended already.
    pub(super) fn try_next(&mut self) -> Option<(Id, Result<Finished, JoinError>)> {
        let joined =
            self.transactions.try_join_next_with_id().or_else(|| self.probes.try_join_next_with_id());
        joined.map(sorted)
    }

    /// Gives up all rounds of probes.
    pub(super) async fn stop_probes(&mut self) {
        self.probes.shutdown().await;
    }

    /// How many steps are under way.
    pub(super) fn len(&self) -> usize {
        self.probes.len() + self.transactions.len()
    }
}

fn sorted(joined: Result<(Id, Finished), JoinError>) -> (Id, Result<Finished, JoinError>) {
    match joined {
        Ok((id, finished)) => (id, Ok(finished)),
        Err(error) => (error.id(), Err(error)),
    }
}

impl Keeper {
    /// Does what was planned, beside whatever goes on.
    pub(super) fn begin(&mut self, actions: Vec<Action>, work: &mut Work) {
        for action in actions {
            let chore = action.chore();
            self.memory.begin(chore);
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

    /// Takes note of a step that ended.
    pub(super) async fn end(
        &mut self,
        id: Id,
        finished: Result<Finished, JoinError>,
        work: &mut Work,
    ) -> Outcome {
        let chore = work.chores.remove(&id);
        let now_ms = self.reader.now_ms().unwrap_or_default();
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                // A fault of this program's own: the others go on.
                if let Some(chore) = chore {
                    self.memory.fail(&chore, now_ms);
                    self.troubles.note(Trouble::Chore(chore), &format!("a step broke down: {error}"));
                }
                return Outcome::Failed;
            }
        };
        let Finished { chore, task, board, text, end } = finished;
        let trouble = Trouble::Chore(chore);
        let outcome = match &end {
            End::Failed(_) => Outcome::Failed,
            End::Overtaken(_) => Outcome::Overtaken,
            End::Probed(_) | End::Sent(_) => Outcome::Done,
        };
        self.metrics.step(task, outcome);
        match outcome {
            Outcome::Failed => drop(self.memory.fail(&chore, now_ms)),
            _ => {
                self.memory.end(&chore, now_ms);
                self.troubles.clear(&trouble);
            }
        }
        if task == Task::SettleLease {
            self.reader.forget(&board.address);
        }
        let mut receipt = None;
        let text = match end {
            End::Probed(report) => {
                let text = format!("{text}: {} answered", report.answers.len());
                info!("board {}: {text}", board.index);
                self.keep(board, report, now_ms).await;
                text
            }
            End::Sent(sent) => {
                self.metrics.paid(sent.fee.unwrap_or_default());
                info!(signature = %sent.signature, cu = sent.cu, "board {}: {text}", board.index);
                receipt = Some(sent);
                text
            }
            End::Overtaken(reason) => {
                debug!("board {}: {} was not needed: {reason}", board.index, task.name());
                reason
            }
            End::Failed(reason) => {
                let line = format!("board {}: {} failed: {reason}", board.index, task.name());
                self.troubles.note(trouble, &line);
                reason
            }
        };
        if let Some(reports) = &self.reports {
            // An error says that nobody listens any more.
            let _ =
                reports.send(Report { keeper: self.me, board: board.index, task, outcome, receipt, text });
        }
        outcome
    }
}
