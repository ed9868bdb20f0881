//! Sends the transactions of a plan up to the first transaction that fails: one after the other, or several at a time where
//! they are independent.

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

/// Refuses a plan that is to be done as a whole where a part is refused for certain: before anything is sent, and
/// so before anything has to be taken back.
pub async fn check(executor: &impl Executor, plan: &Plan) -> Result<(), Failure> {
    rehearse(executor, plan, &mut Vec::new()).await?;
    refuse_earlier(executor, &plan.steps).await
}

/// Sends the transactions of a plan. What took effect stands in `done`, after a failure too.
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
                // Leases that are there were opened, whatever the node says of the transaction.
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

/// Simulates the transactions of a plan, each as if it were the first; none that builds on one before it.
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

/// Sends a step again until its lease is settled, as long as that goes on.
async fn repeat(executor: &impl Executor, step: &Step, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    let Some(Again { lease: address, most }) = step.again else { return Ok(()) };
    let mut before = 0;
    for _ in 1..most {
        let Some(lease) = executor.lease(address).await? else { return Ok(()) };
        if lease.state == LeaseState::Settled {
            return Ok(());
        }
        if lease.settled <= before {
            // The node is behind, or nothing is left to do now.
            break;
        }
        before = lease.settled;
        print_stderr(format!("{before} of {} machines are settled: sending it again", lease.machines));
        let receipt = executor.send(&step.instructions).await?;
        done.push(Transaction::confirmed(&step.what, &receipt));
    }
    match executor.lease(address).await? {
        Some(Lease { state: LeaseState::Settled, .. }) | None => Ok(()),
        Some(Lease { settled, machines, .. }) => Err(Failure::Refused(format!(
            "{settled} of {machines} machines are known to be settled: settle the lease again"
        ))),
    }
}

#[cfg(test)]
pub mod tests;
