//! Sends the transactions of a plan up to the first failure: one after the other, or several at a time if they are
//! independent.

mod concurrent;

use leasehold::state::{Lease, LeaseState};

use crate::{
    executor::Executor,
    failure::Failure,
    plan::{Again, Plan, Step},
    progress::Progress,
    text::print_stderr,
    transaction::Transaction,
    undo::{Found, find, refuse_earlier, undo},
};

/// Checks a plan that must be done as a whole before anything is sent: each transaction is simulated.
pub async fn check(executor: &impl Executor, plan: &Plan) -> Result<(), Failure> {
    rehearse(executor, plan, &mut Vec::new()).await?;
    refuse_earlier(executor, &plan.steps).await
}

/// Sends the transactions of a plan. `done` gets each that took effect, before a failure too.
pub async fn send(executor: &impl Executor, plan: &Plan, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    if plan.is_independent() {
        return concurrent::send(executor, plan, done).await;
    }
    let mut progress = Progress::start("Sending", plan.steps.len());
    for (place, step) in plan.steps.iter().enumerate() {
        progress.step(&step.what);
        let sent = match executor.send(&step.instructions).await {
            Ok(receipt) => {
                done.push(Transaction::confirmed(&step.what, &receipt));
                repeat(executor, step, done).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = sent else { continue };
        if plan.is_undone() {
            let late = match &error {
                // The leases exist, so the transaction took effect, whatever the RPC node reports.
                Failure::Unknown { copies } if find(executor, step).await == Found::Ours => Some(copies),
                _ => None,
            };
            let Some(copies) = late else {
                progress.finish();
                let before = plan.steps.get(..place).unwrap_or_default();
                return Err(undo(executor, before, step, error, done).await);
            };
            done.push(Transaction::one_of(&step.what, copies));
        } else if done.is_empty() {
            return Err(error);
        } else {
            let (done, of) = (done.len(), plan.transactions());
            return Err(Failure::Partial { done, of, error: Box::new(error), unknown: Vec::new() });
        }
    }
    Ok(())
}

/// Simulates each transaction of a plan as if it were the first, except those that build on another.
pub async fn rehearse(
    executor: &impl Executor,
    plan: &Plan,
    done: &mut Vec<Transaction>,
) -> Result<(), Failure> {
    if plan.is_independent() {
        return concurrent::simulate(executor, plan, done).await;
    }
    let mut progress = Progress::start("Simulating", plan.steps.len());
    for step in &plan.steps {
        if step.builds {
            done.push(Transaction::untried(&step.what));
            continue;
        }
        progress.step(&step.what);
        let units = executor.simulate(&step.instructions).await;
        done.push(Transaction::simulated(&step.what, units?));
    }
    Ok(())
}

/// Sends a step again until its lease is settled or makes no more progress.
async fn repeat(executor: &impl Executor, step: &Step, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    let Some(Again { lease: address, most }) = step.again else { return Ok(()) };
    let mut before = None;
    for _ in 1..most {
        let Some(lease) = executor.lease(address).await? else { return Ok(()) };
        if lease.state == LeaseState::Settled {
            return Ok(());
        }
        let left = lease.unsettled;
        if before.is_some_and(|before| left >= before) {
            // The RPC node is behind, or no more can be settled now.
            break;
        }
        before = Some(left);
        print_stderr(format!("{left} machines are left to settle: sending again"));
        let receipt = executor.send(&step.instructions).await?;
        done.push(Transaction::confirmed(&step.what, &receipt));
    }
    match executor.lease(address).await? {
        Some(Lease { state: LeaseState::Settled, .. }) | None => Ok(()),
        Some(Lease { unsettled, .. }) => Err(Failure::Refused(format!(
            "{unsettled} machines are not known to be settled: settle the lease again"
        ))),
    }
}

#[cfg(test)]
pub mod tests;
