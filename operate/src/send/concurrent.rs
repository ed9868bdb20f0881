//! Sends or simulates independent transactions, several at a time.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
};

use futures::stream::{self, StreamExt};

use crate::{
    executor::Executor,
    failure::Failure,
    plan::{Plan, Step},
    progress::Progress,
    table::count,
    transaction::Transaction,
};

/// Transactions in flight at a time: few enough for a shared RPC node, with some five requests for each.
const IN_FLIGHT: usize = 8;

/// Sends the transactions of an independent plan, and starts none after a failure. `done` gets each that took effect as
/// soon as that is known; at the end it is in the plan's order, perhaps with gaps.
pub async fn send(executor: &impl Executor, plan: &Plan, done: &mut Vec<Transaction>) -> Result<(), Failure> {
    let landed = RefCell::new(&mut *done);
    let send = async |step: &Step| {
        let receipt = executor.send(&step.instructions).await?;
        landed.borrow_mut().push(Transaction::confirmed(&step.what, &receipt));
        Ok(())
    };
    let ends = some_at_a_time(&plan.steps, Progress::start("Sent", plan.steps.len()), send).await;
    done.sort_by_key(|sent| plan.steps.iter().position(|step| step.what == sent.what));
    let (mut refused, mut unknown) = (None, Vec::new());
    for end in ends {
        match end {
            Ok(()) => {}
            Err(Failure::Unknown { copies }) => unknown.push(copies),
            // Several failures mostly have one reason.
            Err(error) => _ = refused.get_or_insert(error),
        }
    }
    let error = match (refused, unknown.split_first()) {
        (None, None) => return Ok(()),
        (Some(error), _) => error,
        (None, Some((first, others))) => {
            let error = Failure::Unknown { copies: first.clone() };
            unknown = others.to_vec();
            error
        }
    };
    let unknown = unknown.concat();
    if done.is_empty() && unknown.is_empty() {
        return Err(error);
    }
    let (done, of) = (done.len(), plan.transactions());
    Err(Failure::Partial { done, of, error: Box::new(error), unknown })
}

/// Simulates each transaction of an independent plan as if it were the first.
pub async fn simulate(
    executor: &impl Executor,
    plan: &Plan,
    done: &mut Vec<Transaction>,
) -> Result<(), Failure> {
    let simulate = async |step: &Step| {
        let units = executor.simulate(&step.instructions).await?;
        Ok(Transaction::simulated(&step.what, units))
    };
    let ends = some_at_a_time(&plan.steps, Progress::start("Simulated", plan.steps.len()), simulate).await;
    ends.into_iter().try_for_each(|end| {
        done.push(end?);
        Ok(())
    })
}

/// Works on several steps at a time, in their order. After a failure it waits for those in flight and starts no more.
/// Returns the result of each step that was started, in the order of the steps.
async fn some_at_a_time<T>(
    steps: &[Step],
    mut progress: Progress,
    work: impl AsyncFn(&Step) -> Result<T, Failure>,
) -> Vec<Result<T, Failure>> {
    let (begun, failed) = (Cell::new(0usize), Cell::new(false));
    let (begun, failed, work) = (&begun, &failed, &work);
    let each = |(place, step)| async move {
        if failed.get() {
            return None;
        }
        begun.set(begun.get().saturating_add(1));
        let end = work(step).await;
        failed.set(failed.get() || end.is_err());
        Some((place, step, end))
    };
    let mut flights = pin!(stream::iter(steps.iter().enumerate()).map(each).buffer_unordered(IN_FLIGHT));
    let (mut ends, mut told) = (Vec::new(), false);
    while let Some(flight) = flights.next().await {
        let Some((place, step, end)) = flight else { continue };
        ends.push((place, end));
        let flying = begun.get().saturating_sub(ends.len());
        match ends.last() {
            Some((_, Err(error))) if !told && flying > 0 => {
                let others = count(flying, "transaction");
                progress.print(&format!("{}: {error}. Waiting for {others} in flight", step.what));
                told = true;
            }
            Some((_, Ok(_))) => progress.finished(&step.what),
            _ => {}
        }
    }
    ends.sort_unstable_by_key(|(place, _)| *place);
    ends.into_iter().map(|(_, end)| end).collect()
}

#[cfg(test)]
mod tests;
